"""Fit, select and test of judged queries: who asks, which documents are ranked, which pairs fit the closed forms."""

from collections.abc import Mapping

import numpy as np
import torch

from metricgrad._qrels import Qrels
from metricgrad.adapting.parts import Parts
from metricgrad.adapting.rows import RowSplit
from metricgrad.adapting.sampled_index import (
    drawn_from,
    most_of_test,
    sampled_index,
    sampled_share,
    sampled_units,
)
from metricgrad.tune import PairSplit, Splits

__all__ = ["fit_pairs", "form_pairs", "pair_splits", "share_of"]

FORM_PAIRS = 200_000
"""Closed forms are fitted on so many pairs at most."""
SELECT_QUERIES = 2_000
PARTED = ("document", "both")
"""Splits by which documents of test are new."""


def pair_splits(
    queries: np.ndarray, documents: np.ndarray, qrels: Qrels, parts: Parts, *, batch: int, seed: int
) -> tuple[Splits, list[str]]:
    """Return the splits and what a reader should know of them, the question first.

    Args:
        queries: vectors [query, dim].
        documents: vectors [document, dim].
        qrels: which documents are relevant.
        parts: who fits, selects and tests.
        batch: queries of a batch of fit.
        seed: of the samples.
    """
    most = {"select": SELECT_QUERIES, "test": most_of_test(qrels.items)}
    asked = {
        name: sampled_units(numbers, numbers, most=most[name], seed=seed)
        for name, numbers in (("select", parts.select), ("test", parts.test))
    }
    index = {"select": _select_index(qrels, parts, asked["select"], seed), "test": np.arange(qrels.items)}
    ranked = {name: _ranked(queries, documents, asked[name], index[name]) for name in asked}
    fit = fit_pairs(queries, documents, qrels, parts, parts.fit, batch)
    return Splits(fit, ranked["select"], ranked["test"]), _notes(parts, asked, index, qrels)


def fit_pairs(
    queries: np.ndarray, documents: np.ndarray, qrels: Qrels, parts: Parts, numbers: np.ndarray, batch: int
) -> PairSplit:
    """Batches of some queries of fit with their documents."""
    return PairSplit(
        queries,
        documents,
        qrels,
        query_numbers=torch.from_numpy(numbers),
        batch=min(batch, len(numbers)),
        shared_documents=parts.by not in PARTED,
    )


def share_of(numbers: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A share of some queries, drawn by seed."""
    return sampled_share(numbers, numbers, share, seed=seed)


def _relevant_to(qrels: Qrels, numbers: np.ndarray) -> np.ndarray:
    """Numbers of the documents that are relevant to any of some queries."""
    relevant = qrels.relevant()
    first, last = relevant.offsets[numbers].numpy(), relevant.offsets[numbers + 1].numpy()
    return np.unique(relevant.documents.numpy()[_ranges(first, last)])


def _ranges(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The numbers of all ranges, one after the other."""
    counts = last - first
    return np.repeat(first - (counts.cumsum() - counts), counts) + np.arange(counts.sum())


def _select_index(qrels: Qrels, parts: Parts, asked: np.ndarray, seed: int) -> np.ndarray:
    """A sample of the documents with all relevant ones; without those of test, where documents are parted."""
    others = np.arange(qrels.items)
    if parts.by in PARTED:
        others = np.setdiff1d(others, _relevant_to(qrels, parts.test))
    return sampled_index(_relevant_to(qrels, asked), others, seed=seed)


def _ranked(queries: np.ndarray, documents: np.ndarray, asked: np.ndarray, index: np.ndarray) -> RowSplit:
    """Queries that ask, and the documents that are ranked for them."""
    reference = RowSplit(documents, index, torch.from_numpy(index), side="document")
    return RowSplit(queries, asked, torch.from_numpy(asked), side="query", reference=reference)


def form_pairs(
    queries: np.ndarray, documents: np.ndarray, qrels: Qrels, fit: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A row for every query of fit and relevant document of it."""
    relevant = qrels.relevant()
    first, last = relevant.offsets[fit].numpy(), relevant.offsets[fit + 1].numpy()
    query, document = np.repeat(fit, last - first), relevant.documents.numpy()[_ranges(first, last)]
    chosen = np.arange(len(query))
    chosen = sampled_units(chosen, chosen, most=FORM_PAIRS, seed=seed)
    return (
        queries[query[chosen]].astype(np.float32, copy=False),
        documents[document[chosen]].astype(np.float32, copy=False),
    )


def _notes(
    parts: Parts, asked: Mapping[str, np.ndarray], index: Mapping[str, np.ndarray], qrels: Qrels
) -> list[str]:
    who = {
        name: f"{len(asked[name]):,} queries{drawn_from(asked[name], getattr(parts, name))}" for name in asked
    }
    left = [f"{parts.left_out:,} queries are in no part"] if parts.left_out else []
    sample = drawn_from(index["select"], index["test"])
    return [
        f"question: {parts.question}",
        f"fit: {len(parts.fit):,} queries",
        f"select: {who['select']} ask, {len(index['select']):,} documents are ranked{sample}",
        f"test: {who['test']} ask, all {qrels.items:,} documents are ranked",
        *left,
    ]

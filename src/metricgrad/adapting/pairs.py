"""Adapt queries and documents with judgements: a map for each side, or one for the queries alone."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from metricgrad._checks import fail
from metricgrad._labels import Labels
from metricgrad._qrels import Qrels
from metricgrad._types import Metric
from metricgrad.adapting.head import Head
from metricgrad.adapting.job import Job
from metricgrad.adapting.parts import PairSplitBy, Parts, pair_parts
from metricgrad.adapting.rows import RowSplit
from metricgrad.adapting.sampled_index import sampled_index, sampled_units
from metricgrad.pairing import TwoTowers
from metricgrad.projection import PairProjection, pair_grid, query_grid
from metricgrad.projection.centre import Identity
from metricgrad.tune import PairSplit, Splits

__all__ = ["pair_job"]

Side = Literal["both", "query"]

FORM_PAIRS = 200_000
"""Closed forms are fitted on so many pairs at most."""
SELECT_QUERIES, TEST_QUERIES = 2_000, 10_000
COMPARISONS = 2 * 10**9
"""Similarities of a reading of test, about."""
FEWEST_PAIRS = 50


def pair_job(
    queries: np.ndarray,
    documents: np.ndarray,
    qrels: Qrels,
    metric: Metric,
    *,
    split: PairSplitBy | None = None,
    side: Side = "both",
    groups: Labels | None = None,
    parts: Mapping[str, Any] | None = None,
    batch: int = 512,
    seed: int = 0,
) -> Job:
    """Prepare it; see `adapt_pairs`."""
    if side == "query" and queries.shape[1] != documents.shape[1]:
        raise fail(
            "adapt",
            f"queries have {queries.shape[1]} dimensions and documents {documents.shape[1]}",
            "one number of dimensions where documents stay as they are (side query)",
        )
    found = pair_parts(qrels, split, groups=groups, parts=parts, seed=seed)
    most = max(1_000, min(TEST_QUERIES, COMPARISONS // qrels.items))
    asked = {
        "select": sampled_units(found.select, found.select, most=SELECT_QUERIES, seed=seed),
        "test": sampled_units(found.test, found.test, most=most, seed=seed),
    }
    index = {"select": _select_index(qrels, found, asked["select"], seed), "test": np.arange(qrels.items)}
    ranked = {name: _ranked(queries, documents, asked[name], index[name]) for name in asked}
    fit = PairSplit(
        queries,
        documents,
        qrels,
        query_numbers=torch.from_numpy(found.fit),
        batch=min(batch, len(found.fit)),
        shared_documents=found.by not in ("document", "both"),
    )
    one_space = queries.shape[1] == documents.shape[1]
    unchanged = Identity().of_dims(documents.shape[1])
    grid = pair_grid if side == "both" else query_grid
    return Job(
        metric,
        found,
        Splits(fit, ranked["select"], ranked["test"]),
        forms=lambda: grid(*_form_pairs(queries, documents, qrels, found.fit, seed)),
        network=lambda form: TwoTowers(form.query, form.document),
        start=lambda form: TwoTowers(
            Head(form.query), Head(form.document) if side == "both" else unchanged, side=side
        ),
        trained=_maps_of,
        raw=PairProjection(unchanged, unchanged) if one_space else None,
        proxy="info_nce",
        too_few=_too_few(found),
        notes=_notes(found, asked, index, qrels),
        side=side,
    )


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
    if parts.by in ("document", "both"):
        others = np.setdiff1d(others, _relevant_to(qrels, parts.test))
    return sampled_index(_relevant_to(qrels, asked), others, seed=seed)


def _ranked(queries: np.ndarray, documents: np.ndarray, asked: np.ndarray, index: np.ndarray) -> RowSplit:
    """Queries that ask, and the documents that are ranked for them."""
    reference = RowSplit(documents, index, torch.from_numpy(index), side="document")
    return RowSplit(queries, asked, torch.from_numpy(asked), side="query", reference=reference)


def _form_pairs(
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


def _maps_of(towers: nn.Module, name: str) -> PairProjection:
    assert isinstance(towers, TwoTowers)
    maps = [
        tower.projection(name, {}) if isinstance(tower, Head) else tower for tower in towers.towers.values()
    ]
    return PairProjection(*maps)  # pyright: ignore[reportArgumentType]


def _too_few(parts: Parts) -> str:
    many = len(parts.fit)
    return f"{many} queries of fit are fewer than {FEWEST_PAIRS}" if many < FEWEST_PAIRS else ""


def _notes(
    parts: Parts, asked: Mapping[str, np.ndarray], index: Mapping[str, np.ndarray], qrels: Qrels
) -> list[str]:
    def drawn(name: str) -> str:
        whole = len(getattr(parts, name))
        return f" (drawn from {whole:,})" if len(asked[name]) < whole else ""

    left = [f"{parts.left_out:,} queries are in no part"] if parts.left_out else []
    sample = f" (drawn from {qrels.items:,})" if len(index["select"]) < qrels.items else ""
    return [
        f"question: {parts.question}",
        f"fit: {len(parts.fit):,} queries",
        f"select: {len(asked['select']):,} queries{drawn('select')}, {len(index['select']):,} documents are ranked"
        f"{sample}",
        f"test: {len(asked['test']):,} queries{drawn('test')}, all {qrels.items:,} documents are ranked",
        *left,
    ]

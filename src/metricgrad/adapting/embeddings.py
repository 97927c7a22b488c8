"""Adapt embeddings that have labels: items are queries and documents, and one map serves both."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from metricgrad._checks import describe, fail
from metricgrad._labels import Labels, number_labels
from metricgrad._types import Metric
from metricgrad.adapting.head import Head
from metricgrad.adapting.job import Job
from metricgrad.adapting.parts import LabelSplit, Parts, label_parts
from metricgrad.adapting.rows import ClassRows, RowSplit
from metricgrad.adapting.sampled_index import sampled_index, sampled_units
from metricgrad.projection import Projection, label_grid
from metricgrad.projection.centre import Identity
from metricgrad.tune import Splits

__all__ = ["label_job"]

FORM_ROWS = 200_000
"""Closed forms are fitted on so many rows at most."""
SELECT_ITEMS, TEST_ITEMS = 4_000, 10_000
"""So many ask, or a class more."""
COMPARISONS = 2 * 10**9
"""Similarities of a reading of test, about."""
FEWEST_CLASSES = 50
MOST_CLASSES_IN_BATCH, FEWEST_OF_A_CLASS = 128, 4


def label_job(
    vectors: np.ndarray,
    labels: Labels,
    metric: Metric,
    *,
    split: LabelSplit = "class",
    groups: Labels | None = None,
    parts: Mapping[str, Any] | None = None,
    batch: int = 512,
    seed: int = 0,
) -> Job:
    """Prepare it; see `adapt_embeddings`."""
    codes = number_labels("adapt", {"labels": labels}, device="cpu").codes[0].numpy()
    if len(codes) != len(vectors):
        raise fail("adapt", f"{len(codes):,} labels for {describe(vectors)}", "one label per row")
    found = label_parts(labels, split, groups=groups, parts=parts, seed=seed)
    units = codes if found.by in ("class", "group", "files") else np.arange(len(codes))
    asked = {
        "select": sampled_units(found.select, units[found.select], most=SELECT_ITEMS, seed=seed),
        "test": sampled_units(found.test, units[found.test], most=_most_of_test(len(codes)), seed=seed),
    }
    everything = np.arange(len(codes))
    index = {
        "select": sampled_index(asked["select"], np.concatenate([found.fit, found.select]), seed=seed),
        "test": everything,
    }
    known = bool(np.isin(codes[found.fit], codes[np.concatenate([found.select, found.test])]).any())
    ranked = {
        name: _ranked(vectors, codes, rows, np.setdiff1d(index[name], rows), known=known)
        for name, rows in asked.items()
    }
    return Job(
        metric,
        found,
        Splits(_fit(vectors, codes, found, batch, known=known), ranked["select"], ranked["test"]),
        forms=lambda: label_grid(*_form_rows(vectors, codes, found.fit, seed)),
        network=lambda form: form,
        start=Head,
        trained=_map_of,
        raw=Identity().of_dims(vectors.shape[1]),
        proxy="supcon",
        too_few=_too_few(codes, found),
        notes=_notes(found, codes, asked, index),
    )


def _most_of_test(items: int) -> int:
    return max(1_000, min(TEST_ITEMS, COMPARISONS // items))


def _ranked(
    vectors: np.ndarray, codes: np.ndarray, asked: np.ndarray, others: np.ndarray, *, known: bool
) -> RowSplit:
    """Items that ask, ranked among each other and the others."""
    reference = RowSplit(vectors, others, torch.from_numpy(codes[others])) if len(others) else None
    return RowSplit(vectors, asked, torch.from_numpy(codes[asked]), reference=reference, known=known)


def _fit(vectors: np.ndarray, codes: np.ndarray, parts: Parts, batch: int, *, known: bool) -> Any:
    """P classes of K items: many classes, and of few classes more items."""
    labels = codes[parts.fit]
    classes = int((np.unique(labels, return_counts=True)[1] > 1).sum())
    if classes < 2:
        raise fail("adapt", f"{classes} classes of fit have two items", "two such classes at least")
    many = min(MOST_CLASSES_IN_BATCH, classes, max(2, batch // FEWEST_OF_A_CLASS))
    return ClassRows(
        vectors,
        parts.fit,
        labels,
        classes_per_batch=many,
        samples_per_class=max(2, batch // many),
        known=known,
    )


def _form_rows(
    vectors: np.ndarray, codes: np.ndarray, fit: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    rows = sampled_units(fit, fit, most=FORM_ROWS, seed=seed)
    return vectors[rows].astype(np.float32, copy=False), codes[rows]


def _map_of(head: nn.Module, name: str) -> Projection:
    assert isinstance(head, Head)
    return head.projection(name, {})


def _too_few(codes: np.ndarray, parts: Parts) -> str:
    if parts.by == "query":
        many, what = len(parts.fit), "items"
    else:
        many, what = len(np.unique(codes[parts.fit])), "classes"
    return f"{many} {what} of fit are fewer than {FEWEST_CLASSES}" if many < FEWEST_CLASSES else ""


def _notes(
    parts: Parts, codes: np.ndarray, asked: Mapping[str, np.ndarray], index: Mapping[str, np.ndarray]
) -> list[str]:
    def many(rows: np.ndarray) -> str:
        return f"{len(rows):,} items of {len(np.unique(codes[rows])):,} classes"

    return [
        f"question: {parts.question}",
        f"fit: {many(parts.fit)}",
        f"select: {many(asked['select'])}{_of(asked['select'], parts.select)} ask, {len(index['select']):,} items of "
        f"select and fit are ranked{_of(index['select'], np.concatenate([parts.fit, parts.select]))}",
        f"test: {many(asked['test'])}{_of(asked['test'], parts.test)} ask, all {len(index['test']):,} items are ranked",
    ]


def _of(drawn: np.ndarray, whole: np.ndarray) -> str:
    return f" (drawn from {len(whole):,})" if len(drawn) < len(whole) else ""

"""Fit, select and test of vectors with labels: who asks, against which index, and in which batches fit comes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metricgrad._checks import fail
from metricgrad.adapting.parts import Parts
from metricgrad.adapting.rows import ClassRows, RowSplit
from metricgrad.adapting.sampled_index import (
    drawn_from,
    most_of_select,
    most_of_test,
    sampled_index,
    sampled_units,
)
from metricgrad.tune import Splits

__all__ = ["fit_batches", "form_rows", "known_classes", "label_splits"]

FORM_ROWS = 200_000
"""Closed forms are fitted on so many rows at most."""
MOST_CLASSES_IN_BATCH, FEWEST_OF_A_CLASS = 128, 4


def label_splits(
    vectors: np.ndarray, codes: np.ndarray, parts: Parts, *, batch: int, seed: int
) -> tuple[Splits, list[str]]:
    """Return the splits and what a reader should know of them, the question first.

    Args:
        vectors: [item, dim].
        codes: the class of every item.
        parts: who fits, selects and tests.
        batch: items of a batch of fit, about.
        seed: of the samples.
    """
    units = np.arange(len(codes)) if parts.by == "query" else codes
    most = {"select": most_of_select(len(parts.fit) + len(parts.select)), "test": most_of_test(len(codes))}
    asked = {
        name: sampled_units(rows, units[rows], most=most[name], seed=seed)
        for name, rows in (("select", parts.select), ("test", parts.test))
    }
    index = {
        "select": sampled_index(asked["select"], np.concatenate([parts.fit, parts.select]), seed=seed),
        "test": np.arange(len(codes)),
    }
    known = known_classes(codes, parts)
    ranked = {
        name: _ranked(vectors, codes, rows, np.setdiff1d(index[name], rows), known=known)
        for name, rows in asked.items()
    }
    fit = fit_batches(vectors, codes, parts.fit, batch, known=known)
    return Splits(fit, ranked["select"], ranked["test"]), _notes(parts, codes, asked, index)


def _ranked(
    vectors: np.ndarray, codes: np.ndarray, asked: np.ndarray, others: np.ndarray, *, known: bool
) -> RowSplit:
    """Items that ask, ranked among each other and the others."""
    reference = RowSplit(vectors, others, torch.from_numpy(codes[others])) if len(others) else None
    return RowSplit(vectors, asked, torch.from_numpy(codes[asked]), reference=reference, known=known)


def known_classes(codes: np.ndarray, parts: Parts) -> bool:
    """Whether select or test has a class of fit."""
    return bool(np.isin(codes[parts.fit], codes[np.concatenate([parts.select, parts.test])]).any())


def fit_batches(vectors: np.ndarray, codes: np.ndarray, fit: np.ndarray, batch: int, *, known: bool) -> Any:
    """P classes of K items: many classes, and of few classes more items."""
    labels = codes[fit]
    classes = int((np.unique(labels, return_counts=True)[1] > 1).sum())
    if classes < 2:
        raise fail("adapt", f"{classes} classes of fit have two items", "two such classes at least")
    many = min(MOST_CLASSES_IN_BATCH, classes, max(2, batch // FEWEST_OF_A_CLASS))
    return ClassRows(
        vectors,
        fit,
        labels,
        classes_per_batch=many,
        samples_per_class=max(2, batch // many),
        known=known,
    )


def form_rows(
    vectors: np.ndarray, codes: np.ndarray, fit: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of fit, and their classes: all, or a sample."""
    rows = sampled_units(fit, fit, most=FORM_ROWS, seed=seed)
    return vectors[rows].astype(np.float32, copy=False), codes[rows]


def _notes(
    parts: Parts, codes: np.ndarray, asked: Mapping[str, np.ndarray], index: Mapping[str, np.ndarray]
) -> list[str]:
    def many(rows: np.ndarray) -> str:
        return f"{len(rows):,} items of {len(np.unique(codes[rows])):,} classes"

    who = {name: f"{many(rows)}{drawn_from(rows, getattr(parts, name))} ask" for name, rows in asked.items()}
    sample = drawn_from(index["select"], np.concatenate([parts.fit, parts.select]))
    return [
        f"question: {parts.question}",
        f"fit: {many(parts.fit)}",
        f"select: {who['select']}, {len(index['select']):,} items of select and fit are ranked{sample}",
        f"test: {who['test']}, all {len(index['test']):,} items are ranked",
    ]

"""Vectors with labels as a job: items are queries and documents, and one map serves both."""

import numpy as np

from metricgrad._types import Metric
from metricgrad.adapting.head import unchanged
from metricgrad.adapting.job import Fewer, Job
from metricgrad.adapting.label_splits import fit_batches, form_rows, known_classes, label_splits
from metricgrad.adapting.parts import Parts
from metricgrad.adapting.sampled_index import sampled_share
from metricgrad.adapting.starts import label_map, label_start
from metricgrad.projection import label_grid

__all__ = ["label_job"]

FEWEST = 50


def label_job(
    vectors: np.ndarray, codes: np.ndarray, parts: Parts, metric: Metric, *, batch: int, seed: int
) -> Job:
    """Prepare it; see `adapt_embeddings`."""
    splits, notes = label_splits(vectors, codes, parts, batch=batch, seed=seed)
    return Job(
        metric,
        parts,
        splits,
        forms=lambda: label_grid(*form_rows(vectors, codes, parts.fit, seed)),
        network=lambda form: form,
        start=lambda form: label_start(form, form_rows(vectors, codes, parts.fit, seed)[0]),
        trained=label_map,
        raw=unchanged(vectors.shape[1]),
        proxy="supcon",
        fewer=lambda share: _fewer(vectors, codes, parts, share, batch=batch, seed=seed),
        too_few=_too_few(*_units(codes, parts, parts.fit)),
        notes=notes,
    )


def _fewer(
    vectors: np.ndarray, codes: np.ndarray, parts: Parts, share: float, *, batch: int, seed: int
) -> Fewer:
    """A share of the classes of fit; of its items, where classes are known."""
    rows = sampled_share(parts.fit, parts.fit if parts.by == "query" else codes[parts.fit], share, seed=seed)
    many, what = _units(codes, parts, rows)
    return Fewer(
        many,
        what,
        fit_batches(vectors, codes, rows, batch, known=known_classes(codes, parts)),
        forms=lambda: label_grid(*form_rows(vectors, codes, rows, seed)),
        start=lambda form: label_start(form, form_rows(vectors, codes, rows, seed)[0]),
        too_few=_too_few(many, what),
    )


def _units(codes: np.ndarray, parts: Parts, rows: np.ndarray) -> tuple[int, str]:
    """How many units some rows have, and what these are."""
    return (len(rows), "items") if parts.by == "query" else (len(np.unique(codes[rows])), "classes")


def _too_few(many: int, what: str) -> str:
    return f"{many} {what} of fit are fewer than {FEWEST}" if many < FEWEST else ""

"""Vectors with labels as a job: items are queries and documents, and one map serves both."""

import numpy as np
from torch import nn

from metricgrad._types import Metric
from metricgrad.adapting.head import Head, unchanged
from metricgrad.adapting.job import Job
from metricgrad.adapting.label_splits import form_rows, label_splits
from metricgrad.adapting.parts import Parts
from metricgrad.projection import Projection, label_grid

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
        start=Head,
        trained=_map_of,
        raw=unchanged(vectors.shape[1]),
        raw_is_an_arm=True,
        proxy="supcon",
        too_few=_too_few(codes, parts),
        notes=notes,
    )


def _map_of(head: nn.Module, name: str) -> Projection:
    assert isinstance(head, Head)
    return head.projection(name, {})


def _too_few(codes: np.ndarray, parts: Parts) -> str:
    if parts.by == "query":
        many, what = len(parts.fit), "items"
    else:
        many, what = len(np.unique(codes[parts.fit])), "classes"
    return f"{many} {what} of fit are fewer than {FEWEST}" if many < FEWEST else ""

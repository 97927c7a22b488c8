"""From vectors and labels to figures: they are read once, then measured metric by metric."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from metricgrad._types import Metric
from metricgrad.cli.figure_document import Figure, Progress, told
from metricgrad.cli.naming import Said
from metricgrad.cli.reading import of_one_kind, read_labels
from metricgrad.cli.vector_files import read_vectors
from metricgrad.errors import InputError
from metricgrad.metrics.progress import watched

__all__ = ["of_embeddings"]

_LONG = 10**7
"""Similarities that take long enough to say what is going on before the first of them are there."""


def of_embeddings(
    metrics: Sequence[Metric],
    embeddings: Path,
    labels: Path | None,
    reference: Path | None,
    reference_labels: Path | None,
    said: Said,
    progress: Progress,
    column: str | None = None,
) -> Iterator[Figure]:
    """Read the files once and yield the statistics of each metric."""
    for exact in metrics:
        if exact.unit != "query":
            raise InputError(
                f"{exact.name} is measured per {exact.unit}, not of embeddings; "
                "expected a file of predictions."
            )
    if labels is None or (reference is None) != (reference_labels is None):
        raise InputError("embeddings came without labels; expected one file of labels for each file of them.")
    vectors = read_vectors(embeddings, column=column, identified=False)
    queries = torch.from_numpy(vectors.array)
    names = read_labels(labels, len(queries), said)
    further: dict[str, Any] = {}
    if reference is not None and reference_labels is not None:
        own = reference.exists() and os.path.samefile(embeddings, reference)
        items = queries
        if not own:
            items = torch.from_numpy(read_vectors(reference, column=column, identified=False).array)
        others = read_labels(reference_labels, len(items), said)
        names, others = of_one_kind(labels, names, reference_labels, others)
        further = {"reference_outputs": items, "reference_targets": others}
        if own:
            warnings.warn(f"{reference} is the file of the queries: none of them finds itself.", stacklevel=2)
        if not set(names.tolist()) & set(others.tolist()):
            raise InputError(
                f"no query has a relevant item: no label in {labels} occurs in {reference_labels}; expected "
                "labels of the same classes."
            )
    for exact in metrics:
        many = len(further.get("reference_outputs", queries))
        if len(queries) * many > _LONG:
            sys.stderr.write(f"{exact.name}: {len(queries):,} queries, each against {many:,} items\n")
            sys.stderr.flush()
        with watched(partial(told, progress, exact.name, "embedding")):
            statistics = exact.measure(queries, names, **further)
        if bool(statistics.isnan().any(1).all()):
            raise InputError(
                f"no query has a relevant item: no label in {labels} occurs twice; {exact.name} needs at "
                "least one class with two items. Are these labels of classes, not of items?"
            )
        yield (
            exact,
            statistics,
            {"items": many, "dim": queries.shape[1], "read": {"embeddings": vectors.names[0]}},
            names,
        )

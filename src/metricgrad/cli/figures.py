"""From files to figures: what is measured is read once, then metric by metric."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from metricgrad._types import Metric
from metricgrad.cli.columns import Predictions
from metricgrad.cli.figure_document import Figure, Progress, told
from metricgrad.cli.naming import Said
from metricgrad.cli.reading import of_one_kind, read_embeddings, read_labels, read_predictions
from metricgrad.errors import InputError
from metricgrad.metrics import average_precision
from metricgrad.metrics.progress import watched

__all__ = ["of_embeddings", "of_predictions"]

_OF_SAMPLES = (
    " The average precision of one score per sample is binary_average_precision, that of a score of each class "
    "macro_average_precision."
)
"""What scikit-learn means by the name of a metric of rankings."""

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
    queries = read_embeddings(embeddings)
    names = read_labels(labels, len(queries), said)
    further: dict[str, Any] = {}
    if reference is not None and reference_labels is not None:
        own = reference.exists() and os.path.samefile(embeddings, reference)
        items = queries if own else read_embeddings(reference)
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
            {"items": many, "dim": queries.shape[1]},
            names,
        )


def of_predictions(
    metrics: Sequence[Metric],
    path: Path,
    positive_class: str | None,
    said: Said,
    groups: str | None,
) -> Iterator[Figure]:
    """Read the table once and yield the statistics of each metric."""
    for exact in metrics:
        if exact.unit == "query":
            raise InputError(
                f"{exact.name} ranks items for each query; expected --embeddings and --labels, "
                f"not predictions.{_OF_SAMPLES if exact.function is average_precision else ''}"
            )
    table = read_predictions(path, said, {} if groups is None else {"--groups": groups})
    members = table.columns.get("--groups")
    given = Predictions(table, positive_class)
    for exact in metrics:
        found = given.of(exact)
        facts: dict[str, Any] = {
            "column": found.column,
            "classes": found.classes,
            "positive_class": found.positive,
            "delimiter": table.delimiter,
        }
        yield exact, exact.measure(found.outputs, found.targets), facts, members

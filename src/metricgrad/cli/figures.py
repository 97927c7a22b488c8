"""From a table of predictions to figures: it is read once, then measured metric by metric."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metricgrad._types import Metric
from metricgrad.cli.columns import Predictions
from metricgrad.cli.figure_document import Figure
from metricgrad.cli.naming import Said
from metricgrad.cli.reading import read_predictions
from metricgrad.errors import InputError
from metricgrad.metrics import average_precision

__all__ = ["of_predictions"]

_OF_SAMPLES = (
    " The average precision of one score per sample is binary_average_precision, that of a score of each class "
    "macro_average_precision."
)
"""What scikit-learn means by the name of a metric of rankings."""


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

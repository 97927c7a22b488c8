"""What `evaluate` has measured over judgements: values of every judged query."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from metricgrad._types import Metric
from metricgrad.cli.figure_document import Figure

__all__ = ["Measured"]


@dataclass(frozen=True)
class Measured:
    """What was measured of the judged queries.

    Attributes:
        queries: ids.
        rows: the statistics of each metric [query, 1]; NaN where nothing is relevant.
        facts: what it was measured of.
    """

    queries: list[str]
    rows: list[tuple[Metric, Tensor]]
    facts: dict[str, Any]

    def figures(self) -> Iterator[Figure]:
        """One figure per metric; every query is drawn for itself."""
        for metric, rows in self.rows:
            yield metric, rows, self.facts, None

    def per_query(self) -> dict[str, np.ndarray]:
        """The values of every query, by metric."""
        return {metric.name: rows[:, 0].numpy() for metric, rows in self.rows}

"""A metric that is written in plain loops over a table, as rules call it."""

from collections.abc import Callable

import torch
from torch import Tensor

from metricgrad.metrics.table_metric import TableMetric


class PlainMetric(TableMetric):
    """`function(table as nested lists) -> value`, NaN or None where undefined; real numbers may be in the table."""

    def __init__(self, function: Callable[[list[list[float]]], float | None], classes: int) -> None:
        super().__init__("accuracy", classes)
        self.function = function

    @property
    def formula(self) -> Callable[[Tensor], Tensor]:
        """The function of every table."""
        return self.values

    def values(self, tables: Tensor) -> Tensor:
        """One table at a time."""
        flat = tables.reshape(-1, self.classes, self.classes).tolist()
        found = [self.function(table) for table in flat]
        values = torch.tensor([float("nan") if v is None else v for v in found], dtype=torch.float64)
        return values.reshape(tables.shape[:-2])

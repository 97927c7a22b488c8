"""What is learned from a table: rows as arrays, their classes, who learns and who judges, and how long it may take."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64

from metricgrad._types import Metric
from metricgrad.differences import Grouping
from metricgrad.tabular.boosting import TreeRows
from metricgrad.tabular.encoded import Encoder, Raw
from metricgrad.tabular.splits import FOLDS, Parts
from metricgrad.tabular.training import Rows

__all__ = ["MODELS", "WHOLE", "Budget", "Job"]

WHOLE = FOLDS
"""The number of the model that learns from all of fit; those before it leave their fold out."""
MODELS = tuple(range(FOLDS + 1))


@dataclass(frozen=True)
class Job:
    """One table and one metric.

    Attributes:
        metric: of decided classes.
        target: the column of the classes.
        classes: their names by number.
        positive: the one that counts as positive, the last; None where there is none.
        encoder: fitted to the training rows.
        raw: all rows.
        y: their classes.
        weight: of each in training; None: all alike.
        groups: of each, where rows belong together.
        parts: of the rows.
        seed: of all draws.
        tabm: whether the network is TabM.
    """

    metric: Metric
    target: str
    classes: tuple[str, ...]
    positive: str | None
    encoder: Encoder
    raw: Raw
    y: Int64[np.ndarray, "row"]
    weight: Float64[np.ndarray, "row"] | None
    groups: list[Any] | None
    parts: Parts
    seed: int
    tabm: bool

    @cached_property
    def dense(self) -> Rows:
        """All rows for a network."""
        weight = None if self.weight is None else torch.tensor(self.weight, dtype=torch.float32)
        return Rows(torch.from_numpy(self.encoder.dense(self.raw)), torch.from_numpy(self.y), weight)

    @cached_property
    def columns(self) -> TreeRows:
        """All rows for trees."""
        return TreeRows(self.encoder.columns(self.raw), self.y, self.weight)

    @property
    def pool(self) -> Int64[np.ndarray, "_"]:
        """Rows that rules are fitted to: fit and select."""
        return np.concatenate([self.parts.fit, self.parts.select])

    def learning(self, model: int) -> Int64[np.ndarray, "_"]:
        """Rows that a model learns from."""
        return self.parts.fit if model == WHOLE else self.parts.fit[self.parts.folds != model]

    def asked(self, model: int) -> Int64[np.ndarray, "_"]:
        """Rows of the pool that a model predicts: its fold; of the model that learns from all of fit, select."""
        return self.parts.select if model == WHOLE else self.parts.fit[self.parts.folds == model]

    def grouping(self, rows: Int64[np.ndarray, "_"]) -> Grouping:
        """What is drawn together of some rows."""
        if self.groups is None:
            return Grouping(None, self.metric.unit)
        return Grouping([str(self.groups[row]) for row in rows.tolist()], "group")


@dataclass
class Budget:
    """Seconds of a run, shared out among the jobs that are left by their weights; what one leaves goes to the others.

    Attributes:
        seconds: of the whole run.
        left: weights of the jobs that were not begun, and of the end of the run.
    """

    seconds: float
    left: list[float]
    began: float = field(default_factory=time.monotonic)

    @property
    def remaining(self) -> float:
        """Seconds until the end."""
        return max(0.0, self.seconds - (time.monotonic() - self.began))

    def take(self) -> float:
        """Seconds for the next job."""
        share = self.remaining * self.left[0] / sum(self.left)
        del self.left[0]
        return share

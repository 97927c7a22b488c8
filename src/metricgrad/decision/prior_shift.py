"""Take a part of the class shares out of the scores: one number for all classes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import fail, tensor_of
from metricgrad.decision.rule import MARGIN, Classes, LogScores, Rule, table_of
from metricgrad.decision.undefined import Undefined
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["PriorShift"]

_EQUAL = 1e-12
_LEAST = 0.5
"""Items that a class without any counts as, so that its logarithm is finite."""


class PriorShift(Rule):
    """The class of the largest log p_k - tau log prior_k; tau is the best on the pool of -0.5, -0.45 ... 2.

    tau = 0 is argmax, 1 decides as if all classes were equally frequent (logit adjustment after training).

    Attributes:
        tau: the number; a buffer. Of equally good ones the smallest in size; 0 where nothing is better than argmax.
        prior: class shares [class]; a buffer.
        values: value of the metric for each tau of the grid.

    Args:
        class_counts: items of each class where the model was trained; by default those of the pool.
        grid: values of tau.
        settings: as `Rule`.

    Edge cases:
        A class without an item among `class_counts` counts as half an item. A class absent from the pool keeps its
        decisions of argmax and gets no other. Undefined for every tau: InputError.

    Gradient: none.

    Cost: O(sample class) per tau.

    Reference:
        [menon2021longtail]

    Example:
        >>> rule = PriorShift().fit(
        ...     [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.8, 0.2]], [0, 1, 0, 0], "macro_f1"
        ... )
        >>> rule.decide([[0.6, 0.4], [0.85, 0.15]])
        tensor([1, 0])
    """

    name = "prior"
    least = 800
    tau: Tensor
    prior: Tensor

    def __init__(
        self,
        *,
        class_counts: Sequence[float] | Tensor | None = None,
        grid: Sequence[float] | None = None,
        **settings: object,
    ) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.class_counts = None if class_counts is None else _numbers(class_counts)
        self.grid = [-0.5 + 0.05 * step for step in range(51)] if grid is None else list(grid)
        self.values = list[float]()
        self.register_buffer("tau", torch.zeros((), dtype=torch.float64))
        self.register_buffer("prior", torch.zeros(0, dtype=torch.float64))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """A number, and one for each class."""
        return {**super().shapes(), "tau": (), "prior": (self.classes,)}

    def is_sound(self) -> bool:
        """Class shares have logarithms, and sum to 1."""
        shares = bool((self.prior > 0).all()) and abs(float(self.prior.sum()) - 1) < 1e-6
        return super().is_sound() and shares

    @property
    def biases(self) -> Tensor:
        """What is added to log p [class]."""
        return -self.tau * self.prior.log()

    def words(self) -> str:
        """The number, and what it means."""
        tau = float(self.tau)
        if tau == 0:
            return "The class of the largest score (argmax): no shift by class shares was better."
        towards = "rare" if tau > 0 else "frequent"
        return (
            f"Log probabilities minus {tau:.2f} times the logarithm of the class shares: {towards} classes are decided "
            "more often."
        )

    def _fit(self, logs: LogScores, y: Classes, value: TableMetric) -> None:
        counts = (
            y.bincount(minlength=self.classes).double() if self.class_counts is None else self.class_counts
        )
        sound = bool((counts >= 0).all()) and 0 < float(counts.sum()) < torch.inf
        if counts.shape != (self.classes,) or not sound:
            came = f"class_counts are {counts.tolist()}"
            raise fail("PriorShift.fit", came, f"a finite number >= 0 for each of {self.classes} classes")
        counts = counts if self.class_counts is not None and bool((counts > 0).all()) else _counted(counts)
        self.prior = counts / counts.sum()
        here = self.seen[logs.argmax(1)]  # the others keep argmax
        rest = table_of(logs.argmax(1)[~here], y[~here], self.classes)
        among, prior = logs[here].masked_fill(~self.seen, -torch.inf), self.prior.log()
        tables = [
            table_of((among - tau * prior).argmax(1), y[here], self.classes) + rest for tau in self.grid
        ]
        gains = value.gains(torch.stack(tables))
        start = float(value.gains(table_of(logs.argmax(1), y, self.classes)))
        best = float(gains.max())
        if best == -torch.inf and start == -torch.inf:
            raise Undefined("PriorShift.fit", value.failure)
        self.values = (gains if value.higher_is_better else -gains).tolist()
        equal = [tau for tau, gain in zip(self.grid, gains.tolist(), strict=True) if gain >= best - _EQUAL]
        tau = min(equal, key=abs) if best > start + MARGIN else 0.0
        self.tau = torch.tensor(tau, dtype=torch.float64)

    def _choose(self, logs: LogScores) -> Classes:
        return self._among_seen(logs + self.biases)


def _numbers(class_counts: Any) -> Tensor:
    return tensor_of("PriorShift", "class_counts", class_counts, "one number per class").cpu().double()


def _counted(counts: Tensor) -> Tensor:
    """Counts, half an item where there is none."""
    return counts.clamp(min=_LEAST)

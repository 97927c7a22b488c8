"""Decide as for the linear cost that the metric is at the present table: a plug-in rule with a measured slope."""

import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad.decision.rule import MARGIN, Classes, LogScores, Rule, table_of
from metricgrad.metrics.table_metric import TableMetric, confusion_slope

__all__ = ["SlopeDecode"]

_TIED = 1e-12
"""Part of the largest slope: expected gains that are nearer than that are equal."""


class SlopeDecode(Rule):
    """The class of the largest expected slope: argmax_k sum_y p(y | x) G[y, k] (an estimate, fitted to the pool).

        G[y, k]    slope of the metric at the table C when one more item of class y is taken for class k
        C          at first the table of argmax; after each round C <- (C + C_new) / 2

    The round of the best value on the pool is kept, argmax where none is better. It is the exact Bayes decision for a
    linear cost; for F measures, G-mean, MCC and kappa a plug-in rule of the Frank-Wolfe kind whose gradient is measured
    by calling the metric.

    Attributes:
        slopes: G [true, predicted], of the metric with the sign that makes higher better; the identity for argmax; a
            buffer.
        start_value: value of argmax on the pool.
        round_values: value after each round.
        flat: whether other decisions were tried, and none changed the value.

    Args:
        rounds: how often the slope is taken.
        step: h as a part of the samples.
        pseudo_count: c in every cell of the table.
        settings: as `Rule`.

    Edge cases:
        ties: the lowest class, also of expected gains that differ by less than 1e-12 of the largest slope. A class
        absent from the pool: no slope is taken of it, an item that argmax takes for it keeps it, and no other item
        gets it. A slope that is undefined ends the rounds.

    Gradient: none.

    Cost: class^2 tables and a product of [sample, class] and [class, class] per round.

    Reference:
        [narasimhan2015consistent], algorithm 1, without its average over classifiers and with a measured gradient.

    Example:
        >>> p = [[0.7, 0.3], [0.8, 0.2], [0.6, 0.4], [0.9, 0.1]]
        >>> rule = SlopeDecode().fit(p, [0, 0, 1, 0], "macro_f1")
        >>> rule.decide(p)
        tensor([0, 0, 1, 0])
    """

    name = "slope"
    least = 200
    slopes: Tensor

    def __init__(
        self, *, rounds: int = 6, step: float = 0.002, pseudo_count: float = 0.5, **settings: object
    ) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.rounds, self.step, self.pseudo_count = rounds, step, pseudo_count
        self.start_value, self.round_values, self.flat = float("nan"), list[float](), False
        self.register_buffer("slopes", torch.zeros(0, 0, dtype=torch.float64))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """A number for each pair of classes."""
        return {**super().shapes(), "slopes": (self.classes, self.classes)}

    @property
    def is_argmax(self) -> bool:
        """Whether nothing was better than argmax."""
        return bool((self.slopes == torch.eye(self.classes, dtype=torch.float64)).all())

    def words(self) -> str:
        """What a mistake costs, the dearest first, against the mean mistake; for two classes the cut that it is."""
        if self.is_argmax:
            return "The class of the largest score (argmax): nothing was better."
        costs = self.slopes.diagonal()[:, None] - self.slopes  # [true, predicted]
        if self.classes == 2 and bool((costs.sum(1) > 0).all()):
            cut = float(costs[0, 1] / (costs[0, 1] + costs[1, 0]))
            return f"{self.class_name(1)} from a probability of {cut:.3f} on (argmax: from 0.5 on)."
        among = self.seen[:, None] & self.seen & ~torch.eye(self.classes, dtype=torch.bool)
        mean = costs[among].mean().abs()
        dearest = torch.where(among, costs, -torch.inf).reshape(-1).sort(descending=True, stable=True).indices
        shown = [divmod(int(cell), self.classes) for cell in dearest[: min(12, int(among.sum()))]]
        lines = [
            f"  true {self.class_name(y)}, decided {self.class_name(k)}: {float(costs[y, k] / mean):.2f}"
            for y, k in shown
        ]
        more = int(among.sum()) - len(shown)
        lines += [f"  and {more} cheaper mistakes"] if more else []
        return "\n".join(
            ["The class of the least expected cost. Costs, where the mean mistake costs 1:", *lines]
        )

    def _fit(self, logs: LogScores, y: Classes, value: TableMetric) -> None:
        probabilities = logs.softmax(1)
        decided = logs.argmax(1)
        table = table_of(decided, y, self.classes)
        sign = 1.0 if value.higher_is_better else -1.0
        best = float(value.gains(table))
        self.start_value, self.round_values = sign * best, []
        kept, moved = torch.eye(self.classes, dtype=torch.float64), False
        for _ in range(self.rounds):
            slopes = sign * self._slopes(table, value)
            if not bool(torch.isfinite(slopes).all()):
                self.note = "the slope of the metric is undefined here"
                break
            other = self._decided_by(slopes, probabilities, logs)
            new, moved = table_of(other, y, self.classes), moved or bool((other != decided).any())
            gain = float(value.gains(new))
            self.round_values.append(sign * gain)
            if gain > best + MARGIN:
                best, kept = gain, slopes
            table = (table + new) / 2
        self.slopes = kept
        self.flat = moved and all(value == self.start_value for value in self.round_values)

    def _slopes(self, table: Tensor, value: TableMetric) -> Float64[Tensor, "true predicted"]:
        return confusion_slope(
            value,
            table,
            step=self.step * float(table.sum()),
            pseudo_count=self.pseudo_count,
            among=self.seen,
        )

    def _decided_by(self, slopes: Tensor, probabilities: Tensor, logs: LogScores) -> Classes:
        """Decisions of the pool by these slopes."""
        largest = logs.argmax(1)
        return torch.where(self.seen[largest], self._largest(slopes, probabilities), largest)

    def _choose(self, logs: LogScores) -> Classes:
        return self._largest(self.slopes, logs.softmax(1))

    def _largest(self, slopes: Tensor, probabilities: Tensor) -> Classes:
        """The class of the largest expected gain among those of the pool, the first of equal ones.

        Rows of probabilities sum to 1, so what is taken off a column is taken off the gain of its class: a little more
        from class to class, which is more than rounding, and all that there is from absent classes.
        """
        size = slopes.abs().max()
        order = torch.arange(len(slopes), dtype=slopes.dtype, device=slopes.device) * (_TIED * size)
        return (probabilities @ (slopes - order - (4 * size + 1) * ~self.seen)).argmax(1)

"""A bias for each class, found by a coordinate search over every place where a decision changes."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad.decision.cuts import best_cut
from metricgrad.decision.prior_shift import PriorShift
from metricgrad.decision.rule import MARGIN, Classes, LogScores, Rule, table_of
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["ClassBiases"]

_CELLS = 2**22
"""Numbers in the tables of one coordinate: beyond it the cuts are evenly spaced among the items."""

_CALLS = 50
"""Cuts of one coordinate for a metric that can only be called."""


class ClassBiases(Rule):
    """The class of the largest log p_k + b_k; b is fitted to the pool (an estimate), the mean of several fits.

    Each fit is a coordinate search from 0 on a bootstrap resample of the pool: class by class, every interval between
    the breakpoints max_{j != k} (log p_j + b_j) - log p_k, three sweeps, only strict improvements.

    Attributes:
        biases: b [class], mean 0 over the classes of the pool; a buffer. All 0 where argmax is not beaten.

    Args:
        bags: resamples whose fits are averaged; 1 is one fit to the pool as it is.
        shrinkage: `auto` multiplies b by n / (n + 50 class); a number by itself; None leaves it.
        sweeps: of a search.
        least_of_class: a class with fewer items of the pool gets the bias of the prior shift.
        class_counts: as `PriorShift`.
        settings: as `Rule`.

    Edge cases:
        Two classes with equal log p_k + b_k: the lower one. A class absent from the pool keeps its decisions of argmax
        and gets no other. Where no single bias is better than none (every candidate ties), the search starts from the
        prior shift; where G-mean is 0 it climbs the mean of log(recall + 1/n).
        Undefined for every candidate: InputError.

    Gradient: none.

    Cost: sweeps * class searches per bag, each O(n log n + cuts * class^2). No more cuts than tables with 4 million
        numbers hold are looked at; 50 where the metric has no formula.

    Reference:
        [narasimhan2015consistent]

    Example:
        >>> p = [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.6, 0.1, 0.3], [0.8, 0.1, 0.1]]
        >>> rule = ClassBiases(bags=1, least_of_class=0).fit(p, [0, 1, 2, 0], "macro_f1")
        >>> rule.decide(p)
        tensor([0, 1, 2, 0])
    """

    name = "biases"
    least = 3_000
    biases: Tensor

    def __init__(
        self,
        *,
        bags: int = 6,
        shrinkage: float | Literal["auto"] | None = None,
        sweeps: int = 3,
        least_of_class: int = 10,
        class_counts: Sequence[float] | Tensor | None = None,
        **settings: object,
    ) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.bags, self.shrinkage, self.sweeps, self.least_of_class = bags, shrinkage, sweeps, least_of_class
        self.class_counts = class_counts
        self.register_buffer("biases", torch.zeros(0, dtype=torch.float64))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """A number for each class."""
        return {**super().shapes(), "biases": (self.classes,)}

    def words(self) -> str:
        """The biases as factors of the probabilities."""
        if not bool(self.biases.any()):
            return "The class of the largest score (argmax): no biases were better."
        lines = [
            f"  {self.class_name(k)} times {float(self.biases[k].exp()):.3g}"
            for k in range(self.classes)
            if bool(self.seen[k])
        ]
        return "\n".join(["The class of the largest probability, after these factors:", *lines])

    def _fit(self, logs: LogScores, y: Classes, value: TableMetric) -> None:
        start = float(value.gains(table_of(logs.argmax(1), y, self.classes)))
        self.biases = torch.zeros(self.classes, dtype=torch.float64)
        shifted = PriorShift(class_counts=self.class_counts, inputs="logits").fit(logs, y, value).biases
        generator = torch.Generator().manual_seed(0)
        found = []
        for _ in range(self.bags):
            items = torch.arange(len(y)) if self.bags == 1 else _resample(len(y), generator)
            found.append(self._search(logs[items], y[items], value, shifted))
        biases = torch.stack(found).mean(0)
        if self.shrinkage == "auto":
            biases = biases * len(y) / (len(y) + 50 * self.classes)
        elif isinstance(self.shrinkage, float | int):
            biases = biases * float(self.shrinkage)
        gain = float(value.gains(table_of(self._by(biases, logs), y, self.classes)))
        if gain > start + MARGIN:
            self.biases = biases

    def _search(
        self, logs: LogScores, y: Classes, value: TableMetric, shifted: Tensor
    ) -> Float64[Tensor, "class"]:
        """Biases of one fit, of mean 0 over the classes of the pool."""
        few = y.bincount(minlength=self.classes) < self.least_of_class
        start = torch.where(few & self.seen, shifted, 0.0)
        free = (~few & self.seen).nonzero()[:, 0].tolist()
        found = self._climb(logs, y, value, start, free)
        if bool((found == start).all()) and len(
            free
        ):  # a flat start: every candidate ties, or none is better
            other = self._climb(logs, y, value, shifted, free)
            gains = [value.gains(table_of(self._by(b, logs), y, self.classes)) for b in (found, other)]
            if float(gains[1]) > float(gains[0]) + MARGIN:
                found = other
                self.note = "no single bias was better than none: the search started from the prior shift"
        return torch.where(self.seen, found - found[self.seen].mean(), 0.0)

    def _climb(
        self, logs: LogScores, y: Classes, value: TableMetric, start: Tensor, free: list[int]
    ) -> Float64[Tensor, "class"]:
        """Coordinate search from a start, which comes back as it is where nothing is better."""
        here = self.seen[logs.argmax(1)]  # the others keep argmax
        rest = table_of(logs.argmax(1)[~here], y[~here], self.classes)
        logs, y = logs[here].masked_fill(~self.seen, -torch.inf), y[here]
        biases = start.clone()
        table = table_of((logs + biases).argmax(1), y, self.classes) + rest
        gains = climbable(value, table)
        best = float(gains(table))
        most = _CALLS if value.formula is None else max(2, _CELLS // self.classes**2)
        for _ in range(self.sweeps):
            before = best
            for k in free if len(y) and self.classes > 1 else []:
                others = logs + biases
                others[:, k] = -torch.inf
                top, other = others.max(1)
                if not bool(torch.isfinite(top).all()):
                    continue  # the only class of the pool
                own = torch.full_like(y, k)
                cut = best_cut(
                    logs[:, k] - top,
                    other,
                    own,
                    y,
                    gains,
                    classes=self.classes,
                    present=-float(biases[k]),
                    rest=rest,
                    most=most,
                )
                if cut.gain > best + MARGIN:
                    biases[k], best = -cut.at, cut.gain
            if best <= before:
                break
        return biases

    def _by(self, biases: Tensor, logs: LogScores) -> Classes:
        largest = logs.argmax(1)
        return torch.where(self.seen[largest], self._among_seen(logs + biases), largest)

    def _choose(self, logs: LogScores) -> Classes:
        return self._among_seen(logs + self.biases)


def climbable(value: TableMetric, table: Float64[Tensor, "true predicted"]) -> Callable[[Tensor], Tensor]:
    """What a search climbs: the metric; for G-mean, where it is 0, the mean of log(recall + 1/n).

    Example:
        >>> climbable(TableMetric("macro_f1", 2), torch.eye(2).double()).__name__
        'gains'
    """
    name = getattr(value.metric.function, "__name__", value.metric.name)
    start = float(value.gains(table))
    if name not in ("g_mean", "geometric_mean_score") or start != 0:
        return value.gains
    samples = float(table.sum())

    def smooth(tables: Tensor) -> Tensor:
        present = tables.sum(-1)
        recall = tables.diagonal(dim1=-2, dim2=-1) / present.clamp(min=1)
        return ((recall + 1 / samples).log() * (present > 0)).sum(-1) / (present > 0).sum(-1)

    return smooth


def _resample(items: int, generator: torch.Generator) -> Tensor:
    return torch.randint(items, (items,), generator=generator)

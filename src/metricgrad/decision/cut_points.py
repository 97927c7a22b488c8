"""Ordered classes from one real number: a cut between each class and the next."""

from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from metricgrad._checks import describe, fail, require_finite, tensor_of, whole_number
from metricgrad.decision.cuts import best_cut
from metricgrad.decision.rule import MARGIN, Classes, Rule, table_of
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["CutPoints", "nearest_class", "rounding_cuts"]

_CALLS = 200
"""Places of one cut for which a metric is called that has no formula."""

_MOST_CLASSES = 10_000
"""Tables of more ordered classes would not fit into memory."""

Values = Float64[Tensor, "sample"]


class CutPoints(Rule):
    """Class k where the value lies between the cuts k - 1 and k: for ordered classes and one output (an estimate).

    A coordinate search: from cuts that give every class its share of the pool, one cut after the other goes to the best
    of all places between its neighbours, until no move is better. Where rounding to the nearest class number
    is at least as good, the cuts are those of rounding.

    Attributes:
        cuts: [class - 1], rising; a buffer. A value that equals a cut is in the lower class.

    Args:
        classes: how many there are; by default one more than the largest target.
        sweeps: of the search, at most.
        settings: `class_names`.

    Edge cases:
        All values equal: one class for all. A class between equal cuts gets no item. Undefined for every place:
        InputError.

    Gradient: none.

    Cost: O(sample log sample + sample class^2) per sweep; 200 calls per cut for a metric without a formula.

    Example:
        >>> rule = CutPoints().fit([0.1, 0.2, 0.6, 0.7, 0.8, 0.9], [0, 0, 1, 1, 2, 2], "accuracy")
        >>> rule.decide([0.0, 0.65, 5.0]), rule.words()
        (tensor([0, 1, 2]), 'class 0 up to 0.4, class 1 up to 0.75, class 2 above.')
    """

    name = "cuts"
    least = 200
    cuts: Tensor

    def __init__(self, *, classes: int | None = None, sweeps: int = 10, **settings: object) -> None:
        super().__init__(**{"inputs": "logits", **settings})  # pyright: ignore[reportArgumentType]
        self.wanted = None if classes is None else whole_number("CutPoints", "classes", classes, least=2)
        self.sweeps = sweeps
        self.register_buffer("cuts", torch.zeros(0, dtype=torch.float64))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """A cut between each class and the next."""
        return {**super().shapes(), "cuts": (self.classes - 1,)}

    def is_sound(self) -> bool:
        """Cuts rise."""
        return super().is_sound() and bool((self.cuts.diff() >= 0).all())

    def words(self) -> str:
        """Where each class ends."""
        ends = [f"{self.class_name(k)} up to {float(cut):.4g}" for k, cut in enumerate(self.cuts)]
        return ", ".join([*ends, f"{self.class_name(self.classes - 1)} above."])

    def forward(self, p: Tensor) -> Classes:
        """As `decide`, without its checks."""
        return self._choose(p.double().reshape(-1))

    def example(self) -> Tensor:
        """Two values."""
        return torch.zeros(2)

    def _read(self, caller: str, p: Any) -> Values:
        values = tensor_of(caller, "values", p, "one number per sample [sample]").cpu()
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise fail(caller, f"values are {describe(values)}", "one number per sample [sample]")
        return require_finite(caller, "values", values.double())

    def _count_classes(self, scores: Values, y: Any) -> int:
        if self.wanted is not None:
            return self.wanted
        known = tensor_of("CutPoints.fit", "targets", y, "class numbers").double()
        largest = float(known.nan_to_num().max()) if known.numel() else 1.0
        if largest >= _MOST_CLASSES:
            raise fail(
                "CutPoints.fit", f"a target is {largest:g}", f"class numbers from 0, below {_MOST_CLASSES:,}"
            )
        return max(2, int(largest) + 1)

    def _columns(self, scores: Values) -> int:
        return self.classes

    def _decided(self, logs: Values) -> Classes:
        return self._choose(logs)

    def _choose(self, logs: Values) -> Classes:
        return (logs[:, None] > self.cuts).sum(1)

    def _fit(self, logs: Values, y: Classes, value: TableMetric) -> None:
        self.seen = torch.ones(self.classes, dtype=torch.bool)
        self.cuts = rounding = rounding_cuts(self.classes)
        start = float(value.gains(table_of(self._choose(logs), y, self.classes)))
        self.cuts = _by_shares(logs, y, self.classes)
        best = float(value.gains(table_of(self._choose(logs), y, self.classes)))
        for _ in range(self.sweeps):
            before = best
            for k in range(self.classes - 1):
                best = max(best, self._move(k, best, logs, y, value))
            if best <= before:
                break
        if not best > start + MARGIN:
            self.cuts = rounding

    def _move(self, k: int, best: float, values: Values, y: Classes, value: TableMetric) -> float:
        """Put cut k to its best place between its neighbours, where that gains; the value there."""
        low = float(self.cuts[k - 1]) if k else -torch.inf
        high = float(self.cuts[k + 1]) if k + 2 < self.classes else torch.inf
        here = (values > low) & (values <= high)
        if not bool(here.any()):
            return best
        below = torch.full_like(y[here], k)
        cut = best_cut(
            values[here],
            below,
            below + 1,
            y[here],
            value.gains,
            classes=self.classes,
            present=float(self.cuts[k]),
            rest=table_of(self._choose(values)[~here], y[~here], self.classes),
            most=None if value.formula is not None else _CALLS,
        )
        if cut.gain > best + MARGIN:
            self.cuts = self.cuts.clone()
            self.cuts[k] = min(max(cut.at, low), high)
        return cut.gain if cut.gain > best + MARGIN else best


def rounding_cuts(classes: int) -> Float64[Tensor, "cut"]:
    """Cuts in the middle between the numbers of the classes: those of the nearest one.

    Example:
        >>> rounding_cuts(3)
        tensor([0.5000, 1.5000], dtype=torch.float64)
    """
    return torch.arange(classes - 1, dtype=torch.float64) + 0.5


def nearest_class(values: Float[Tensor, "sample"], classes: int) -> Classes:
    """The class whose number is nearest to each value; of two the lower one.

    Example:
        >>> nearest_class(torch.tensor([-3.0, 1.5, 1.6, 9.0]), 3)
        tensor([0, 1, 2, 2])
    """
    return torch.bucketize(values.double(), rounding_cuts(classes))


def _by_shares(values: Values, y: Classes, classes: int) -> Float64[Tensor, "cut"]:
    """Cuts that give every class as many items as it has."""
    rising = values.sort().values
    ends = y.bincount(minlength=classes).cumsum(0)[:-1]  # items up to class k
    above, below = rising[ends.clamp(max=len(rising) - 1)], rising[(ends - 1).clamp(min=0)]
    return torch.where(ends == 0, below - 1, torch.where(ends == len(rising), above + 1, (above + below) / 2))

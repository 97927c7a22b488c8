"""One cut in an order of items: every place between two distinct values and both ends, scored by their tables.

An item above the cut is decided as its `high` class, another as its `low` one. Thresholds, biases (one class against
the best other one) and cut points of ordered classes are all such a cut.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from metricgrad.decision.undefined import Undefined

__all__ = ["MOST_CALLS", "Cut", "best_cut"]

MOST_CALLS = 1_000
"""Cuts for which a metric without a formula is called; of more, as many are taken, evenly spaced among the items."""

_CELLS = 2**22
"""Numbers of the tables that are held at once."""

_EQUAL = 1e-12
"""Gains that differ by less are equal: sums of the same counts in another order."""

Values = Float64[Tensor, "sample"]
Items = Int64[Tensor, "sample"]
Kept = Int64[Tensor, "cut"]


class Cut(NamedTuple):
    """A cut and what it gains.

    Attributes:
        at: the cut: items whose value is above it are high.
        gain: value of the metric there, higher is better.
        interval: the values between which every cut decides alike; infinite at the ends.
        above: how many items are high.
        thinned: whether not every cut was looked at.
    """

    at: float
    gain: float
    interval: tuple[float, float]
    above: int
    thinned: bool


def best_cut(
    values: Values,
    low: Items,
    high: Items,
    y: Items,
    gains: Callable[[Tensor], Tensor],
    *,
    classes: int,
    present: float,
    rest: Float64[Tensor, "true predicted"] | None = None,
    distance: Callable[[Tensor], Tensor] = lambda cut: cut,
    most: int | None = None,
) -> Cut:
    """Find the best cut; of equally good ones the nearest to the present cut, then the one with fewest items above.

    Args:
        values: what is cut, finite.
        low: class of each item at or below the cut.
        high: class of each item above it.
        y: true classes.
        gains: tables [cut, true, predicted] -> [cut], -inf where undefined.
        classes: how many there are.
        present: the present cut, which is kept where it lies in the best interval.
        rest: table of all items that the cut does not touch.
        distance: a rising map; nearness is measured after it.
        most: cuts that are looked at.

    Raises:
        Undefined: the metric is undefined for every cut.

    Cost: O(n log n) and a table per cut.
    """
    order = values.argsort(descending=True, stable=True)
    falling = values[order]
    last = torch.ones(len(falling), dtype=torch.bool)  # the last item of equal ones
    last[:-1] = falling[:-1] != falling[1:]
    above = torch.cat([torch.zeros(1, dtype=torch.long), last.nonzero()[:, 0] + 1])  # [cut] items above
    kept = _thin(above, most)
    start = _tally(y, low, classes) + (0 if rest is None else rest)
    found = torch.cat([gains(t) for t in _tables(order, low, high, y, start, kept)])
    best = float(found.max())
    if best == -torch.inf:
        raise Undefined("a cut")
    good = (found >= best - _EQUAL * max(1.0, abs(best))).nonzero()[:, 0]
    upper = torch.cat([torch.tensor([torch.inf], dtype=torch.float64), falling[kept[1:] - 1]])
    lower = torch.cat([falling[kept[:-1]], torch.tensor([-torch.inf], dtype=torch.float64)])
    if len(kept) < len(above):  # values that follow the last item above, not the first of the next kept cut
        lower = torch.where(kept < len(falling), falling[kept.clamp(max=len(falling) - 1)], -torch.inf)
    chosen = int(good[_nearest(lower[good], upper[good], present, distance)])
    interval = float(lower[chosen]), float(upper[chosen])
    at = present if interval[0] <= present < interval[1] else _within(interval, falling)
    return Cut(at, float(found[chosen]), interval, int(kept[chosen]), len(kept) < len(above))


def _thin(above: Int64[Tensor, "every"], most: int | None) -> Kept:
    """At most so many cuts, evenly spaced among the items, both ends included."""
    if most is None or len(above) <= most:
        return above
    wanted = torch.linspace(0, float(above[-1]), most, dtype=torch.float64)
    return above[torch.searchsorted(above.double(), wanted).clamp(max=len(above) - 1)].unique()


def _tables(order: Items, low: Items, high: Items, y: Items, start: Tensor, above: Kept) -> Iterator[Tensor]:
    """Tables of the cuts, the highest cut first, a few at a time."""
    classes = len(start)
    gained = (y * classes + high)[order]
    lost = (y * classes + low)[order]
    table, block = start.reshape(-1), max(1, _CELLS // classes**2)
    done = 0
    for some in above.split(block):
        items = slice(done, int(some[-1]))
        place = torch.searchsorted(some, torch.arange(items.start, items.stop), right=True)
        change = table.new_zeros(len(some) * classes**2)
        one = torch.ones(len(place), dtype=torch.float64)
        change.index_add_(0, place * classes**2 + gained[items], one)
        change.index_add_(0, place * classes**2 + lost[items], -one)
        tables = table + change.reshape(len(some), -1).cumsum(0)
        yield tables.reshape(-1, classes, classes)
        table, done = tables[-1], int(some[-1])


def _tally(y: Items, decided: Items, classes: int) -> Float64[Tensor, "true predicted"]:
    cells = (y * classes + decided).bincount(minlength=classes**2)
    return cells.reshape(classes, classes).double()


def _nearest(lower: Tensor, upper: Tensor, present: float, distance: Callable[[Tensor], Tensor]) -> Tensor:
    """Place of the interval [lower, upper) nearest to the present cut; of equally near ones the first."""
    here = torch.tensor(present, dtype=torch.float64)
    inside = (lower <= here) & (here < upper)
    away = torch.minimum((distance(lower) - distance(here)).abs(), (distance(upper) - distance(here)).abs())
    return away.masked_fill(inside, -1.0).argmin()


def _within(interval: tuple[float, float], falling: Values) -> float:
    """The midpoint of an interval; of one without end, the other end moved by half the nearest gap."""
    low, high = interval
    if low > -torch.inf and high < torch.inf:
        middle = low + (high - low) / 2
        return middle if low <= middle < high else low
    gaps = (falling[:-1] - falling[1:]) if len(falling) > 1 else falling.new_zeros(0)
    gaps = gaps[gaps > 0]
    if high == torch.inf:
        return low + (float(gaps[0]) / 2 if len(gaps) else 0.5)
    return high - (float(gaps[-1]) / 2 if len(gaps) else 0.5)

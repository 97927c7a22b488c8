"""From values to places: the ends of an axis, its round ticks, and where a value lies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from metricgrad.report.chart import Axis, finite

__all__ = ["Scale", "scale_of"]

_ROOM = 0.04
_MANY = "⁰¹²³⁴⁵⁶⁷⁸⁹"


@dataclass(frozen=True)
class Scale:
    """An axis on paper: `low` lies at `start`, `high` at `end`, in pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    ticks: Sequence[tuple[float, str]]

    def place(self, value: float) -> float:
        """Where a value lies; those beyond the ends lie beyond them."""
        if self.log:
            value = math.log10(value) if value > 0 else self.low
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def shown(self) -> list[tuple[float, str]]:
        """The ticks that lie within the ends: place and text."""
        low, high = sorted((self.start, self.end))
        found = [(self.place(value), text) for value, text in self.ticks]
        return [(place, text) for place, text in found if low - 0.5 <= place <= high + 0.5]


def scale_of(axis: Axis, values: Sequence[float], start: float, end: float, *, apart: float) -> Scale:
    """Return the scale of an axis.

    Args:
        axis: as it was asked for.
        values: that must lie within it, where it has no ends of its own.
        start: place of its low end.
        end: place of its high end.
        apart: least distance of two ticks, in pixels.

    Edge cases:
        no value: from 0 to 1; all alike: as much room on both sides.
    """
    low, high = axis.span if axis.span is not None else _ends(values, log=axis.log)
    if axis.log:
        low, high = (math.log10(value) for value in (low, high)) if axis.span else (low, high)
    if not (finite(low) and finite(high)) or high <= low:
        low, high = _apart(low if finite(low) else 0.0)
    most = max(2, int(abs(end - start) / apart))
    if axis.ticks is not None:
        ticks = _thinned(axis.ticks, most)
    else:
        ticks = _decades(low, high, most) if axis.log else _round(low, high, most)
    return Scale(low, high, start, end, axis.log, ticks)


def _ends(values: Sequence[float], *, log: bool) -> tuple[float, float]:
    """The ends with a little room beyond the values; exponents of ten where logarithmic."""
    known = [math.log10(value) for value in values if value > 0] if log else list(values)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    if low == high:
        return _apart(low)
    room = _ROOM * (high - low)
    return low - room, high + room


def _apart(value: float) -> tuple[float, float]:
    """Ends around one value."""
    room = 0.1 * abs(value) or 0.5
    return value - room, value + room


def _round(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Multiples of 1, 2 or 5 times a power of ten: at most so many."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((power * factor for factor in (1, 2, 5, 10) if power * factor >= rough), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(step * count, _written(step * count, decimals)) for count in range(first, last + 1)]


def _written(value: float, decimals: int) -> str:
    """A tick in figures: a sign where it is negative, powers of ten where it is very large or small."""
    if value == 0:
        return "0"
    if decimals > 6 or abs(value) >= 1e7:
        return f"{value:.3g}"
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _decades(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Powers of ten; between them 2 and 5 where there are few."""
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    every = max(1, math.ceil((last - first + 1) / most))
    ticks = [(10.0**power, _power(power)) for power in range(first, last + 1, every)]
    if len(ticks) < 3:
        between = (factor * 10.0**power for power in range(math.floor(low), last + 1) for factor in (1, 2, 5))
        ticks = [(value, f"{value:.6g}") for value in between if low <= math.log10(value) <= high]
    return ticks


def _power(power: int) -> str:
    if -4 <= power <= 4:
        return f"{10.0**power:,.{max(0, -power)}f}"
    return "10" + "".join("⁻" if letter == "-" else _MANY[int(letter)] for letter in str(power))


def _thinned(ticks: Sequence[tuple[float, str]], most: int) -> list[tuple[float, str]]:
    """As many ticks as there is room for, the first kept."""
    every = max(1, math.ceil(len(ticks) / most))
    return list(ticks[::every])

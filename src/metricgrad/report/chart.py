"""What a figure shows, before it is drawn: lines, marks and bands over two axes.

Colours are not here: an `ink` is the name of a class of the style sheet, so that one figure serves a white page, a
near-black one and paper.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Axis", "Band", "Chart", "Level", "Series", "finite"]

_LARGEST = 1e300
"""Beyond it differences overflow."""


@dataclass(frozen=True)
class Series:
    """Points in one ink: a line through them, marks at them, or both.

    Attributes:
        x: across.
        y: up; what is None or not finite is a gap.
        ink: class of the style sheet.
        name: in the legend; empty for none.
        width: of the line; 0 for none.
        dash: of the line: solid, dot, dash, dashdot, longdash or longdashdot.
        mark: shape at every point; empty for none.
        size: of the marks.
        opacity: of all of it.
        told: what a pointer is told at every point; one text is told of the whole.
    """

    x: Sequence[float]
    y: Sequence[float | None]
    ink: str
    name: str = ""
    width: float = 0.0
    dash: str = "solid"
    mark: str = ""
    size: float = 7.0
    opacity: float = 1.0
    told: Sequence[str] = ()

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points that can be drawn."""
        return [(x, y) for x, y in zip(self.x, self.y, strict=True) if finite(x) and finite(y)]  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Band:
    """What lies between two curves."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    ink: str


@dataclass(frozen=True)
class Level:
    """A line across the whole figure: at a value of x, or at one of y where `across`."""

    value: float
    ink: str
    dash: str = "solid"
    across: bool = False


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: what is counted, and in what.
        span: its ends; None for those of the points with a little room.
        log: logarithmic; what is not positive is not drawn.
        ticks: values with their texts; None for round ones.
    """

    title: str = ""
    span: tuple[float, float] | None = None
    log: bool = False
    ticks: Sequence[tuple[float, str]] | None = None


@dataclass(frozen=True)
class Chart:
    """A figure.

    Attributes:
        series: drawn in their order, the last on top.
        x: axis across.
        y: axis up.
        height: of the plot in pixels, without legend and titles.
        rows: names of rows, from above, where these take the place of the axis up; then y counts rows from 0.
        bands: below everything.
        levels: below the series.
        legend: whether names are shown.
        half: whether it stands beside another, in half of the page's width.
    """

    series: Sequence[Series]
    x: Axis
    y: Axis = field(default_factory=Axis)
    height: int = 300
    rows: Sequence[str] = ()
    bands: Sequence[Band] = ()
    levels: Sequence[Level] = ()
    legend: bool = True
    half: bool = False

    def extent(self, *, across: bool) -> list[float]:
        """Every value that must lie within an axis."""
        found: list[float] = [level.value for level in self.levels if level.across != across]
        for one in self.series:
            found += [point[0 if across else 1] for point in one.points]
        for band in self.bands:
            found += list(band.x) if across else [*band.low, *band.high]
        return [value for value in found if finite(value)]


def finite(value: float | None) -> bool:
    """Whether a value can be drawn.

    Example:
        >>> finite(1.0), finite(None), finite(float("nan"))
        (True, False, False)
    """
    return value is not None and math.isfinite(value) and abs(value) < _LARGEST

"""A figure as inline SVG: two drawings, one for a wide page and one for a narrow, of which the style sheet shows one.

Text keeps its size on a phone, which one drawing that shrinks would not give. Nothing is loaded and nothing runs:
details are `<title>` elements, and what the figure shows stands in `<desc>` for those who do not see it.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from metricgrad.report.chart import Chart, Level, Series, finite
from metricgrad.report.foreign_text import escaped, shown
from metricgrad.report.marks import DASHES, mark_path
from metricgrad.report.scale import Scale, scale_of

__all__ = ["described", "drawn"]

WIDE, HALF, NARROW = 880, 380, 350
"""Widths of a drawing in its own units, which are pixels where it has as many."""
_LINE, _SMALL, _ROW = 18, 7.1, 50
_FINE = 5
"""Size of marks that have no outline."""
_MOST_POINTS, _MOST_TOLD, _MOST_DESCRIBED = 600, 150, 24


@dataclass(frozen=True)
class _Frame:
    """Where the plot lies in a drawing."""

    width: int
    height: float
    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale


def drawn(chart: Chart, ident: str, label: str) -> Markup:
    """Return a figure as one or two `svg` elements.

    Args:
        chart: what it shows.
        ident: name of the figure on its page.
        label: what it is called: its title.

    Example:
        >>> from metricgrad.report.chart import Axis
        >>> chart = Chart(
        ...     [Series([0, 1], [2.0, 3.0], "start-1", "start", width=2)], Axis("step"), Axis("loss")
        ... )
        >>> "start: 2 at 0, 3 at 1" in drawn(chart, "loss", "Loss of the start")
        True
    """
    widths = {"half": HALF} if chart.half else {"wide": WIDE, "narrow": NARROW}
    name = re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):x}_", ident)
    return Markup("\n").join(
        _drawing(chart, f"{name}-{kind}", kind, width, label) for kind, width in widths.items()
    )


def described(chart: Chart) -> str:
    """What a figure shows, in words: every curve that has a name, from where to where; else what its marks tell."""
    named = [(one.name, points) for one in chart.series if one.name and (points := one.points)]
    if named:
        lines = [_course(name, points) for name, points in named]
    else:
        lines = [text for one in chart.series if one.mark for text in one.told]
    lines += [f"and {len(lines) - _MOST_DESCRIBED} more"] if len(lines) > _MOST_DESCRIBED else []
    return "; ".join([*lines[:_MOST_DESCRIBED], *lines[_MOST_DESCRIBED:][-1:]])


def _course(name: str, points: Sequence[tuple[float, float]]) -> str:
    """One curve, or a cloud of points, in words."""
    (x, y), (last, end) = points[0], points[-1]
    rising = all(a[0] <= b[0] for a, b in itertools.pairwise(points))
    if not rising:
        return f"{name}: {len(points)} points"
    return f"{name}: {y:.4g} at {x:.6g}" + (f", {end:.4g} at {last:.6g}" if len(points) > 1 else "")


def _drawing(chart: Chart, ident: str, kind: str, width: int, label: str) -> Markup:
    """One `svg` element."""
    legend, below = _legend(chart, width)
    frame = _frame(chart, width, below)
    parts = [
        Markup('<title id="{0}-t">{1}</title><desc id="{0}-d">{2}</desc>').format(
            ident, escaped(label), escaped(described(chart))
        ),
        _clip(frame, ident),
        *legend,
        *_axes(chart, frame),
        *_bands(chart, frame),
        *(_level(level, frame) for level in chart.levels),
        *(part for one in chart.series for part in (*_line(one, frame, ident), *_marks(one, frame))),
        *_rows(chart, frame),
    ]
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="drawn {}" viewBox="0 0 {} {:.0f}" width="{}" height="{:.0f}" '
        'role="img" aria-labelledby="{}-t {}-d">{}</svg>'
    ).format(kind, width, frame.height, width, frame.height, ident, ident, Markup("").join(parts))


def _frame(chart: Chart, width: int, below: float) -> _Frame:
    """Room for legend, titles and ticks, and what is left for the plot."""
    top = below + (_LINE + 4 if chart.y.title else 4)
    height = _ROW * len(chart.rows) if chart.rows else chart.height
    bottom = top + height
    ys = [-0.5, len(chart.rows) - 0.5] if chart.rows else chart.extent(across=False)
    if chart.rows:
        y = Scale(-0.5, len(chart.rows) - 0.5, top, bottom, False, [])
    else:
        y = scale_of(chart.y, ys, bottom, top, apart=44)
    longest = max((_long(text) for _, text in y.shown()), default=0.0)
    left = 6.0 if chart.rows else min(longest + 12, 0.3 * width)
    right = width - 14.0
    x = scale_of(chart.x, chart.extent(across=True), left, right, apart=76)
    return _Frame(width, bottom + _LINE + (_LINE + 4 if chart.x.title else 6), left, top, right, bottom, x, y)


def _legend(chart: Chart, width: int) -> tuple[list[Markup], float]:
    """Samples with names from left to right, on as many lines as they need; where the plot may begin."""
    parts: list[Markup] = []
    seen: set[str] = set()
    x, y = 2.0, 12.0
    for one in chart.series if chart.legend else ():
        if not one.name or one.name in seen:
            continue
        seen.add(one.name)
        text = _fitted(one.name, width - 44)
        wide = 34 + _long(text) + 18
        if x > 2 and x + wide > width:
            x, y = 2.0, y + _LINE + 2
        sample = [_stroke(f"M{x:.0f} {y - 4:.0f}h26", one, ())] if one.width else []
        sample += [_mark(one, x + 13, y - 4, "")] if one.mark else []
        parts += [*sample, _text(x + 32, y, text, one.name, "legend")]
        x += wide
    return parts, y + 10 if parts else 0.0


def _axes(chart: Chart, frame: _Frame) -> Iterator[Markup]:
    """Grid, ticks and titles."""
    grid = "".join(f"M{place:.1f} {frame.top:.1f}V{frame.bottom:.1f}" for place, _ in frame.x.shown())
    grid += "".join(f"M{frame.left:.1f} {place:.1f}H{frame.right:.1f}" for place, _ in frame.y.shown())
    yield Markup('<path class="grid" d="{}"></path>').format(Markup(grid))
    for place, text in frame.x.shown():
        half = _long(text) / 2
        place = min(max(place, half), frame.width - half)
        yield _text(place, frame.bottom + 16, text, text, "tick middle")
    for place, text in frame.y.shown():
        yield _text(frame.left - 8, place + 4.5, _fitted(text, frame.left - 8), text, "tick end")
    if chart.x.title:
        middle = (frame.left + frame.right) / 2
        yield _text(
            middle, frame.height - 5, _fitted(chart.x.title, frame.width - 8), chart.x.title, "of-axis middle"
        )
    if chart.y.title:
        yield _text(2, frame.top - 9, _fitted(chart.y.title, frame.width - 8), chart.y.title, "of-axis")


def _rows(chart: Chart, frame: _Frame) -> Iterator[Markup]:
    """Names of rows, above their marks."""
    for number, name in enumerate(chart.rows):
        yield _text(2, frame.y.place(number) - 13, _fitted(name, frame.width - 8), name, "row")


def _clip(frame: _Frame, ident: str) -> Markup:
    """What lines do not leave."""
    return Markup(
        '<clipPath id="{}-c"><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"></rect></clipPath>'
    ).format(ident, frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top)


def _bands(chart: Chart, frame: _Frame) -> Iterator[Markup]:
    for band in chart.bands:
        ends = zip(band.x, band.low, band.high, strict=True)
        ends = [one for one in ends if all(map(finite, one))]
        there = [f"{frame.x.place(x):.1f} {frame.y.place(high):.1f}" for x, _, high in ends]
        back = [f"{frame.x.place(x):.1f} {frame.y.place(low):.1f}" for x, low, _ in reversed(ends)]
        if ends:
            path = Markup("L".join(there + back))
            yield Markup('<path class="band {}" d="M{}Z"></path>').format(band.ink, path)


def _level(level: Level, frame: _Frame) -> Markup:
    if level.across:
        path = f"M{frame.left:.1f} {frame.y.place(level.value):.1f}H{frame.right:.1f}"
    else:
        path = f"M{frame.x.place(level.value):.1f} {frame.top:.1f}V{frame.bottom:.1f}"
    return _stroke(path, Series([], [], level.ink, width=1.5, dash=level.dash), ())


def _line(one: Series, frame: _Frame, ident: str) -> Iterator[Markup]:
    """The line of a series, parted at its gaps, and over a line without marks what a pointer is told."""
    if not one.width:
        return
    placed = _placed(one, frame)
    pieces = itertools.groupby(placed, lambda point: point is not None)
    path = "".join(_path(_lighter([point for point in piece if point])) for known, piece in pieces if known)
    if not path:
        return
    line = _stroke(path, one, one.told if len(one.told) == 1 else ())
    yield Markup('<g clip-path="url(#{}-c)">{}</g>').format(ident, line)
    if one.mark or len(one.told) < 2:
        return
    for point, text in list(zip(placed, _told(one), strict=True))[:: -(-len(placed) // _MOST_TOLD)]:
        if point is not None:
            yield Markup(
                '<circle class="spot" cx="{:.1f}" cy="{:.1f}" r="6"><title>{}</title></circle>'
            ).format(*point, escaped(text))


def _marks(one: Series, frame: _Frame) -> Iterator[Markup]:
    for point, text in zip(_placed(one, frame), _told(one), strict=True):
        if one.mark and point is not None:
            yield _mark(one, *point, text)


def _placed(one: Series, frame: _Frame) -> list[tuple[float, float] | None]:
    """Where each point lies; None for one that cannot be drawn."""
    return [
        (frame.x.place(x), frame.y.place(y))
        if y is not None
        and finite(x)
        and finite(y)
        and (x > 0 or not frame.x.log)
        and (y > 0 or not frame.y.log)
        else None
        for x, y in zip(one.x, one.y, strict=True)
    ]


def _told(one: Series) -> Sequence[str]:
    """What a pointer is told at each point."""
    return one.told if len(one.told) == len(one.x) else [*(one.told[:1] or [""])] * len(one.x)


def _mark(one: Series, x: float, y: float, text: str) -> Markup:
    kind = "open" if one.mark in ("tick", "ring") else "mark" if one.size > _FINE else "fine"
    title = Markup("<title>{}</title>").format(escaped(text)) if text else ""
    faint = Markup(' opacity="{:g}"').format(one.opacity) if one.opacity < 1 else ""
    path = mark_path(one.mark, x, y, one.size)
    return Markup('<path class="{} {}" d="{}"{}>{}</path>').format(kind, one.ink, path, faint, title)


def _stroke(path: str, one: Series, told: Sequence[str]) -> Markup:
    """A line in the ink, width and dash of a series."""
    dash = Markup(' stroke-dasharray="{}"').format(DASHES[one.dash]) if DASHES[one.dash] else ""
    faint = Markup(' opacity="{:g}"').format(one.opacity) if one.opacity < 1 else ""
    title = Markup("<title>{}</title>").format(escaped(told[0])) if told else ""
    return Markup('<path class="line {}" d="{}" stroke-width="{:g}"{}{}>{}</path>').format(
        one.ink, Markup(path), one.width, dash, faint, title
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    """A line through points; a short stroke for a single one, which would not be seen else."""
    if len(points) == 1:
        return f"M{points[0][0] - 3:.1f} {points[0][1]:.1f}h6"
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _lighter(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of very many points the lowest and highest of every short stretch: the same picture."""
    if len(points) <= _MOST_POINTS:
        return points
    long = -(-2 * len(points) // _MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for begin in range(0, len(points), long):
        stretch = points[begin : begin + long]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return [points[0], *kept, points[-1]]


def _text(x: float, y: float, text: str, whole: str, kind: str) -> Markup:
    """A text; what was cut short is told whole."""
    title = Markup("<title>{}</title>").format(escaped(whole)) if text != shown(whole) else ""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}{}</text>').format(
        kind, x, y, escaped(text), title
    )


def _long(text: str) -> float:
    """About how long a text is, in pixels."""
    return sum(13.0 if ord(letter) > 0x2E7F else _SMALL for letter in text)


def _fitted(text: str, room: float) -> str:
    """A text that is not longer than there is room for."""
    text = shown(text)
    if _long(text) <= room:
        return text
    while text and _long(text) + _SMALL > room:
        text = text[:-1]
    return f"{text}…"

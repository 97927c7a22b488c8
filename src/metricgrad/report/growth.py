"""How cost grows with the batch: one page with a logarithmic figure of what a benchmark measured.

Reads plain mappings, as `metricgrad bench ranks --json` prints them, and nothing else.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metricgrad.errors import InputError
from metricgrad.report.chart import Axis, Chart, Series
from metricgrad.report.svg import drawn
from metricgrad.report.template import template

__all__ = ["growth_charts", "write_growth"]

_OURS, _BOUNDS = "ours", ("product", "products")
_INKS = 9
_MARKS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon")
"""The first is for what the page is about; with the marks, lines can be told apart without colours."""


class _Look(NamedTuple):
    ink: str
    width: float = 2.0
    dash: str = "solid"
    mark: str = ""


def growth_charts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Chart]:
    """Seconds over batch size, both logarithmic: by noise a figure with a line for each contestant.

    Args:
        rows: mappings with `contestant`, `batch`, `noise` and `seconds` (None where it was left out).

    Returns:
        the figures by their headings; none without any measured row.

    Edge cases:
        a contestant looks the same in all figures, whose axes are the same; the bounds are grey and dashed.
    """
    measured = [row for row in rows if row["seconds"] is not None]
    looks = _looks(list(dict.fromkeys(row["contestant"] for row in measured)))
    batches = sorted({row["batch"] for row in measured})
    x = Axis("batch", _apart(batches), log=True, ticks=[(batch, f"{batch:,}") for batch in batches])
    y = Axis("seconds", _apart([row["seconds"] for row in measured]), log=True)
    charts = {}
    for noise in dict.fromkeys(row["noise"] for row in measured):
        here = [row for row in measured if row["noise"] == noise]
        series = [_line(name, look, here) for name, look in looks.items()]
        title = "Time over batch" if noise is None else f"Noise {noise:g}"
        charts[title] = Chart([one for one in series if one.x], x, y, height=400)
    return charts


def write_growth(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the figures as one HTML file that opens offline.

    Args:
        rows: as `growth_charts` takes them.
        path: the file.

    Raises:
        InputError: the file cannot be written.
    """
    figures = [
        (title, drawn(chart, f"growth-{number}", f"Seconds over batch size, {title.lower()}"))
        for number, (title, chart) in enumerate(growth_charts(rows).items())
    ]
    page = template("growth.html").render(figures=figures)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}; name a file in a folder that can."
        ) from error


def _line(name: str, look: _Look, rows: Sequence[Mapping[str, Any]]) -> Series:
    """One contestant, the smallest batch first."""
    points = sorted((row["batch"], row["seconds"]) for row in rows if row["contestant"] == name)
    told = [f"{name}, batch {batch:,}: {seconds:.4g} s" for batch, seconds in points]
    batches, seconds = [batch for batch, _ in points], [seconds for _, seconds in points]
    return Series(
        batches, seconds, look.ink, name, width=look.width, dash=look.dash, mark=look.mark, told=told
    )


def _looks(names: Sequence[str]) -> dict[str, _Look]:
    """Ink, line and mark of each name; ours is the first ink and the thick line."""
    looks: dict[str, _Look] = {}
    others = 1
    for name in names:
        if name in _BOUNDS:
            looks[name] = _Look("start-1", dash="dot" if name == _BOUNDS[0] else "dash")
        elif name == _OURS:
            looks[name] = _Look("line-1", width=3.5, mark=_MARKS[0])
        else:
            place, others = others % _INKS, others + 1
            looks[name] = _Look(f"line-{place + 1}", mark=_MARKS[place])
    return looks


def _apart(values: Sequence[float]) -> tuple[float, float] | None:
    """The ends of an axis that all figures share."""
    known = [value for value in values if value > 0]
    return (min(known) / 1.2, max(known) * 1.2) if known else None

"""How cost grows with the batch: one page with a logarithmic plot of what a benchmark measured.

Reads plain mappings, as `metricgrad bench ranks --json` prints them, and nothing else.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from metricgrad.errors import InputError

__all__ = ["growth_figure", "write_growth"]

_COLOURS = ("#1f7fc4", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7a5195", "#444444")
"""The first is for what the page is about; with the symbols, lines can be told apart without colours."""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon")
_OURS, _BOUNDS = "ours", ("product", "products")


def growth_figure(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Seconds over batch size, both logarithmic: a panel for each noise, a line for each contestant.

    Args:
        rows: mappings with `contestant`, `batch`, `noise` and `seconds` (None where it was left out).

    Returns:
        the figure; without any measured row it has no lines.

    Edge cases:
        a contestant looks the same in all panels and stands once in the legend; the bounds are grey and dashed.
    """
    measured = [row for row in rows if row["seconds"] is not None]
    noises = list(dict.fromkeys(row["noise"] for row in measured)) or [None]
    titles = [f"noise {noise:g}" for noise in noises if noise is not None]
    figure = make_subplots(1, len(noises), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.04)
    seen: set[str] = set()
    looks = _looks(list(dict.fromkeys(row["contestant"] for row in measured)))
    for column, noise in enumerate(noises, start=1):
        for name, look in looks.items():
            points = sorted(
                (row["batch"], row["seconds"])
                for row in measured
                if row["contestant"] == name and row["noise"] == noise
            )
            if points:
                figure.add_scatter(
                    x=[batch for batch, _ in points],
                    y=[seconds for _, seconds in points],
                    name=name,
                    mode="lines+markers",
                    legendgroup=name,
                    showlegend=name not in seen,
                    row=1,
                    col=column,
                    hovertemplate=f"{name}, batch %{{x:,}}: %{{y:.4g}} s<extra></extra>",
                    **look,
                )
                seen.add(name)
    return _dressed(figure, sorted({row["batch"] for row in measured}))


def write_growth(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the figure as one HTML file that opens offline, about 5 MB.

    Args:
        rows: as `growth_figure` takes them.
        path: the file.

    Raises:
        InputError: the file cannot be written.
    """
    page = growth_figure(rows).to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False})
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}; name a file in a folder that can."
        ) from error


def _looks(names: list[str]) -> dict[str, dict[str, Any]]:
    """Line and marker of each name; ours is the first colour and the thick line."""
    looks: dict[str, dict[str, Any]] = {}
    others = 1
    for name in names:
        number = 0
        if name in _BOUNDS:
            dash = "dot" if name == _BOUNDS[0] else "dash"
            looks[name] = {
                "line": {"color": "#7a828c", "dash": dash, "width": 2},
                "marker": {"symbol": "line-ew"},
            }
            continue
        if name != _OURS:
            number, others = others, others + 1
        place = number % len(_COLOURS)
        looks[name] = {
            "line": {"color": _COLOURS[place], "width": 3.5 if name == _OURS else 2},
            "marker": {"symbol": _SYMBOLS[place], "size": 9},
        }
    return looks


def _dressed(figure: go.Figure, batches: list[int]) -> go.Figure:
    figure.update_layout(
        template="plotly_white",
        height=560,
        hovermode="closest",
        title="Forward and backward pass, seconds over batch size",
        legend={"orientation": "h", "y": -0.18},
        font={"family": "system-ui, sans-serif", "size": 14},
    )
    figure.update_xaxes(
        type="log", title="batch", tickvals=batches, ticktext=[f"{size:,}" for size in batches]
    )
    figure.update_yaxes(type="log", dtick=1, exponentformat="power")
    figure.update_yaxes(title="seconds", col=1)
    return figure

"""Figures of a run: gains with intervals, learning curves, hits over k.

Pure functions from a folded record (`condense(events)`) to a plotly figure, or to None where the record has nothing
to draw. An arm has the same colour, dash and marker in every figure; the colours (grey, vermilion, blue) differ for
all common kinds of colour vision and stand out from a white and from a near-black page, so that one figure serves
both. Backgrounds are transparent and the page colours text and grid.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from metricgrad.report.reading import Run, Stage
from metricgrad.report.wording import opponents, per_seed, plural

__all__ = [
    "COLOURS",
    "dressed",
    "gain_figure",
    "hit_figure",
    "hit_gain_figure",
    "loss_figure",
    "mean",
    "select_figure",
    "show_steps",
]

COLOURS = {"start": "#7a828c", "continued": "#d55e00", "tuned": "#1f7fc4"}
_DASHES = {"start": "dot", "continued": "dash", "tuned": "solid"}
_MARKERS = {"start": "square", "continued": "diamond", "tuned": "circle"}


def gain_figure(run: Run) -> go.Figure | None:
    """The gain of the tuned arm over each opponent: interval, mean, and a small open mark for each seed.

    Args:
        run: a folded record.

    Returns:
        the figure, or None before a verdict or where nothing could be compared.

    Edge cases:
        no interval: the marks stand alone. One seed: its mark would hide under the mean and is left out.
    """
    arms = [arm for arm in opponents(run) if run.verdict and run.verdict.gains[arm].get("gain") is not None]
    if not arms or not run.verdict:
        return None
    figure = go.Figure()
    figure.add_vline(x=0, line_width=1.5, line_color="#7a828c")
    for arm in arms:
        gain = run.verdict.gains[arm]
        row = f"over {arm}"
        low, high = gain.get("low"), gain.get("high")
        if low is not None and high is not None:
            figure.add_scatter(
                x=[low, high],
                y=[row, row],
                mode="lines",
                line={"width": 5, "color": COLOURS["tuned"]},
                opacity=0.55,
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=[gain["gain"]],
            y=[row],
            mode="markers",
            marker={"size": 15, "color": COLOURS["tuned"]},
            hovertemplate=f"tuned {row}: %{{x:+.4f}}<extra></extra>",
        )
        seeds = per_seed(gain, run.start.seeds)
        if len(seeds) > 1:
            figure.add_scatter(
                x=[value for _, value in seeds],
                y=[row] * len(seeds),
                mode="markers",
                marker={"size": 9, "symbol": "line-ns-open", "line": {"width": 2}, "color": COLOURS[arm]},
                text=[f"seed {seed}" for seed, _ in seeds],
                hovertemplate=f"%{{text}}, tuned {row}: %{{x:+.4f}}<extra></extra>",
            )
    figure.update_yaxes(range=[len(arms) - 0.5, -0.5], showgrid=False)
    bounds = [0.0, *(float(x) for trace in figure.data for x in trace.x)]  # pyright: ignore[reportAttributeAccessIssue]
    room = 0.06 * (max(bounds) - min(bounds)) or 0.01
    figure.update_xaxes(range=[min(bounds) - room, max(bounds) + room])
    return dressed(
        figure, x=f"gain in test {run.start.metric}", y="", height=72 + 48 * len(arms), legend=False
    )


def select_figure(run: Run, *, start_stage: bool = False) -> go.Figure | None:
    """The exact metric on the select split over training steps: thin line a seed, thick line the mean.

    Args:
        run: a folded record.
        start_stage: draw the training of the start model instead of that of the two other arms.

    Returns:
        the figure, or None where nothing was evaluated.

    Edge cases:
        attempts that were not chosen are faded; the best step of a chosen one has a mark; the mean is drawn over
        the steps that all seeds have. The start is a horizontal line.
    """
    figure = go.Figure()
    arms = ["start"] if start_stage else [arm for arm in run.arms if arm != "start"]
    level = run.select_of("start")
    shown = [stage for arm in arms for stage in run.of_arm(arm) if len(stage.select) > 1]
    if not shown:
        return None
    if level is not None and not start_stage:
        width = max(max(stage.select) for stage in shown)
        figure.add_scatter(
            x=[0, width],
            y=[level, level],
            mode="lines",
            name="start",
            hoverinfo="skip",
            line={"color": COLOURS["start"], "dash": _DASHES["start"], "width": 2},
        )
    for arm in arms:
        _add_arm(figure, arm, {key: stage.select for key, stage in _keyed(run, arm)}, run)
        for stage in run.of_arm(arm):
            if stage.chosen and stage.best_step is not None and stage.best_step in stage.select:
                figure.add_scatter(
                    x=[stage.best_step],
                    y=[stage.best],
                    mode="markers",
                    showlegend=False,
                    marker={
                        "size": 10,
                        "symbol": _MARKERS[arm],
                        "color": COLOURS[arm],
                        "line": {"width": 1.5, "color": "#ffffff"},
                    },
                    hovertemplate=f"{arm}, seed {stage.seed}: best at step %{{x}}, %{{y:.4f}}<extra></extra>",
                )
    show_steps(figure, max(max(stage.select) for stage in shown))
    return dressed(figure, x="training step", y=f"select {run.start.metric}", height=380)


def loss_figure(run: Run, arm: str) -> go.Figure | None:
    """The training loss of one arm over steps: thin line a seed, thick line the mean.

    Args:
        run: a folded record.
        arm: `start`, `continued` or `tuned`.

    Returns:
        the figure, or None where no loss was logged.

    Edge cases:
        the value named `loss`, or the first one logged where there is none of that name.
    """
    curves = {}
    for key, stage in _keyed(run, arm):
        curve = {
            step: values.get("loss", next(iter(values.values())))
            for step, values in stage.losses.items()
            if values
        }
        if curve:
            curves[key] = dict(sorted(curve.items()))
    if not curves:
        return None
    figure = go.Figure()
    _add_arm(figure, arm, curves, run)
    show_steps(figure, max(max(curve) for curve in curves.values()))
    return dressed(figure, x="training step", y="loss", height=260, legend=False)


def hit_figure(run: Run) -> go.Figure | None:
    """The share of test queries with any relevant item among the k nearest, over k, for each arm.

    Args:
        run: a folded record.

    Returns:
        the figure, or None where the run has no such curves.
    """
    if not run.curves:
        return None
    figure = go.Figure()
    for arm in (arm for arm in run.arms if arm in run.curves):
        curve = run.curves[arm]
        figure.add_scatter(
            x=curve.k,
            y=curve.value,
            name=arm,
            mode="lines+markers",
            line={"color": COLOURS[arm], "dash": _DASHES[arm], "width": 2.5},
            marker={"symbol": _MARKERS[arm], "size": 8},
            hovertemplate=f"{arm}, k = %{{x}}: %{{y:.4f}}<extra></extra>",
        )
    figure.update_xaxes(type="log", tickvals=_ticks(run), ticktext=[str(k) for k in _ticks(run)])
    return dressed(figure, x="k nearest items", y=f"share of {plural(run.start.unit)}", height=320)


def hit_gain_figure(run: Run) -> go.Figure | None:
    """The same curves as differences to the start, where small gains and losses at some k can be seen.

    Args:
        run: a folded record.

    Returns:
        the figure, or None where the start or any other arm has no curve.
    """
    start = run.curves.get("start")
    others = [run.curves[arm] for arm in run.arms if arm != "start" and arm in run.curves]
    if start is None or not others:
        return None
    level = dict(zip(start.k, start.value, strict=True))
    figure = go.Figure()
    figure.add_hline(y=0, line_width=2, line_dash=_DASHES["start"], line_color=COLOURS["start"])
    for curve in others:
        points = [(k, value - level[k]) for k, value in zip(curve.k, curve.value, strict=True) if k in level]
        figure.add_scatter(
            x=[k for k, _ in points],
            y=[value for _, value in points],
            name=curve.arm,
            mode="lines+markers",
            line={"color": COLOURS[curve.arm], "dash": _DASHES[curve.arm], "width": 2.5},
            marker={"symbol": _MARKERS[curve.arm], "size": 8},
            hovertemplate=f"{curve.arm} minus start, k = %{{x}}: %{{y:+.4f}}<extra></extra>",
        )
    figure.update_xaxes(type="log", tickvals=_ticks(run), ticktext=[str(k) for k in _ticks(run)])
    return dressed(figure, x="k nearest items", y="difference to start", height=320)


def _keyed(run: Run, arm: str) -> list[tuple[tuple[int, int], Stage]]:
    """The stages of an arm with the key (seed, attempt), rejected ones first."""
    return [((stage.seed, stage.attempt), stage) for stage in run.of_arm(arm)]


def _add_arm(
    figure: go.Figure, arm: str, curves: Mapping[tuple[int, int], Mapping[int, float]], run: Run
) -> None:
    """Draw the curves of an arm: rejected attempts faded, chosen ones thin, their mean thick."""
    chosen = []
    for (seed, attempt), curve in curves.items():
        stage = run.stages[seed, arm, attempt]
        steps = sorted(curve)
        chosen += [curve] if stage.chosen else []
        tries = f", attempt {attempt}" if len(curves) > len(run.start.seeds) else ""
        note = tries if stage.chosen else f"{tries} (not chosen)"
        figure.add_scatter(
            x=steps,
            y=[curve[step] for step in steps],
            mode="lines",
            showlegend=False,
            line={"color": COLOURS[arm], "width": 1.2, "dash": _DASHES[arm] if stage.chosen else "dot"},
            opacity=0.6 if stage.chosen else 0.28,
            hovertemplate=f"{arm}, seed {seed}{note}: step %{{x}}, %{{y:.4f}}<extra></extra>",
        )
    shared = sorted(set.intersection(*(set(curve) for curve in chosen))) if chosen else []
    name = f"{arm}, mean of {len(chosen)} seeds" if len(chosen) > 1 else arm
    figure.add_scatter(
        x=shared,
        y=[mean([curve[step] for curve in chosen]) for step in shared],
        mode="lines",
        name=name,
        line={"color": COLOURS[arm], "dash": _DASHES[arm], "width": 3.5},
        hovertemplate=f"{name}: step %{{x}}, %{{y:.4f}}<extra></extra>",
    )


def mean(values: Sequence[float]) -> float:
    """The mean; infinite or NaN where the values are, which the library's own refuses."""
    return sum(values) / len(values)


def show_steps(figure: go.Figure, last: int) -> None:
    """Let the axis of training steps run from 0 to a little beyond the last one."""
    figure.update_xaxes(range=[-0.01 * last, 1.02 * last] if last else None)


def _ticks(run: Run) -> list[int]:
    """Cut-offs to name on a logarithmic axis: those that lie far enough apart to be read."""
    ticks: list[int] = []
    for k in sorted({k for curve in run.curves.values() for k in curve.k}):
        if not ticks or k >= 1.5 * ticks[-1]:
            ticks.append(k)
    return ticks


def dressed(figure: go.Figure, *, x: str, y: str, height: int, legend: bool = True) -> go.Figure:
    """Give a figure the house's layout; names that a user chose are shown as they are, not as markup."""
    figure.update_layout(
        template="none",
        height=height,
        autosize=True,
        margin={"l": 8, "r": 12, "t": 12 if not legend else 36, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        hovermode="closest",
        dragmode=False,
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#5b6470"},
    )
    style: dict[str, Any] = {"gridcolor": "#d9dde3", "zeroline": False, "automargin": True, "ticks": ""}
    titles = {"font": {"size": 13}}
    figure.update_xaxes(title={"text": html.escape(x), "standoff": 10, **titles}, **style)
    figure.update_yaxes(title={"text": html.escape(y), "standoff": 8, **titles}, **style)
    return figure

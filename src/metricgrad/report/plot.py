"""Figures of a run: gains with intervals, learning curves, hits over k.

Pure functions from a folded record (`condense(events)`) to a plotly figure, or to None where the record has nothing
to draw. An arm looks the same in every figure (`look_of`). Backgrounds are transparent and the page colours text and
grid, so that one figure serves a white and a near-black page.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from metricgrad.report.look import look_of, look_of_role
from metricgrad.report.reading import Run, Stage
from metricgrad.report.wording import opponents, per_seed, plural

__all__ = [
    "dressed",
    "gain_figure",
    "hit_figure",
    "hit_gain_figure",
    "loss_figure",
    "mean",
    "select_figure",
    "show_steps",
]


def gain_figure(run: Run) -> go.Figure | None:
    """The gain of the contender over each opponent: interval, mean, and a small open mark for each seed.

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
    figure, contender = go.Figure(), run.contender
    colour = look_of(run, contender).colour
    figure.add_vline(x=0, line_width=1.5, line_color=look_of_role("start").colour)
    for arm in arms:
        gain = run.verdict.gains[arm]
        row = f"over {arm}"
        low, high = gain.get("low"), gain.get("high")
        if low is not None and high is not None:
            figure.add_scatter(
                x=[low, high],
                y=[row, row],
                mode="lines",
                line={"width": 5, "color": colour},
                opacity=0.55,
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=[gain["gain"]],
            y=[row],
            mode="markers",
            marker={"size": 15, "color": colour},
            hovertemplate=f"{contender} {row}: %{{x:+.4f}}<extra></extra>",
        )
        seeds = per_seed(gain, run.start.seeds)
        if len(seeds) > 1:
            figure.add_scatter(
                x=[value for _, value in seeds],
                y=[row] * len(seeds),
                mode="markers",
                marker={
                    "size": 9,
                    "symbol": "line-ns-open",
                    "line": {"width": 2},
                    "color": look_of(run, arm).colour,
                },
                text=[f"seed {seed}" for seed, _ in seeds],
                hovertemplate=f"%{{text}}, {contender} {row}: %{{x:+.4f}}<extra></extra>",
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
        start_stage: draw the training of the start model instead of that of the other arms.

    Returns:
        the figure, or None where nothing was evaluated.

    Edge cases:
        attempts that were not chosen are faded; the best step of a chosen one has a mark; the mean is drawn over
        the steps that all seeds have. The start is a horizontal line.
    """
    figure, (start,) = go.Figure(), run.named("start")
    arms = [start] if start_stage else run.trained
    level = run.select_of(start)
    shown = [stage for arm in arms for stage in run.of_arm(arm) if len(stage.select) > 1]
    if not shown:
        return None
    if level is not None and not start_stage:
        width, look = max(max(stage.select) for stage in shown), look_of(run, start)
        figure.add_scatter(
            x=[0, width],
            y=[level, level],
            mode="lines",
            name=start,
            hoverinfo="skip",
            line={"color": look.colour, "dash": look.dash, "width": 2},
        )
    for arm in arms:
        look = look_of(run, arm)
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
                        "symbol": look.marker,
                        "color": look.colour,
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
        arm: its name.

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
        curve, look = run.curves[arm], look_of(run, arm)
        figure.add_scatter(
            x=curve.k,
            y=curve.value,
            name=arm,
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 2.5},
            marker={"symbol": look.marker, "size": 8},
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
    (name,) = run.named("start")
    start = run.curves.get(name)
    others = [run.curves[arm] for arm in run.arms if arm in run.curves and arm != name]
    if start is None or not others:
        return None
    level = dict(zip(start.k, start.value, strict=True))
    figure, look = go.Figure(), look_of(run, name)
    figure.add_hline(y=0, line_width=2, line_dash=look.dash, line_color=look.colour)
    for curve in others:
        look = look_of(run, curve.arm)
        points = [(k, value - level[k]) for k, value in zip(curve.k, curve.value, strict=True) if k in level]
        figure.add_scatter(
            x=[k for k, _ in points],
            y=[value for _, value in points],
            name=curve.arm,
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 2.5},
            marker={"symbol": look.marker, "size": 8},
            hovertemplate=f"{curve.arm} minus {name}, k = %{{x}}: %{{y:+.4f}}<extra></extra>",
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
    chosen, look = [], look_of(run, arm)
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
            line={"color": look.colour, "width": 1.2, "dash": look.dash if stage.chosen else "dot"},
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
        line={"color": look.colour, "dash": look.dash, "width": 3.5},
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

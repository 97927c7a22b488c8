"""Figures of a learned surrogate: estimate against metric on held-out pairs, and its trust numbers over steps.

Pure functions from a folded record (`condense(events)`) to charts, drawn from the events `fitted`. Both kinds
of pairs, local (outputs of the model) and generated (made without data), have one colour and one mark in every
figure; neither colour is that of an arm.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from metricgrad._records import Fitted
from metricgrad.report.chart import Axis, Chart, Level, Series
from metricgrad.report.look import look_of_role
from metricgrad.report.plot import mean, to_steps
from metricgrad.report.reading import Run, Stage
from metricgrad.report.trust import fitted_stages, gauges_of, shown_events

__all__ = ["curve_figures", "pair_figure", "pair_key"]

_POINTS = 400  # of one kind in one figure: more cannot be told apart and make the page heavy
_PAIRS = {"local": "circle", "generated": "ring"}
"""Of each kind its mark; its ink has its name."""


_SHARE = (-0.03, 1.03)


class _Panel(NamedTuple):
    """One figure over steps: numbers with label and ink, and what is asked of them."""

    name: str
    title: str
    y: str
    numbers: Mapping[str, tuple[str, str]]
    judged: str = ""  # the gauge whose least is drawn
    span: tuple[float, float] | None = None  # of the y axis; None: as the values are


_GREY, _BLUE = look_of_role("start").ink, look_of_role("contender").ink
_LOCAL, _GENERATED = _PAIRS
_PANELS = (
    _Panel("error", "Mean absolute error", "in units of {metric}", {
        "mae_local": ("local", _LOCAL), "mae_generated": ("generated", _GENERATED),
        "mae_of_mean": ("always the mean", _GREY),
    }),
    _Panel("order", "Kendall tau and concordance", "order of the pairs", {
        "kendall_tau": ("Kendall tau", _BLUE), "concordance": ("concordance", _LOCAL),
        "concordance_generated": ("the same, generated", _GENERATED),
    }, "concordance"),
    _Panel("agreement", "Sign agreement", "share of changed samples", {
        "sign_agreement": ("sign agreement", _BLUE)
    }, "sign_agreement", _SHARE),
    _Panel("kept", "Kept fraction", "share of samples", {
        "kept_fraction": ("kept fraction", _BLUE)
    }, "", _SHARE),
    _Panel("objectives", "Objectives of the surrogate", "fit and penalty", {
        "fit": ("fit", _LOCAL), "penalty": ("penalty", _GENERATED)
    }),
)  # fmt: skip


def pair_figure(stage: Stage, event: Fitted) -> Chart | None:
    """Estimate against metric on held-out pairs at one event: on the diagonal the estimate is right.

    Args:
        stage: a fitted stage; its figures have the same axes, so that they can be compared.
        event: one of its shown events, the first or the last.

    Returns:
        the figure, or None where the event has no finite point.

    Edge cases:
        of more than 400 points of a kind, 400 evenly spaced in their order are drawn; points that are not finite
        are left out.
    """
    kinds = {name: _finite(getattr(event, name)) for name in _PAIRS}
    if not any(kinds.values()):
        return None
    shown = [
        point for other in shown_events(stage) for name in _PAIRS for point in _finite(getattr(other, name))
    ]
    low, high = min(map(min, shown)), max(map(max, shown))
    room = 0.04 * (high - low) or 0.5
    ends = (low - room, high + room)
    series = [Series(ends, ends, _GREY, width=1.5)]
    for name, points in reversed(kinds.items()):  # the local ones last: on top
        drawn = _thinned(points)
        series.append(
            Series(
                [point[0] for point in drawn],
                [point[1] for point in drawn],
                name,
                f"{name} pairs",
                mark=_PAIRS[name],
                opacity=0.6,
                told=[f"{name}: metric {point[0]:.4g}, estimate {point[1]:.4g}" for point in drawn],
            )
        )
    return Chart(series, Axis("metric", ends), Axis("estimate", ends), height=320, half=True)


def pair_key(run: Run) -> str:
    """How the points of the scatters are to be read."""
    way = ", as an error" if run.start.higher_is_better else ""
    text = (
        f"A point is a pair of output and target that the surrogate was not trained on: across what {run.start.metric} "
        f"gives{way}, up what the surrogate estimates. Line: both equal."
    )
    shown = [event for stage in fitted_stages(run) for event in shown_events(stage)]
    most = max(
        (len(_finite(points)) for event in shown for points in (event.local, event.generated)), default=0
    )
    return text if most <= _POINTS else f"{text} At most {_POINTS} points of a kind are drawn, evenly chosen."


def curve_figures(run: Run) -> dict[str, tuple[str, Chart]]:
    """The trust numbers over training steps: thin line a seed, thick line the mean.

    Args:
        run: a folded record.

    Returns:
        by a short name the heading and the figure of error, order, sign agreement, kept fraction and the two
        objectives of the surrogate; only of those that some seed has at two steps or more.

    Edge cases:
        an undefined value leaves a gap; the mean is drawn over the steps at which all seeds have a value.
    """
    stages, gauges = fitted_stages(run), gauges_of(run)
    figures = {}
    for panel in _PANELS:
        least = gauges[panel.judged].least if panel.judged in gauges else None
        figure = _drawn(panel, stages, run.start.metric, least)
        if figure is not None:
            figures[panel.name] = (panel.title, figure)
    return figures


def _drawn(panel: _Panel, stages: Sequence[Stage], metric: str, least: float | None) -> Chart | None:
    """One figure of `curve_figures`; None where no number has a value at two steps."""
    series: list[Series] = []
    last = 0
    for name, (label, ink) in panel.numbers.items():
        curves = {stage.seed: _curve(stage, name) for stage in stages}
        if max((_known(curve) for curve in curves.values()), default=0) > 1:
            series += _number(curves, label, ink, "dot" if name == "mae_of_mean" else "solid")
            last = max(last, *(step for curve in curves.values() for step in curve))
    if not series:
        return None
    return Chart(
        series,
        to_steps(last),
        Axis(panel.y.format(metric=metric), panel.span),
        height=200,
        levels=[] if least is None else [Level(least, _GREY, "dot", across=True)],
        legend=len(panel.numbers) > 1,
        half=True,
    )


def _curve(stage: Stage, name: str) -> dict[int, float | None]:
    """One number of a stage over its steps; None where it is undefined."""
    events = (stage.fits[step] for step in sorted(stage.fits))
    return {event.step: event.values[name] for event in events if name in event.values}


def _number(
    curves: Mapping[int, Mapping[int, float | None]], label: str, ink: str, dash: str
) -> list[Series]:
    """One number: a line for each seed that has it, and their mean where there are several."""
    held = {seed: curve for seed, curve in curves.items() if _known(curve)}
    several = len(held) > 1
    series = [
        Series(
            list(curve),
            list(curve.values()),
            ink,
            "" if several else label,
            width=1.2 if several else 2.5,
            dash=dash,
            mark="circle",
            size=4,
            opacity=0.6 if several else 1.0,
            told=[f"{label}, seed {seed}: step {step:,}, {_told(value)}" for step, value in curve.items()],
        )
        for seed, curve in held.items()
    ]
    if several:
        shared = [
            step for step in next(iter(held.values())) if all(c.get(step) is not None for c in held.values())
        ]
        values = [mean(_present(curve[step] for curve in held.values())) for step in shared]
        told = [
            f"{label}, mean: step {step:,}, {value:.4g}" for step, value in zip(shared, values, strict=True)
        ]
        series.append(Series(shared, values, ink, label, width=3.5, dash=dash, told=told))
    return series


def _told(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


def _present(values: Iterable[float | None]) -> list[float]:
    """The values that are there."""
    return [value for value in values if value is not None]


def _known(curve: Mapping[int, float | None]) -> int:
    """At how many steps a curve has a value."""
    return len(_present(curve.values()))


def _finite(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """The points whose two numbers are both finite."""
    return [point for point in points if all(abs(value) < float("inf") for value in point)]


def _thinned(points: list[Any]) -> list[Any]:
    """At most 400 points, evenly spaced in their order."""
    if len(points) <= _POINTS:
        return points
    return [points[place * len(points) // _POINTS] for place in range(_POINTS)]

"""The plots of the page, as it needs them."""

from typing import Any, NamedTuple

from markupsafe import Markup

from metricgrad.report import decisions, fit, plot, trust
from metricgrad.report.chart import Chart
from metricgrad.report.reading import Run
from metricgrad.report.svg import drawn

__all__ = ["decided", "figures", "surrogate"]


class _Figure(NamedTuple):
    """A figure as the page needs it: its name there, the drawings, and whether it takes half of the width."""

    ident: str
    drawn: Markup
    half: bool


def figures(run: Run) -> dict[str, Any]:
    """The plots by the name under which the template shows them; None where there is nothing to draw."""
    metric = run.start.metric
    losses = {
        arm: _figure(f"loss-{arm}", plot.loss_figure(run, arm), f"Training loss of the {arm} arm over steps")
        for arm in run.arms
    }
    return {
        "gain_plot": _figure(
            "gain-plot",
            plot.gain_figure(run),
            f"Gain of the {run.contender} model in test {metric} with interval; the table beside it",
        ),
        "contender_plot": _figure(
            "contender-plot", plot.contender_figure(run), f"Gain of every contender in test {metric}"
        ),
        "select_plot": _figure(
            "select-plot", plot.select_figure(run), f"Select {metric} over training steps by arm and seed"
        ),
        "start_plot": _figure(
            "start-plot",
            plot.select_figure(run, start_stage=True),
            f"Select {metric} of the start model over training steps",
        ),
        "loss_plots": {arm: figure for arm, figure in losses.items() if figure},
        "hit_plot": _figure(
            "hit-plot", plot.hit_figure(run), "Hits among the k nearest over k by arm; numbers below"
        ),
        "hit_gain_plot": _figure(
            "hit-gain-plot", plot.hit_gain_figure(run), "Hits among the k nearest, difference to the start"
        ),
    }


def decided(run: Run) -> dict[str, Any] | None:
    """What the page shows of decision rules; None for a run without any."""
    if not run.rules:
        return None
    label = f"Select {run.start.metric} over the cut between two classes, with its band"
    return {
        "meaning": decisions.rules_note(run),
        "tables": decisions.decision_tables(run),
        "classes": decisions.classes_of(run),
        "cut": _figure("cut-plot", decisions.cut_figure(run), label),
        "cut_meaning": decisions.cut_meaning(run),
    }


def surrogate(run: Run) -> dict[str, Any] | None:
    """What the page shows of a learned surrogate; None for a run without one."""
    stages = trust.fitted_stages(run)
    if not stages:
        return None
    pairs = []
    for stage in stages:
        found = []
        for event in trust.shown_events(stage):
            label = f"Estimate against metric, seed {stage.seed}, step {event.step}"
            title = f"Step {event.step:,}" if event.step else "Step 0, after the warm-up of the surrogate"
            ident = f"fit-{stage.seed}-{event.step}"
            if figure := _figure(ident, fit.pair_figure(stage, event), label):
                found.append((title, figure))
        pairs += [(stage.seed, found)] if found else []
    curves = [
        (title, _figure(f"fit-{name}", figure, f"{title} of the learned surrogate over training steps"))
        for name, (title, figure) in fit.curve_figures(run).items()
    ]
    return {
        "reading": trust.trust_reading(run),
        "table": trust.trust_table(run),
        "pairs": pairs,
        "key": fit.pair_key(run),
        "curves": curves,
    }


def _figure(ident: str, chart: Chart | None, label: str) -> _Figure | None:
    """A figure, drawn; None where there is none."""
    return None if chart is None else _Figure(ident, drawn(chart, ident, label), chart.half)

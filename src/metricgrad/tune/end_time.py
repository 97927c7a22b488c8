"""What the end of a run takes, measured before training: closed forms, test, side metrics, intervals; and resamples."""

import time

from torch import Tensor, nn

from metricgrad._resampling import resampled
from metricgrad._types import Metric
from metricgrad.tune.closed_forms import ClosedForms
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.setup import Setup
from metricgrad.tune.side_metrics import read_beside
from metricgrad.tune.splits import batches_in

__all__ = ["end_of"]

RESAMPLES_SHARE = 0.25
"""Of the minutes: the most that resamples take whose number the plan does not say, down to the fewest."""
FEWEST_RESAMPLES = 200
SLOW = 0.02
"""Seconds of two resamples, from which on no more of them are timed."""


def end_of(setup: Setup, seconds: float) -> tuple[float, int | None]:
    """Seconds of closed forms, test, side metrics, intervals and curves, by what they take on select; and resamples.

    Args:
        setup: of the run.
        seconds: of the whole run; where its plan does not say how many resamples, they take a share of these at most.
    """
    test, resamples = setup.splits.test, setup.plan.resamples
    model, evaluator = setup.build(setup.seeds[0]).eval(), Evaluator(setup.metric)
    forms = sum(_forms(setup, arm.name, model) for arm in setup.closed_forms)
    if test is None:
        return forms, None
    models = len(setup.seeds) * len(setup.every_arm)
    times, found, statistics = [], None, None
    for _ in range(2):  # the first time prepares
        began = time.perf_counter()
        found = evaluator.outputs(model, setup.splits.select)
        embedded = time.perf_counter()
        statistics = evaluator.measured(found, "timing")
        times.append((embedded - began, time.perf_counter() - embedded))
    assert found is not None and statistics is not None
    forward, measure = (min(spans) for spans in zip(*times, strict=True))
    read = forward + measure * (2 if setup.metric.unit == "query" else 1)  # the curves over k rank again
    ratio = _items(test) / _items(setup.splits.select)
    drawn = 0.0 if setup.metric.unit == "whole" else models * ratio * _resample(setup.metric, statistics)
    beside = 0.0 if not setup.side_metrics else models * forward  # another pass over select
    if setup.deciding is not None:  # and another one for the rules
        began = time.perf_counter()
        setup.evaluator().fitted(found)
        beside += models * (forward + time.perf_counter() - began)
    for side in setup.side_metrics:
        began = time.perf_counter()
        table = read_beside(Evaluator(side.metric), found, "timing")
        beside += models * (1 + ratio) * (time.perf_counter() - began)
        if side.metric.unit != "whole":  # each arm with its start
            drawn += 2 * len(setup.seeds) * len(setup.arms) * _resample(side.metric, table)
    if "resamples" not in setup.plan.model_fields_set and resamples * drawn > RESAMPLES_SHARE * seconds:
        resamples = max(FEWEST_RESAMPLES, int(RESAMPLES_SHARE * seconds / drawn))
    return forms + models * ratio * read + beside + resamples * drawn, resamples


def _forms(setup: Setup, arm: str, start: nn.Module) -> float:
    """Seconds in which a control that trains nothing is made for every seed; some of it is done for the first alone.

    Starts that are trained differ by seed, and closed forms are fitted for each of them.
    """
    trained = bool(setup.start.attempts)
    maker, spans = ClosedForms(setup, Evaluator(setup.metric), lambda record: None, anew=trained), []
    for seed in setup.seeds[:2]:
        start = start if trained or seed == setup.seeds[0] else setup.build(seed).eval()
        began = time.perf_counter()
        maker.make(seed, arm, start)
        spans.append(time.perf_counter() - began)
    return spans[0] + (len(setup.seeds) - 1) * spans[-1]


def _resample(metric: Metric, statistics: Tensor) -> float:
    """Seconds of one resample of one model's statistics."""
    span, draws = 0.0, 1
    for draws in (2, 200):  # few of a slow function, many where they are made together
        began = time.perf_counter()
        resampled("timing", {"model": [statistics]}, metric.summarise, groups=None, resamples=draws, seed=0)
        span = time.perf_counter() - began
        if span > SLOW:
            break
    return span / draws


def _items(split: object) -> float:
    """Number of items, or of batches where a split knows no better."""
    targets = getattr(split, "targets", None)
    if isinstance(targets, Tensor):
        return max(1, len(targets))
    return max(1, batches_in(split) or 1)

"""The metric that a rule of decision is fitted for."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from metricgrad._types import Metric, Observer
from metricgrad.cli.named import metric_named, require_program
from metricgrad.metrics.command import program_of, watch_calls
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["metric_of_classes", "try_program"]

RULES = 5
"""Models of a table whose scores get a rule where the metric is a program."""


def metric_of_classes(given: Mapping[str, Any], progress: Observer) -> Metric:
    """Return the metric that the options of the command name.

    Args:
        given: the options by name.
        progress: is told what a program costs.

    Raises:
        InputError: it does not judge decided classes: a ranking metric, one of several labels or of values.
    """
    require_program([given["metric"]], given["metric_timeout"])
    exact = metric_named(given["metric"], given["higher_is_better"], given["metric_timeout"])
    TableMetric(exact, 2)  # refuses it
    program = program_of(exact)
    if program is not None:
        text = (
            f"{exact.name}: {program.path} is run once for every table of decisions that is tried: with two classes "
            "about twice as often as rows fit the rule"
        )
        progress({"event": "note", "text": text})
        watch_calls(exact, partial(_told, progress, exact.name))
    return exact


def try_program(metric: Metric, truth: Tensor, rows: int, classes: int, progress: Observer) -> None:
    """Run a program once before anything is trained, and say how often rules run it after that.

    Args:
        metric: any; nothing is done where it is no program.
        truth: classes of some rows, which the program is given as decisions, too.
        rows: that a rule is fitted to.
        classes: of the table.
        progress: is told.

    Raises:
        InputError: the call fails.
    """
    if program_of(metric) is None:
        return
    value = float(metric.summarise(metric.measure(truth, truth)))
    calls = RULES * (2 * rows if classes == 2 else 3 * classes**2 + 6)
    text = (
        f"{metric.name}: {value:g} where the true classes of select are the decisions. After training about {calls:,} "
        "calls fit the rules, on top of the minutes"
    )
    progress({"event": "note", "text": text})


def _told(progress: Observer, name: str, calls: int, seconds: float) -> None:
    """Say how often a program was run so far."""
    progress({"event": "note", "text": f"{name}: {calls:,} calls so far, {seconds:.2g} s each"})

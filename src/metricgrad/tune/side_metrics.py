"""Side metrics: what must not get worse while a model is tuned for another metric. How they are given and checked."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from metricgrad._checks import caller, describe, fail, nearest, positive_number
from metricgrad._side_records import Side, SideMetrics
from metricgrad._types import Metric
from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from metricgrad.tune.deciding import Deciding
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.outputs import Outputs
from metricgrad.tune.over_judgements import over_judgements
from metricgrad.tune.splits import Splits

__all__ = ["SideMetric", "described", "read_beside", "side_metrics_of", "try_side_metrics"]

_OF_SCORES = ("classes", "scores", "probabilities", "labels", "pixels", "values")


@dataclass(frozen=True)
class SideMetric:
    """A metric that is measured beside the one that is tuned for.

    Attributes:
        metric: the exact metric.
        may_fall: how far an arm may fall below the start, in units of the metric; infinite: it is only measured.
    """

    metric: Metric
    may_fall: float

    @property
    def holds_back(self) -> bool:
        """Whether it can keep an arm from being returned."""
        return math.isfinite(self.may_fall)


def side_metrics_of(given: Any, may_fall: Any, metric: Metric, fit: Any) -> tuple[SideMetric, ...]:
    """Return the side metrics of a run.

    Args:
        given: a list of metrics, each as `adapt` takes it.
        may_fall: a number from 0 for all of them, or a mapping from their names; one that is not named may fall by 0.
        metric: the one that is tuned for.
        fit: the fit split, whose judgements retrieval metrics are bound to.

    Raises:
        InputError: no list; one that cannot be adapted, that is the metric itself, or that is there twice; a fall that
            is no number from 0, or of a side metric that is not there.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise fail(caller(), f"side_metrics are {describe(given)}", 'a list of metrics, such as ["accuracy"]')
    sides = [over_judgements(_adapted(one), one, fit) for one in given]
    names = [side.name for side in sides]
    for name in names:
        if name == metric.name or names.count(name) > 1:
            why = "is the metric of the run" if name == metric.name else "is there twice"
            raise fail(caller(), f"the side metric {name} {why}", "other metrics, each once", "Leave it out.")
    if not names and (isinstance(may_fall, Mapping) or may_fall != 0.0):
        raise fail(
            caller(), f"may_fall is {describe(may_fall)}, but there are no side metrics", "both, or neither"
        )
    if isinstance(may_fall, Mapping):
        for name in may_fall:
            if name not in names:
                raise fail(
                    caller(), f"may_fall names {name!r}", "names of side metrics", nearest(str(name), names)
                )
    limits = {name: may_fall.get(name, 0.0) if isinstance(may_fall, Mapping) else may_fall for name in names}
    return tuple(SideMetric(side, _limit(side.name, limits[side.name])) for side in sides)


def described(sides: Sequence[SideMetric]) -> SideMetrics:
    """Return what the record says of side metrics."""
    return SideMetrics(
        [
            Side(
                side.metric.name,
                side.metric.description,
                side.metric.higher_is_better,
                side.may_fall if side.holds_back else None,
            )
            for side in sides
        ]
    )


def _adapted(given: Any) -> Metric:
    try:
        return adapt(given)
    except InputError as error:
        raise InputError(
            f"side_metrics: {error} A function of your own is given as metrics.adapt(function, higher_is_better=...)."
        ) from error


def _limit(name: str, given: Any) -> float:
    if isinstance(given, float) and given == math.inf:
        return given
    return positive_number(caller(), f"may_fall of {name}", given, zero=True)


def try_side_metrics(
    sides: Sequence[SideMetric],
    metric: Metric,
    build: Callable[[int], nn.Module],
    splits: Splits,
    seed: int,
    deciding: Deciding | None = None,
) -> None:
    """Measure each on select with the start model, once, so that what cannot be measured fails before training.

    Raises:
        InputError: a side metric cannot read the outputs, or the groups of select are not one per unit.
    """
    if not sides:
        return
    for side in sides:
        if metric.reads == "embeddings" and side.metric.reads in _OF_SCORES:
            raise fail(
                caller(),
                f"the side metric {side.metric.name} reads {side.metric.reads}, but {metric.name} says that the "
                "outputs are embeddings",
                "side metrics of embeddings, such as map or knn_accuracy",
            )
    found = Evaluator(metric).outputs(build(seed), splits.select)
    found = found if deciding is None else deciding.plainly(found)
    for side in sides:
        name = side.metric.name
        try:
            evaluator = Evaluator(side.metric)
            statistics = read_beside(evaluator, found, "select")
            evaluator.summarised(statistics)
        except Exception as error:  # whatever a metric does with outputs that are none of its own
            raise fail(
                caller(),
                f"the side metric {name} cannot be measured on select ({error})",
                "a metric of the same outputs and targets",
            ) from error
        labels = grouping_of("select", splits, side.metric).labels
        if labels is not None and side.metric.unit != "whole" and len(labels) != len(statistics):
            raise fail(
                caller(),
                f"groups['select'] has {len(labels):,} labels, but {name} has {len(statistics):,} rows",
                "one group per item of select",
            )


def read_beside(evaluator: Evaluator, found: Outputs, split: str) -> Any:
    """Return the statistics of a side metric on what was computed for another metric.

    A metric of queries is measured where the outputs are; any other one on the CPU, without a reference. One that reads
    classes is measured on what was decided, where a rule decides.
    """
    if evaluator.metric.unit != "query":
        found = found._replace(reference_outputs=None, reference_targets=None).on_cpu()
    return evaluator.measured(found, split)

"""Which losses of ours stand for a metric: those that name it beside their function, and those that are given it."""

import inspect
import sys

from metricgrad._types import Metric
from metricgrad.errors import InputError
from metricgrad.methods.objectives import loss_named, named_objective, objectives, trained_as

__all__ = ["losses_for"]


def losses_for(metric: Metric) -> list[str]:
    """Return the names of the losses that are surrogates of a metric, without `_loss`.

    A module of a loss names the metrics that it stands for in `STANDS_FOR`. A loss that asks for the metric of the run
    stands for every metric that it can be given. All others are proxies: they stand for no metric by themselves.

    Args:
        metric: a record, as `metrics.adapt` makes it.

    Example:
        >>> from metricgrad.metrics import adapt
        >>> losses_for(adapt("mean_iou"))[0], losses_for(adapt("mrr"))
        ('lovasz_softmax', ['reciprocal_rank'])
    """
    name = getattr(metric.function, "__name__", "")
    return [loss for loss in objectives() if name in _named_beside(loss) or _takes(loss, metric)]


def _named_beside(loss: str) -> tuple[str, ...]:
    return getattr(sys.modules[loss_named(loss).__module__], "STANDS_FOR", ())


def _takes(loss: str, metric: Metric) -> bool:
    """Whether a loss asks for the metric of the run, and can be given this one."""
    asked = inspect.signature(trained_as(loss)).parameters.get("metric")
    if asked is None or asked.default is not inspect.Parameter.empty or metric.unit == "query":
        return False
    try:
        named_objective(loss, {}, of_scores=True, metric=metric)
    except InputError:
        return False
    return True

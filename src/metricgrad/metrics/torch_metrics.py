"""torchmetrics: a copy of the user's object that is updated, computed and reset, and never talks to other processes.

torchmetrics gathers its states from all processes of a run when it computes. Here one process measures, and the
others would never answer: the copy, and every metric within it, computes on its own.
"""

import copy
import math
import sys
from functools import partial
from typing import Any

from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._columns import one_column
from metricgrad._types import Reading
from metricgrad.metrics.foreign import Foreign, takes_truth_first

__all__ = ["is_torchmetrics", "read_torchmetrics"]

_CURVES = ("auroc", "average_precision", "precision_recall_curve", "ranking", "roc", "eer", "fixed")


def is_torchmetrics(metric: Any) -> bool:
    """Whether this is a metric of torchmetrics, a collection of them, or a class of either."""
    library = sys.modules.get("torchmetrics")
    if library is None:
        return False
    kinds = (library.Metric, library.MetricCollection)
    return issubclass(metric, kinds) if isinstance(metric, type) else isinstance(metric, kinds)


def read_torchmetrics(metric: Any) -> Foreign:
    """Find out how a torchmetrics metric is called; a class is made an object without arguments.

    Raises:
        InputError: a collection, a retrieval metric, an aggregation, a class that needs arguments.
    """
    if isinstance(metric, type):
        metric = _made(metric)
    name = type(metric).__name__
    modules = {kind.__module__ for kind in type(metric).__mro__}
    if not isinstance(metric, sys.modules["torchmetrics"].Metric):
        raise fail(
            name, f"it holds {len(metric)} metrics", "one metric", "Give one of them: collection['name']."
        )
    if "torchmetrics.retrieval.base" in modules:
        raise fail(
            name,
            "a retrieval metric of torchmetrics, which needs flat scores and an index of queries",
            "a metric of (outputs, targets)",
            "Use ours by name (recall@1, map, mrr, ndcg@10): they rank embeddings, and negative scores count.",
        )
    if "torchmetrics.aggregation" in modules:
        raise fail(name, "it aggregates values and has no direction: its direction is not known", "a metric of "
                   "(outputs, targets)")  # fmt: skip
    own = copy.deepcopy(metric)
    own.reset()
    _alone(own)
    up = own.higher_is_better
    low, high = getattr(own, "plot_lower_bound", None), getattr(own, "plot_upper_bound", None)
    first = "targets, outputs" if takes_truth_first(own.update) else "outputs, targets"
    direction = "" if up is None else f"; {'higher' if up else 'lower'} is better"
    return Foreign(
        name=name,
        call=partial(_call, own),
        higher_is_better=up,
        found=f"torchmetrics {name}: a copy, reset, update({first}), compute{direction}",
        read=partial(_read, name),
        reads=_reading(type(metric)),
        bounds=(-math.inf if low is None else float(low), math.inf if high is None else float(high)),
    )


def _made(kind: type) -> Any:
    """An object of a class that needs no arguments."""
    try:
        return kind()
    except (TypeError, ValueError) as error:
        came = f"a class that cannot be made an object without arguments ({error})"
        raise fail(kind.__name__, came, f"an object: {kind.__name__}(...)") from error


def _alone(metric: Any) -> None:
    """Let a metric, and those within it, compute without the other processes."""
    for one in metric.modules():
        if isinstance(one, sys.modules["torchmetrics"].Metric):
            one.sync_on_compute = one.dist_sync_on_step = one._to_sync = False
            one.distributed_available_fn = _no_others


def _no_others() -> bool:
    return False


def _read(name: str, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """A single column beside a vector as a vector, since torchmetrics wants equal shapes."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or outputs.ndim == targets.ndim:
        return outputs, targets
    outputs, targets = one_column(outputs), one_column(targets)
    if name.startswith("Binary") and outputs.ndim == 2:
        raise fail(
            name,
            f"outputs are {describe(outputs)}",
            "one score of class 1 per sample",
            f"For class scores take {name.replace('Binary', 'Multiclass')}(num_classes={outputs.shape[1]}).",
        )
    return outputs, targets


def _call(own: Any, outputs: Any, targets: Any) -> Any:
    if isinstance(outputs, Tensor):
        own.to(outputs.device)
    try:
        own.update(*((targets, outputs) if takes_truth_first(own.update) else (outputs, targets)))
        return own.compute()
    finally:
        own.reset()


def _reading(kind: type) -> Reading | None:
    """What a metric makes of the outputs, from the module of its class."""
    *_, family, module = ["", "", *kind.__module__.split(".")]
    if family == "classification":
        return "scores" if any(word in module for word in _CURVES) else "classes"
    return {"regression": "values", "text": "texts"}.get(family)  # pyright: ignore[reportReturnType]

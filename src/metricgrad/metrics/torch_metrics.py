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
from metricgrad.metrics.foreign import Foreign, takes_truth_first, told
from metricgrad.metrics.torch_tables import formula_of

__all__ = ["is_torchmetrics", "read_torchmetrics"]

_OF_SCORES = (
    "auroc", "average_precision", "calibration_error", "eer", "fixed", "hinge", "logauc", "precision_recall_curve",
    "ranking", "roc", "sensitivity_specificity", "specificity_sensitivity",
)  # fmt: skip
"""Modules of classification whose metrics see how large a score is; the others see the class that it decides for."""


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
        raise fail(
            name,
            "it aggregates values and has no direction: its direction is not known",
            "a metric of (outputs, targets)",
        )
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
        read=partial(_read, _task_of(own) or name),
        reads=_reading(type(metric)),
        of_table=formula_of(own),
        bounds=(-math.inf if low is None else float(low), math.inf if high is None else float(high)),
    )


def _made(kind: type) -> Any:
    """An object of a class that needs no arguments."""
    try:
        return kind()
    except Exception as error:  # arguments that are missing, packages that are not installed, ...
        came = f"a class that cannot be made an object without arguments ({told(error)})"
        raise fail(kind.__name__, came, f"an object: {kind.__name__}(...)") from error


def _alone(metric: Any) -> None:
    """Let a metric, and those within it, compute without the other processes."""
    for one in metric.modules():
        if isinstance(one, sys.modules["torchmetrics"].Metric):
            one.sync_on_compute = one.dist_sync_on_step = one._to_sync = False
            one.distributed_available_fn = _no_others


def _task_of(metric: Any) -> str:
    """The metric of two or of many classes that this one is or holds, by name; else an empty text."""
    names = (kind.__name__ for one in metric.modules() for kind in type(one).__mro__)
    return next((name for name in names if name.startswith(("Binary", "Multiclass"))), "")


def _no_others() -> bool:
    return False


def _read(name: str, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Columns as torchmetrics wants them: a single one beside a vector as a vector, and never one score as classes."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return outputs, targets
    column, truths = one_column(outputs), one_column(targets)
    if name.startswith("Multiclass"):
        if (
            column.ndim == 1 and column.is_floating_point()
        ):  # they would cut the decimals off, and call that a class
            raise fail(
                name,
                f"outputs are {describe(outputs)}",
                "class scores [sample, class] or whole predicted class ids",
                f"For one score of class 1 take {name.replace('Multiclass', 'Binary')}().",
            )
        return (column, truths) if column.ndim < 3 else (outputs, targets)
    if name.startswith("Binary") and column.ndim == 2 and truths.ndim == 1:
        raise fail(
            name,
            f"outputs are {describe(outputs)}",
            "one score of class 1 per sample",
            f"For class scores take {name.replace('Binary', 'Multiclass')}(num_classes={column.shape[1]}).",
        )
    return (outputs, targets) if outputs.ndim == targets.ndim else (column, truths)


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
        return "scores" if any(word in module for word in _OF_SCORES) else "classes"
    return {"regression": "values", "text": "texts"}.get(family)  # pyright: ignore[reportReturnType]

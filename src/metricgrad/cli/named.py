"""What a name in a recipe or an option stands for: a metric, a side metric, a loss, a task."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from metricgrad import tasks
from metricgrad._checks import nearest
from metricgrad._types import Metric, Observer
from metricgrad.cli.code import imported, is_foreign, see_current_folder
from metricgrad.errors import InputError
from metricgrad.metrics import adapt, judged, of_kind
from metricgrad.metrics.adapt import names_a_function
from metricgrad.tasks.task import Task

__all__ = ["loss_named", "metric_named", "read_for", "side_metric_named", "task_loader"]


def metric_named(name: str | Metric, higher_is_better: bool | None) -> Metric:
    """Return the record of a metric: one of our names, `package.module:name` of a callable, or a record as it is."""
    if isinstance(name, str) and names_a_function(name):
        see_current_folder()
    return adapt(name, higher_is_better=higher_is_better)


def side_metric_named(name: str) -> Metric:
    """Return the record of a side metric, which says its direction itself or behind its name."""
    try:
        return metric_named(name, None)
    except InputError as error:
        raise InputError(
            f"side_metrics: {error} A function of yours says its direction in its name: "
            "package.module:name:higher_is_better=true."
        ) from error


def loss_named(name: str | None) -> Any:
    """Return the loss that `package.module:name` names; a name of ours stays a name."""
    return imported(name, "the proxy") if name and is_foreign(name) else name


def read_for(name: str, metric: Metric, task: Task) -> Metric:
    """Return the metric of this name as it reads the outputs of the task: decoded, or over its judged documents."""
    if task.qrels is not None and metric.reads == "embeddings":
        return judged(name, task.qrels)
    if task.kind is None or metric.kind is not None or metric.unit == "query":
        return metric
    return of_kind(metric, task.kind)


def task_loader(name: str) -> Callable[[Mapping[str, Any], Observer], Task]:
    """Return the function that loads a task: one of ours by name, or `package.module:name`."""
    if is_foreign(name):
        return imported(name, "the task")
    name = name.replace("-", "_")
    if name not in tasks.__all__:
        raise InputError(
            f"there is no task {name!r}; expected a task's name, a recipe (a .yaml file) or package.module:name. "
            f"{nearest(name, tasks.__all__)}"
        )
    return importlib.import_module(f"metricgrad.tasks.{name}").load

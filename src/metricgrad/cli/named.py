"""What a name in a recipe or an option stands for: a metric, a side metric, a loss, a task."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metricgrad import tasks
from metricgrad._checks import nearest
from metricgrad._types import Metric, Observer
from metricgrad.cli.code import imported, is_foreign, see_current_folder
from metricgrad.errors import InputError
from metricgrad.metrics import adapt, judged, of_kind
from metricgrad.metrics.typed import names_a_function, names_a_program, program_of, typed_metric, watch_calls
from metricgrad.tasks.task import Task

__all__ = [
    "as_given",
    "costs_of",
    "loss_named",
    "metric_named",
    "read_for",
    "require_program",
    "side_metric_named",
    "task_loader",
]


def metric_named(name: str | Metric, higher_is_better: bool | None, timeout: float | None = None) -> Metric:
    """Return the record of a metric: a record as it is, or what was typed, by the user or in a trusted recipe.

    Args:
        name: one of our names, `package.module:name` of a callable, `cmd: PROGRAM`, or a record.
        higher_is_better: the direction, where it is not known.
        timeout: of a program, in seconds.
    """
    if not isinstance(name, str):
        return adapt(name, higher_is_better=higher_is_better)
    if names_a_function(name):
        see_current_folder()
    return typed_metric(name, higher_is_better, timeout)


def side_metric_named(name: str, timeout: float | None = None) -> Metric:
    """Return the record of a side metric, which says its direction itself or in its name."""
    try:
        return metric_named(name, None, timeout)
    except InputError as error:
        form = "package.module:name:higher_is_better=true"
        whose = "function"
        if names_a_program(name):
            whose, form = "program", "cmd:higher_is_better=true: ./score.sh {predictions}"
        raise InputError(
            f"side_metrics: {error} A {whose} of yours says its direction in its name: {form}."
        ) from error


def require_program(names: Sequence[str | None], timeout: float | None) -> None:
    """Refuse a time-out that says nothing, as no metric is a program."""
    if timeout is not None and not any(name is not None and names_a_program(name) for name in names):
        shown = ", ".join(name for name in names if name is not None)
        raise InputError(
            f"a time-out of metrics came with {shown or 'no metric'}; expected a metric that is a program, such as "
            "'cmd: ./score.sh {predictions}'."
        )


def loss_named(name: str | None) -> Any:
    """Return the loss that `package.module:name` names; a name of ours stays a name."""
    return imported(name, "the proxy") if name and is_foreign(name) else name


def read_for(name: str, metric: Metric, task: Task) -> Metric:
    """Return the metric of this name as it reads the outputs of the task: decoded, or over its judged documents."""
    if task.qrels is not None and metric.reads == "embeddings" and metric.unit == "query":
        return judged(name, task.qrels)
    if task.kind is None or metric.kind is not None or metric.unit == "query":
        return metric
    return of_kind(metric, task.kind)


def costs_of(metric: Metric, decision: str, observer: Observer) -> None:
    """Say before a run what a program costs, as it is started for every call, and while it runs how far it is."""
    program = program_of(metric)
    if program is None:
        return
    told = []
    if metric.reads == "classes" and decision != "argmax":
        told.append(
            f"{metric.name}: at every evaluation a rule of decision is fitted, and {program.path} is run for every "
            "table of decisions that is tried: with two classes up to twice as often as select has items. decision: "
            "argmax runs it once per evaluation"
        )
    if metric.unit == "sample":
        told.append(
            f"{metric.name}: for the verdict {program.path} is run once per resample (plan.resamples), arm and seed"
        )
    for text in told:
        observer({"event": "note", "text": text})

    def tell(calls: int, seconds: float) -> None:
        observer({"event": "note", "text": f"{metric.name}: {calls:,} calls so far, {seconds:.2g} s each"})

    if told:
        watch_calls(metric, tell, 30.0)


def as_given(name: str, metric: Metric, task: Task) -> str | Metric:
    """Return what `tune` is given: the name, where it says all, else the record."""
    whole = task.kind is None and task.qrels is None and not names_a_program(name)
    return name if whole else metric


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

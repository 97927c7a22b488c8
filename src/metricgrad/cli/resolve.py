"""From a recipe to the arguments of `tune`: load the task and what is named.

Code is named only as `package.module:name`; nothing in a recipe is ever evaluated.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metricgrad._records import CLOSED_FORM, CONTROL, RAW
from metricgrad._types import Observer
from metricgrad.cli.defaults import completed
from metricgrad.cli.named import (
    as_given,
    costs_of,
    loss_named,
    metric_named,
    read_for,
    require_program,
    side_metric_named,
    task_loader,
)
from metricgrad.cli.recipe import Entry, Recipe, checked
from metricgrad.errors import InputError
from metricgrad.tasks.task import Task
from metricgrad.tune import Contender

__all__ = ["Job", "resolve"]

SEEDS = (0, 1, 2)
"""Seeds of a run where the recipe names none: one alone says nothing of the spread."""


@dataclass(frozen=True)
class Job:
    """A run, ready to start.

    Attributes:
        task: its name.
        metric: its name, for the run folder.
        recipe: complete: every default filled in, so that a resumed run does not hang on defaults.
        arguments: of `tune`, without folder, observer and force.
    """

    task: str
    metric: str
    recipe: Mapping[str, Any]
    arguments: Mapping[str, Any]


def resolve(
    recipe: Recipe, observer: Observer, *, first_seed: int | None = None, seeds: int | None = None
) -> Job:
    """Load the task of a recipe and return what `tune` is to be called with.

    Args:
        recipe: what the user gave.
        observer: sees the progress of loading.
        first_seed: the seeds count up from here.
        seeds: how many.

    Raises:
        InputError: an unknown task, option, metric, or a name that cannot be imported. What can be checked before
            the data are loaded is.
    """
    load = task_loader(recipe.task)
    data = _checked_options(load, recipe)
    late = recipe.metric_timeout
    if recipe.metric is not None:
        metric_named(recipe.metric, recipe.higher_is_better, late)
    for name in recipe.side_metrics or []:
        side_metric_named(name, late)
    proxy = None if recipe.proxy in (None, "none") else loss_named(recipe.proxy)
    task: Task = load(data, observer)
    if recipe.proxy == "none" and task.start_plan is not None:
        raise InputError(
            f"the task {task.name} trains its start model with its proxy; proxy: none fits only a task whose model "
            "comes trained. Leave `proxy` out, or name another loss."
        )
    complete = completed(recipe, task, data, _seeds(recipe, first_seed, seeds))
    name = complete.metric or task.metric
    require_program([name, *(complete.side_metrics or [])], late)
    metric = read_for(name, metric_named(name, complete.higher_is_better, late), task)
    costs_of(metric, complete.decision, observer)
    has_start, named = task.start_plan is not None, complete.group_names
    arguments = {
        "model": task.model,
        "splits": task.splits if named is None else replace(task.splits, group_names=named),
        "metric": as_given(name, metric, task),
        "proxy": None if recipe.proxy == "none" else proxy or task.proxy,
        "side_metrics": [
            read_for(name, side_metric_named(name, late), task) for name in complete.side_metrics or []
        ],
        "may_fall": complete.may_fall,
        "decision": complete.decision,
        "plan": complete.plan,
        "higher_is_better": complete.higher_is_better,
        "proxy_settings": complete.proxy_settings,
        "start_plan": complete.start.plan if has_start else None,
        "start_settings": complete.start.settings if has_start else None,
        "device": complete.device,
        "facts": task.facts,
        "task": task.name,
        "recipe": complete.model_dump(mode="json"),
        **_methods(complete, trains_on=recipe.proxy != "none" and (proxy or task.proxy) is not None),
    }
    return Job(task.name, metric.name, arguments["recipe"], arguments)


def _methods(complete: Recipe, *, trains_on: bool) -> dict[str, Any]:
    """Which methods run, and with which seeds: as `tune` takes one, or as `compare` takes several.

    Args:
        complete: the recipe.
        trains_on: whether there is a proxy loss, for a control that trains on with it.
    """
    seeds = tuple(complete.seeds or SEEDS)
    if complete.methods is None:
        one = {"method": complete.method, "settings": complete.settings, "seed": seeds}
        return {**one, "closed_forms": complete.closed_forms}
    controls = None if complete.controls is None else _contenders(complete.controls)
    if controls is None and not complete.closed_forms:
        controls = [CONTROL] if trains_on else []
    return {
        "methods": _contenders(complete.methods),
        "controls": controls,
        "seeds": seeds,
        "equal": complete.equal,
    }


def _contenders(entries: Sequence[str | Entry]) -> list[Any]:
    """Methods as `compare` takes them."""
    found = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(entry)
        elif entry.method in (RAW, CLOSED_FORM):
            found.append(entry.method)
        elif entry.name is None:
            found.append((entry.method, entry.settings))
        else:
            found.append(Contender(entry.name, entry.method, entry.settings))
    return found


def _checked_options(load: Callable[..., Any], recipe: Recipe) -> dict[str, Any]:
    """The options of a task of ours are checked before anything is loaded; a foreign task checks its own."""
    model = getattr(inspect.getmodule(load), "Options", None)
    if model is None:
        return dict(recipe.data)
    return checked(model, recipe.data, f"data of the task {recipe.task}").model_dump(mode="json")


def _seeds(recipe: Recipe, first: int | None, count: int | None) -> list[int]:
    known = recipe.seeds or list(SEEDS)
    if first is None and count is None:
        return known
    first = known[0] if first is None else first
    return list(range(first, first + (len(known) if count is None else count)))

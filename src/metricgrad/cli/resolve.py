"""From a recipe to the arguments of `tune`: load the task, fill in its defaults, import what is named.

Code is named only as `package.module:name`; nothing in a recipe is ever evaluated.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from metricgrad._records import CONTROL
from metricgrad._types import Observer
from metricgrad.cli.code import check_trust, is_foreign, named_code
from metricgrad.cli.named import loss_named, metric_named, read_for, side_metric_named, task_loader
from metricgrad.cli.recipe import Entry, Recipe, checked, merged
from metricgrad.errors import InputError
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.grammar import read_method, read_methods
from metricgrad.tasks.task import Task
from metricgrad.tune import Contender, Plan

__all__ = ["Job", "named_files", "needs_trust", "require_trust", "resolve"]

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
    if recipe.metric is not None:
        metric_named(recipe.metric, recipe.higher_is_better)
    sides = [side_metric_named(name) for name in recipe.side_metrics]
    proxy = None if recipe.proxy in (None, "none") else loss_named(recipe.proxy)
    task: Task = load(data, observer)
    if recipe.proxy == "none" and task.start_plan is not None:
        raise InputError(
            f"the task {task.name} trains its start model with its proxy; proxy: none fits only a task whose model "
            "comes trained. Leave `proxy` out, or name another loss."
        )
    complete = _complete(recipe, task, data, _seeds(recipe, first_seed, seeds))
    metric = metric_named(complete.metric or task.metric, complete.higher_is_better)
    metric, *sides = (read_for(one, task) for one in (metric, *sides))
    has_start = task.start_plan is not None
    arguments = {
        "model": task.model,
        "splits": task.splits,
        "metric": metric if task.kind is not None else complete.metric,
        "proxy": None if recipe.proxy == "none" else proxy or task.proxy,
        "side_metrics": sides,
        "may_fall": complete.may_fall,
        "plan": complete.plan,
        "higher_is_better": complete.higher_is_better,
        "proxy_settings": complete.proxy_settings,
        "start_plan": complete.start.plan if has_start else None,
        "start_settings": complete.start.settings if has_start else None,
        "device": complete.device,
        "facts": task.facts,
        "task": task.name,
        "recipe": complete.model_dump(mode="json"),
        **_methods(complete),
    }
    return Job(task.name, metric.name, arguments["recipe"], arguments)


def _methods(complete: Recipe) -> dict[str, Any]:
    """Which methods run, and with which seeds: as `tune` takes one, or as `compare` takes several."""
    seeds = tuple(complete.seeds or SEEDS)
    if complete.methods is None:
        return {"method": complete.method, "settings": complete.settings, "seed": seeds}
    controls = None if complete.controls is None else _contenders(complete.controls)
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
        elif entry.name is None:
            found.append((entry.method, entry.settings))
        else:
            found.append(Contender(entry.name, entry.method, entry.settings))
    return found


def needs_trust(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe names code or files that a run folder of somebody else's should not reach unasked."""
    return bool(named_code(recipe) or named_files(recipe))


def require_trust(recipe: Mapping[str, Any], run: Path, *, trusted: bool) -> None:
    """Raise InputError where the recipe of a run folder needs trust that was not given."""
    check_trust(recipe, named_files(recipe), run, trusted=trusted)


def named_files(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the files and folders that the options of a task of ours name, by key; a foreign task knows its own."""
    task, data = recipe.get("task"), recipe.get("data")
    if not isinstance(task, str) or is_foreign(task) or not isinstance(data, Mapping):
        return {}
    fields = inspect.getmodule(task_loader(task)).Options.model_fields  # pyright: ignore[reportOptionalMemberAccess]
    paths = [name for name, field in fields.items() if Path in get_args(field.annotation)]
    return {f"data.{name}": str(data[name]) for name in paths if data.get(name) is not None}


def _checked_options(load: Callable[..., Any], recipe: Recipe) -> dict[str, Any]:
    """The options of a task of ours are checked before anything is loaded; a foreign task checks its own."""
    model = getattr(inspect.getmodule(load), "Options", None)
    if model is None:
        return dict(recipe.data)
    return checked(model, recipe.data, f"data of the task {recipe.task}").model_dump(mode="json")


def _complete(recipe: Recipe, task: Task, data: Mapping[str, Any], seeds: list[int]) -> Recipe:
    """Fill in what the recipe leaves to the task."""
    proxy_settings, start_settings = task.proxy_settings, task.start_settings
    if _has_other_proxy(recipe, task):
        proxy_settings, start_settings = _of_any_loss(proxy_settings), _of_any_loss(start_settings)
    proxy_settings = merged(proxy_settings, recipe.proxy_settings)
    start = {
        "plan": _plan(task.start_plan or Plan(), recipe.start.plan),
        "settings": merged(start_settings, recipe.start.settings),
    }
    method = task.method if recipe.method == "auto" else recipe.method
    settings = merged(_settings_for(method, recipe, task), recipe.settings)
    methods = controls = None
    if recipe.methods is not None:
        settings = recipe.settings  # of all methods: what the task has for one of them stands with that one
        methods = [_entry(one, recipe, task, proxy_settings) for one in recipe.methods]
        controls = recipe.controls and [_entry(one, recipe, task, proxy_settings) for one in recipe.controls]
    return recipe.model_copy(
        update={
            "data": dict(data),
            "metric": recipe.metric or task.metric,
            "method": method,
            "methods": methods,
            "controls": controls,
            "seeds": seeds,
            "plan": _plan(task.plan, recipe.plan),
            "settings": settings,
            "proxy_settings": proxy_settings,
            "start": recipe.start.model_copy(update=start),
        }
    )


def _has_other_proxy(recipe: Recipe, task: Task) -> bool:
    return recipe.proxy is not None and recipe.proxy != task.proxy


def _settings_for(method: str, recipe: Recipe, task: Task) -> Mapping[str, Any]:
    """What the task has for a method: everything for its own, for any other what fits all."""
    settings = task.settings
    if read_methods(method)[0].plain != read_method(task.method).plain:
        settings = _of_any_loss(settings)
    if _has_other_proxy(recipe, task):
        settings = {key: value for key, value in settings.items() if key not in ("proxy", "proxy_weight")}
    return settings


def _entry(given: str | Entry, recipe: Recipe, task: Task, proxy_settings: Mapping[str, Any]) -> Entry:
    """A method of a contest with all of its settings."""
    entry = Entry(method=given) if isinstance(given, str) else given
    if entry.method == CONTROL:
        return entry.model_copy(update={"settings": merged(proxy_settings, entry.settings)})
    method = task.method if entry.method == "auto" else entry.method
    settings = merged(merged(_settings_for(method, recipe, task), recipe.settings), entry.settings)
    return entry.model_copy(update={"method": method, "settings": settings})


def _of_any_loss(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for another loss: what belongs to the loss itself, or to its kind of method, does not carry over."""
    common = DescentSettings.model_fields
    return {key: value for key, value in settings.items() if key in common and key != "objective"}


def _plan(of_task: Plan, given: Plan) -> Plan:
    """Lay the given fields over the task's; minutes replace steps and the other way round."""
    fields = of_task.model_dump()
    changes = {name: getattr(given, name) for name in given.model_fields_set}
    if changes.get("minutes") is not None or changes.get("steps") is not None:
        fields["minutes"] = fields["steps"] = None
    return Plan(**{**fields, **changes})


def _seeds(recipe: Recipe, first: int | None, count: int | None) -> list[int]:
    known = recipe.seeds or list(SEEDS)
    if first is None and count is None:
        return known
    first = known[0] if first is None else first
    return list(range(first, first + (len(known) if count is None else count)))

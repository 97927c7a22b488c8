"""What a recipe leaves to its task, filled in."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from metricgrad._records import CLOSED_FORM, CONTROL, RAW
from metricgrad.cli.recipe import Entry, Recipe, merged
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.families import FAMILIES
from metricgrad.methods.grammar import read_method, read_methods
from metricgrad.tasks.task import Task
from metricgrad.tune import Plan
from metricgrad.tune.arms import PROXY

__all__ = ["completed"]


def completed(recipe: Recipe, task: Task, data: Mapping[str, Any], seeds: list[int]) -> Recipe:
    """Return the recipe with the defaults of the task, its checked options and the seeds."""
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
            **_side_metrics(recipe, task),
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


def _side_metrics(recipe: Recipe, task: Task) -> dict[str, Any]:
    """Side metrics and how far each may fall: the user's own, or those of the task but the metric itself."""
    own = recipe.side_metrics is not None
    names = recipe.side_metrics or [name for name in task.side_metrics if not own and name != recipe.metric]
    given = recipe.may_fall
    return {"side_metrics": names, "may_fall": given if given is not None else 0.0 if own else task.may_fall}


def _has_other_proxy(recipe: Recipe, task: Task) -> bool:
    return recipe.proxy is not None and recipe.proxy != task.proxy


def _settings_for(method: str, recipe: Recipe, task: Task) -> Mapping[str, Any]:
    """What the task has for a method: everything for its own, for any other that follows a gradient what fits all."""
    settings = task.settings
    if read_methods(method)[0].plain != read_method(task.method).plain:
        settings = _fitting(settings, method)
    if _has_other_proxy(recipe, task):
        settings = {key: value for key, value in settings.items() if key not in ("proxy", "proxy_weight")}
    return settings


def _fitting(settings: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Those that fit another method. A search has settings of its own, some of them under the names of others."""
    name = read_methods(method)[0].plain
    family = next((one for one in FAMILIES if one.name == name.family), None)
    model = DescentSettings if family is None else family.settings_of.get(str(name), family.settings)
    if not issubclass(model, DescentSettings):
        return {}
    return {key: value for key, value in _of_any_loss(settings).items() if _takes(model, key, value)}


def _takes(model: type[BaseModel], key: str, value: Any) -> bool:
    """Whether a method has that setting, and that value is one of it: `alternating` has no `proxy_weight` but 0."""
    try:
        model.model_validate({key: value})
    except ValidationError:
        return False
    return True


def _entry(given: str | Entry, recipe: Recipe, task: Task, proxy_settings: Mapping[str, Any]) -> Entry:
    """A method of a contest with all of its settings."""
    entry = Entry(method=given) if isinstance(given, str) else given
    if entry.method in (RAW, CLOSED_FORM):
        return entry
    if entry.method in (CONTROL, PROXY):
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

"""The recipe of a run: a YAML file with few keys, all checked, whose defaults are the task's."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator

from metricgrad._checks import describe, nearest
from metricgrad._documents import NumberField, Unreadable, WholeField, content_of, yaml_document
from metricgrad.errors import InputError
from metricgrad.tune import Plan
from metricgrad.tune.plan import LARGEST_SEED

__all__ = [
    "Entry",
    "Recipe",
    "Start",
    "checked",
    "given_keys",
    "meanings",
    "merged",
    "models_inside",
    "override",
    "read_recipe",
    "scalar",
    "stored_recipe",
]

MOST_BYTES = 2**20
"""Of a recipe: a longer file is none."""
MOST_SEEDS = 1000
_QUOTES = 'A value with a colon is in quotes: metric: "cmd: ./score.sh {predictions}".'


class Start(BaseModel):
    """How the start model is trained before the arms part; the task's way where nothing is said.

    Args:
        plan: its budget; it ends earlier at its plateau on the select split.
        settings: of its training, like those of the control arm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: Plan = Field(default_factory=Plan)
    settings: dict[str, Any] = Field(default_factory=dict)


class Entry(BaseModel):
    """A method that takes part in a contest.

    Args:
        method: as `method` of a recipe.
        name: of its own; like its method where left out.
        settings: of the method, over those that the task and the recipe have for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = "auto"
    name: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class Recipe(BaseModel):
    """What a run is made of. Every key but `task` may be left out: then the task decides.

    Args:
        task: the name of a task of ours, or `package.module:name` of a function `load(options, observer)`.
        data: options of the task; `metricgrad explain TASK` lists them.
        metric: a name (`metricgrad list`), `package.module:name` of a callable, or a program that reads a file:
            `"cmd: ./score.sh {predictions}"`, in quotes; the task's where left out.
        higher_is_better: the direction, for a metric that does not say it itself.
        metric_timeout: seconds that one call of a program may take; 60 where left out.
        side_metrics: metrics that must not get worse, named like `metric`; they are measured for every arm.
        may_fall: how far each may fall below the start on select, in its own units: a number for all, or one by name;
            0 where left out beside side metrics of the user.
        decision: how class scores become classes, for a metric that reads classes: `auto` (a rule fitted on select, in
            every arm alike), `argmax`, or the name of a rule.
        closed_forms: for a metric of embeddings, whether controls that train nothing take part: the inputs as they are,
            and the best closed form (whitening, LDA, ...). A contest names them among `controls`.
        group_names: whether record and report name the groups of test, or its classes in retrieval, and do not number
            them: a name may be that of a person. As the task has it where left out.
        method: `auto`, or `family:objective` such as `surrogate:average_precision`; several, separated by commas, share
            the tries. `surrogate:package.module:name` follows a loss `(outputs, targets) -> loss` of the user, or a
            metric `f(outputs, targets, step)`, which is relaxed.
        methods: of a contest (`metricgrad compare`): names like `method`, or each with `method`, `name` and `settings`.
        controls: of a contest, like `methods`; `continued` trains on with the proxy loss, `raw` and `closed-form` train
            nothing. Where nothing is said, those of the three that apply.
        equal: what the methods of a contest get as much of as each other: `steps` or `time`.
        proxy: the loss of the control arm: a name, `package.module:name`, or `none` for no control arm.
        seeds: one run each; their mean is reported.
        device: where the network is trained: `cpu`, `cuda`, `cuda:1`, ...; where the task puts it when left out.
        plan: the budget of every arm.
        settings: of the method; with several tries the first one's.
        proxy_settings: of the control arm; with several tries the first one's.
        start: the training of the start model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = Field(min_length=1)
    data: dict[str, Any] = Field(default_factory=dict)
    metric: str | None = None
    higher_is_better: StrictBool | None = None
    metric_timeout: NumberField | None = Field(default=None, gt=0)
    side_metrics: list[str] | None = None
    may_fall: float | dict[str, float] | None = None
    decision: str = "auto"
    closed_forms: StrictBool = True
    group_names: StrictBool | None = None
    method: str = "auto"
    methods: list[str | Entry] | None = Field(default=None, min_length=1)
    controls: list[str | Entry] | None = None
    equal: Literal["steps", "time"] = "steps"
    proxy: str | None = None
    seeds: list[WholeField] | None = Field(default=None, min_length=1, max_length=MOST_SEEDS)
    device: str | None = None
    plan: Plan = Field(default_factory=Plan)
    settings: dict[str, Any] = Field(default_factory=dict)
    proxy_settings: dict[str, Any] = Field(default_factory=dict)
    start: Start = Field(default_factory=Start)

    @field_validator("metric", mode="before")
    @classmethod
    def _quoted(cls, metric: Any) -> Any:
        if isinstance(metric, Mapping) and "cmd" in metric:
            raise ValueError(f"a text was expected. {_QUOTES.removesuffix('.')}")
        return metric

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int] | None) -> list[int] | None:
        if seeds and (len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) > LARGEST_SEED):
            raise ValueError(f"seeds must be different whole numbers from 0 to {LARGEST_SEED}")
        return seeds


def read_recipe(path: Path) -> dict[str, Any]:
    """Read and check a recipe.

    Returns:
        The keys that it names, with their values as YAML reads them.

    Raises:
        InputError: no such file, a folder, empty, not UTF-8, not YAML (with the line), no mapping, a key given
            twice, an unknown key (with the nearest known one and the line) or a value of the wrong type.
    """
    try:
        given, lines = yaml_document(content_of(path, most=MOST_BYTES, linked=True))
    except Unreadable as error:
        where = f" line {error.line}" if error.line else ""
        quotes = f" {_QUOTES}" if "mapping values" in str(error.reason) else ""
        raise InputError(
            f"cannot read the recipe {path}{where}: {error.reason}; expected a YAML file with lines like "
            f"`metric: recall@1`. `metricgrad explain recipe` prints every key.{quotes}"
        ) from error
    if not isinstance(given, Mapping):
        came = "empty" if given is None else f"{type(given).__name__}, not keys with values"
        raise InputError(
            f"the recipe {path} is {came}; expected at least `task: NAME`. See `metricgrad explain recipe`."
        )
    checked(Recipe, given, f"the recipe {path}", lines)
    return dict(given)


def stored_recipe(run: Path) -> dict[str, Any]:
    """The recipe that a run folder keeps.

    Raises:
        InputError: the folder holds none.
    """
    from metricgrad._layout import check_layout
    from metricgrad.tune.folder import read_config

    check_layout(run)
    recipe = (read_config(run) or {}).get("recipe")
    if recipe is None:
        raise InputError(
            f"{run}/config.yaml holds no recipe: the run was started from Python, not by the command; call "
            f"metricgrad.tune with the same arguments and folder={str(run)!r} to resume it."
        )
    if not isinstance(recipe, Mapping):
        raise InputError(f"{run}/config.yaml holds a recipe that is no mapping; restore it from a copy.")
    if isinstance(command := recipe.get("command"), str):
        raise InputError(f"{run} is a run of another command, which goes on where it is repeated: {command}")
    return dict(recipe)


def checked(
    model: type[BaseModel], given: Mapping[Any, Any], source: str, lines: Mapping[str, int] | None = None
) -> Any:
    """Return the model made of `given`.

    Args:
        model: a pydantic model that forbids further keys.
        given: keys and values.
        source: what to call them in a message.
        lines: the line of each key in the file, by dotted path.

    Raises:
        InputError: an unknown key at any level, or a value of the wrong type.
    """
    lines = lines or {}
    for path, key, inner in _unknown(model, given):
        place = ".".join([*path, key])
        within = f" in {'.'.join(path)}" if path else ""
        raise InputError(
            f"{source}{_at(lines, place)} has the key {key!r}{within}, which is unknown. "
            f"{nearest(key, inner.model_fields)}"
        )
    try:
        return model(**given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise InputError(f"{source} has no key {place!r}, which is needed.") from error
        came = f"{place} is {describe(first['input'])}" if place else "the keys do not fit together"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"{source}{_at(lines, place)}: {came}; {message[0].lower()}{message[1:]}."
        ) from error


def given_keys(what: str, options: Mapping[str, Any], assignments: list[str]) -> dict[str, Any]:
    """The keys of the recipe that a command line describes."""
    from metricgrad import tasks

    path = Path(what)
    is_recipe = path.suffix in (".yaml", ".yml") or (what not in tasks.__all__ and os.path.exists(path))
    below: dict[str, Any] = read_recipe(path) if is_recipe else {"task": what}
    above = _set_values(
        {
            key: _set_values(value) or None if isinstance(value, Mapping) else value
            for key, value in options.items()
        }
    )
    budget = {"minutes", "steps"} & set(above.get("plan", {}))
    if budget and isinstance(
        below.get("plan"), Mapping
    ):  # an option replaces the recipe's budget, whichever it is
        below["plan"] = {
            key: value for key, value in below["plan"].items() if key not in ("minutes", "steps")
        }
    return override(merged(below, above), assignments)


def _set_values(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def override(given: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Apply `key=value` (dots reach inside) to the keys of a recipe."""
    result = dict(given)
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path.strip():
            raise InputError(
                f"--set {assignment!r} is no assignment; expected key=value, e.g. settings.dropout=0.2."
            )
        if path.count(".") > 20:
            raise InputError(
                f"--set {assignment[:80]!r}... names a key inside of {path.count('.')} others; none is."
            )
        change: Any = scalar(value)
        for key in reversed(path.strip().split(".")):
            change = {key: change}
        result = merged(result, change)
    return result


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the keys of `above` over those of `below`, level by level."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = (
            merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
        )
    return result


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what each field means, from the `Args` of the docstrings of the model and of those that it extends."""
    found: list[tuple[str, str]] = []
    for one in reversed(model.__mro__):
        if issubclass(one, BaseModel) and one is not BaseModel:
            text = (one.__doc__ or "").partition("Args:")[2]
            text = re.split(r"\n\s*\n", text, maxsplit=1)[0]
            found += re.findall(r"^ {8}(\w+): (.*?)(?=^ {8}\w+: |\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: " ".join(meaning.split()) for name, meaning in found}


def models_inside(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the fields whose values have keys of their own."""
    kinds = {name: field.annotation for name, field in model.model_fields.items()}
    return {
        name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, BaseModel)
    }


def scalar(text: str) -> Any:
    """Read one value as the recipe would: a number, true, null, a list in brackets, or text."""
    try:
        return yaml_document(text).value
    except Unreadable as error:
        raise InputError(
            f"cannot read the value {text[:80]!r}: {error.reason}; expected a YAML value such as 0.1, true or [1, 2]."
        ) from error


def _unknown(model: type[BaseModel], given: Mapping[Any, Any], path: tuple[str, ...] = ()) -> Any:
    """Yield (path, key, model) of the keys that the model does not know."""
    inside = models_inside(model)
    for key, value in given.items():
        if key not in model.model_fields:
            yield path, str(key), model
        elif key in inside and isinstance(value, Mapping):
            yield from _unknown(inside[key], value, (*path, key))


def _at(lines: Mapping[str, int], place: str) -> str:
    """Name the line of a key, or of the nearest key above it."""
    while place and place not in lines:
        place = place.rpartition(".")[0]
    return f" line {lines[place]}" if place else ""

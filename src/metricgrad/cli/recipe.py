"""The recipe of a run: a YAML file with few keys, all checked, whose defaults are the task's."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from metricgrad._checks import nearest
from metricgrad.errors import InputError
from metricgrad.tune import Plan

__all__ = ["Recipe", "Start", "checked", "meanings", "models_inside", "read_recipe", "scalar"]


class Start(BaseModel):
    """How the start model is trained before the arms part; the task's way where nothing is said.

    Args:
        plan: its budget; it ends earlier at its plateau on the select split.
        settings: of its training, like those of the control arm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: Plan = Field(default_factory=Plan)
    settings: dict[str, Any] = Field(default_factory=dict)


class Recipe(BaseModel):
    """What a run is made of. Every key but `task` may be left out: then the task decides.

    Args:
        task: the name of a task of ours, or `package.module:name` of a function `load(options, observer)`.
        data: options of the task; `metricgrad explain TASK` lists them.
        metric: a name (`metricgrad list`) or `package.module:name` of a callable; the task's where left out.
        higher_is_better: the direction, for a metric that does not say it itself.
        method: `auto`, or `family:objective` such as `surrogate:average_precision`; several, separated by commas, share
            the tries.
        proxy: the loss of the control arm: a name, `package.module:name`, or `none` for no control arm.
        seeds: one run each; their mean is reported.
        plan: the budget of every arm.
        settings: of the method; with several tries the first one's.
        proxy_settings: of the control arm; with several tries the first one's.
        start: the training of the start model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = Field(min_length=1)
    data: dict[str, Any] = Field(default_factory=dict)
    metric: str | None = None
    higher_is_better: bool | None = None
    method: str = "auto"
    proxy: str | None = None
    seeds: list[int] | None = Field(default=None, min_length=1)
    plan: Plan = Field(default_factory=Plan)
    settings: dict[str, Any] = Field(default_factory=dict)
    proxy_settings: dict[str, Any] = Field(default_factory=dict)
    start: Start = Field(default_factory=Start)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int] | None) -> list[int] | None:
        if seeds and (len(set(seeds)) < len(seeds) or min(seeds) < 0):
            raise ValueError("seeds must be different whole numbers >= 0")
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
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror}; expected a YAML file.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"the recipe {path} is not UTF-8 text (byte {error.start}); expected a YAML file."
        ) from error
    try:
        tree = yaml.compose(text, Loader=_Loader)
        given = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader with one more form of number)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(
            f"the recipe {path}{where} is not YAML: {problem}; expected lines like `metric: recall@1`. "
            "`metricgrad explain recipe` prints every key."
        ) from error
    if not isinstance(given, Mapping):
        came = "empty" if given is None else f"{type(given).__name__}, not keys with values"
        raise InputError(
            f"the recipe {path} is {came}; expected at least `task: NAME`. See `metricgrad explain recipe`."
        )
    checked(Recipe, given, f"the recipe {path}", _lines(tree))
    return dict(given)


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
        came = f"{place} is {first['input']!r}" if place else "the keys do not fit together"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"{source}{_at(lines, place)}: {came}; {message[0].lower()}{message[1:]}."
        ) from error


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what each field means, from the `Args` of the model's docstring."""
    text = (model.__doc__ or "").partition("Args:")[2]
    text = re.split(r"\n\s*\n", text, maxsplit=1)[0]
    found = re.findall(r"^ {8}(\w+): (.*?)(?=^ {8}\w+: |\Z)", text, re.MULTILINE | re.DOTALL)
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
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader with one more form of number)
    except yaml.YAMLError as error:
        raise InputError(
            f"cannot read the value {text!r}; expected a YAML value such as 0.1, true or [1, 2]."
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


def _lines(node: Any, path: str = "") -> dict[str, int]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    lines = {}
    for key, value in node.value:
        place = f"{path}.{key.value}".lstrip(".")
        lines[place] = key.start_mark.line + 1
        lines.update(_lines(value, place))
    return lines


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice and reads 1e-3 as a number (YAML 1.1 takes it for text)."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)

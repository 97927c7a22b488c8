"""The keys of a recipe that a command line describes: a task or a recipe, options, and `--set key=value`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricgrad.errors import InputError

__all__ = ["given_keys", "merged", "override"]


def given_keys(what: str, options: Mapping[str, Any], assignments: list[str]) -> dict[str, Any]:
    """The keys of the recipe that a command line describes."""
    from metricgrad import tasks
    from metricgrad.cli.recipe import read_recipe

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
    from metricgrad.cli.recipe import scalar

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

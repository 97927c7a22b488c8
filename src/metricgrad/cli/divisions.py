"""`metricgrad settings`: what `tune` is called with on one division of the development classes."""

import inspect
from typing import Any

from metricgrad.cli.named import task_loader
from metricgrad.cli.recipe import Recipe, checked
from metricgrad.cli.resolve import resolve
from metricgrad.cli.task_options import import_named
from metricgrad.cli.trust import trusted_keys
from metricgrad.errors import InputError

__all__ = ["call_of_division"]


def call_of_division(
    what: str,
    given: dict[str, Any],
    assignments: list[str],
    number: int,
    observer: Any,
    *,
    trusted: bool,
) -> dict[str, Any]:
    """Return the arguments of `tune` on one division of the development classes.

    Args:
        what: a task or a recipe.
        given: the options of the command, as keys of a recipe.
        assignments: further keys.
        number: of the division.
        observer: sees the progress of loading.
        trusted: whether programs that the recipe names may be run.

    Raises:
        InputError: a task that has no such divisions, several methods, no proxy; as `resolve`.
    """
    keys = trusted_keys(what, {**given, "data": {"development": number}}, assignments, trusted=trusted)
    recipe = checked(Recipe, keys, "the recipe")
    import_named(keys)
    options = getattr(inspect.getmodule(task_loader(recipe.task)), "Options", None)
    if options is None or "development" not in options.model_fields:
        raise InputError(
            f"settings: the task {recipe.task!r} has no option `development`; expected one that divides the classes of "
            "fit and select, so that the test split takes no part."
        )
    if recipe.data.get("development") != number:
        raise InputError(
            "settings: data.development is set by the command, one number a division; leave it out."
        )
    if recipe.methods is not None:
        raise InputError("settings: the recipe names several methods; expected one, as `method`.")
    arguments = dict(resolve(recipe, observer).arguments)
    if arguments["proxy"] is None:
        raise InputError(
            "settings: the recipe has no proxy; expected one: the control arm gets as many tries."
        )
    return {key: value for key, value in arguments.items() if key not in ("seed", "recipe")}

"""The keys of a recipe, checked, with the code that they name imported: here, and once more in another process."""

from collections.abc import Mapping
from typing import Any

from metricgrad.cli.recipe import Recipe, checked
from metricgrad.cli.resolve import resolve
from metricgrad.cli.task_options import import_named
from metricgrad.tune.asked import Asked
from metricgrad.tune.entries import asked_of

__all__ = ["asked_again", "recipe_of"]

_OF_THE_RECORD = ("facts", "task", "recipe")
"""Arguments of a run that train nothing."""


def recipe_of(given: Mapping[str, Any], place: str = "the recipe") -> Recipe:
    """Return a recipe whose code is imported.

    Args:
        given: its keys; they are trusted.
        place: where they stand, for messages.

    Raises:
        InputError: a key that does not fit, or a name that cannot be imported.
    """
    recipe = checked(Recipe, given, place)
    import_named(given)
    return recipe


def asked_again(complete: Mapping[str, Any]) -> Asked:
    """Return the arguments of a contest once more, in another process.

    Args:
        complete: the recipe of its job, with every default filled in.
    """
    arguments = resolve(recipe_of(complete), lambda event: None).arguments
    return asked_of(**{name: value for name, value in arguments.items() if name not in _OF_THE_RECORD})

"""What the options of a task name of the user's: files, folders and code."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from metricgrad._named_code import CODE
from metricgrad.cli.code import code_of_methods, imported, is_foreign
from metricgrad.cli.named import task_loader

__all__ = ["code_of_options", "import_named", "named_files"]


def named_files(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the files and folders that the options of a task of ours name, by key; a foreign task knows its own."""
    fields, data = _options(recipe)
    paths = [
        name for name, field in fields.items() if Path in (field.annotation, *get_args(field.annotation))
    ]
    return {f"data.{name}": str(data[name]) for name in paths if data.get(name) is not None}


def code_of_options(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the code that the options of a task of ours name, by key; whatever the recipe holds.

    Example:
        >>> code_of_options({"task": "sop", "data": {"backbone": "timm:create_model"}})
        {'data.backbone': 'timm:create_model'}
    """
    fields, data = _options(recipe)
    found = {f"data.{name}": data.get(name) for name, field in fields.items() if CODE in field.metadata}
    return {key: name for key, name in found.items() if isinstance(name, str) and is_foreign(name)}


def import_named(recipe: Mapping[str, Any]) -> None:
    """Import what methods and options of a recipe name, before anything is loaded; the current folder is seen, too.

    Raises:
        InputError: there is no such module, or no such name in it.
    """
    for what, name in {**code_of_methods(recipe), **code_of_options(recipe)}.items():
        imported(name, f"the {what}:")


def _options(recipe: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The options that a task of ours has, and those that are given; nothing of a foreign one."""
    task, data = recipe.get("task"), recipe.get("data")
    if not isinstance(task, str) or is_foreign(task) or not isinstance(data, Mapping):
        return {}, {}
    module = inspect.getmodule(task_loader(task))
    return module.Options.model_fields, data  # pyright: ignore[reportOptionalMemberAccess]

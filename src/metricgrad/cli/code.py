"""Code of the user's, named `package.module:name` on the command line or in a recipe: which it is, and its import."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricgrad import _named_code
from metricgrad._named_code import is_foreign as is_foreign

__all__ = ["code_of_methods", "imported", "is_foreign", "see_current_folder"]


def imported(name: str, what: str) -> Any:
    """Import `package.module:name`; modules of the current folder are found too."""
    see_current_folder()
    return _named_code.imported(name, what)


def code_of_methods(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return what the methods of a recipe name as `family:package.module:name`, by method; whatever the recipe holds.

    Example:
        >>> code_of_methods({"method": "surrogate:recall_at_k, surrogate:losses:mine"})
        {'method surrogate:losses:mine': 'losses:mine'}
    """
    entries = [recipe.get("method")]
    for key in ("methods", "controls"):
        listed = recipe.get(key)
        entries += listed if isinstance(listed, list) else []
    texts = [entry.get("method") if isinstance(entry, Mapping) else entry for entry in entries]
    names = [name.strip() for text in texts if isinstance(text, str) for name in text.split(",")]
    objectives = {name: name.partition(":")[2].partition("+")[0].strip() for name in names}
    return {f"method {name}": objective for name, objective in objectives.items() if is_foreign(objective)}


def see_current_folder() -> None:
    """Let modules of the current folder be imported, after the installed ones: the user has named one."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))

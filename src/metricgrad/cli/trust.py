"""Whether what a recipe names, code and files, is trusted.

Importing a module runs it. Names that the user types, or writes into a recipe, are imported. Names in the `config.yaml`
of a run folder may be somebody else's: they are imported only with `--trust`, and never out of the folder. The files
that it names are read and written only with `--trust`, too.
"""

import inspect
import shlex
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, get_args

from metricgrad.cli.code import code_of_methods, is_foreign
from metricgrad.cli.named import task_loader
from metricgrad.errors import InputError
from metricgrad.metrics.adapt import names_a_function

__all__ = ["check_trust", "named_files", "needs_trust", "require_trust"]


def needs_trust(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe names code or files that a run folder of somebody else's should not reach unasked."""
    return bool(_named_code(recipe) or named_files(recipe))


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


def _named_code(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return what a recipe names as `package.module:name`, by key."""
    named = {
        what: name
        for what in ("task", "metric", "proxy")
        if isinstance(name := recipe.get(what), str)
        and (names_a_function(name) if what == "metric" else is_foreign(name))
    }
    return {**named, **code_of_methods(recipe)}


def check_trust(recipe: Mapping[str, Any], files: Mapping[str, str], folder: Path, *, trusted: bool) -> None:
    """Refuse what the recipe of a run folder names, code and files, unless it is trusted; code in the folder never is.

    Nothing is imported or opened to find that out.

    Args:
        recipe: the recipe.
        files: the files and folders that it names, by key.
        folder: the run folder.
        trusted: whether the user trusts it.

    Raises:
        InputError: with every name, and the file that code would come from.
    """
    named = _named_code(recipe)
    home = folder.resolve()
    places = {what: _places(name.partition(":")[0].strip()) for what, name in named.items()}
    for what, name in named.items():
        inside = next((place for place in places[what] if home in (place, *place.parents)), None)
        if inside is not None:
            raise InputError(
                f"the {what} {name!r} of {folder} would come from {inside}, inside the run folder; code is never "
                "imported from there. Put the module where it was when the run began, and call the command from there."
            )
    if trusted or not (named or files):
        return
    shown = [
        f"the {what} {name!r} from {places[what][-1] if places[what] else 'nowhere (there is no such module)'}"
        for what, name in named.items()
    ]
    reasons = [f"names code, and importing it runs it: {'; '.join(shown)}"] if named else []
    if files:
        listed = "; ".join(f"{key} {name!r}" for key, name in files.items())
        reasons.append(f"names files or folders, and going on reads them or writes to them: {listed}")
    raise InputError(
        f"the recipe in {folder} {'. It also '.join(reasons)}. Where this run is your own, or you trust who sent it "
        "and have looked at what it names, go on with: "
        f"metricgrad resume {shlex.quote(str(folder))} --trust"
    )


def _places(module: str) -> list[Path]:
    """The files and folders that a dotted name leads through, as the path finder says, without running any of them."""
    places: list[Path] = []
    where: list[str] | None = [*sys.path, str(Path.cwd())]
    for part in module.split("."):
        spec = PathFinder.find_spec(part, where) if where else None
        if spec is None:
            break
        where = list(spec.submodule_search_locations or [])
        found = [spec.origin] if spec.has_location and spec.origin else where
        places += [Path(place).resolve() for place in found]
    return places

"""Code of the user's, named `package.module:name`: where it would come from, whether that is trusted, its import.

Importing a module runs it. Names that the user types, or writes into a recipe, are imported. Names in the `config.yaml`
of a run folder may be somebody else's: they are imported only with `--trust`, and never out of the folder. The files
that it names are read and written only with `--trust`, too.
"""

import importlib
import re
import shlex
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from metricgrad._checks import nearest
from metricgrad.errors import InputError
from metricgrad.metrics.adapt import names_a_function

__all__ = ["check_trust", "imported", "is_foreign", "named_code", "see_current_folder"]


def is_foreign(name: str) -> bool:
    """Whether a name says `package.module:name`; a metric's settings (`f_beta:beta=2`) follow a colon too."""
    return re.fullmatch(r"[^\W\d]\w*(\.\w+)*:[^\W\d][\w.]*", name) is not None


def imported(name: str, what: str) -> Any:
    """Import `package.module:name`; modules of the current folder are found too."""
    module, _, attribute = name.partition(":")
    see_current_folder()
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{what} {name!r} cannot be imported: there is no module {error.name!r}; expected package.module:name "
            "of something installed or in the current folder."
        ) from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} {name!r} is no name of the form package.module:name.") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InputError(
                f"{what} {name!r}: {module} has no {attribute!r}. {nearest(attribute, dir(found))}"
            )
        found = getattr(found, part)
    return found


def see_current_folder() -> None:
    """Let modules of the current folder be imported, after the installed ones: the user has named one."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def named_code(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return what a recipe names as `package.module:name`, by key."""
    return {
        what: name
        for what in ("task", "metric", "proxy")
        if isinstance(name := recipe.get(what), str)
        and (names_a_function(name) if what == "metric" else is_foreign(name))
    }


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
    named = named_code(recipe)
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

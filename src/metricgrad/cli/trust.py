"""Whether what a recipe names, code and files, is trusted.

Importing a module runs it. Names that the user types, or writes into a recipe, are imported. Names in the `config.yaml`
of a run folder may be somebody else's: they are imported only with `--trust`, and never out of the folder. The files
that it names are read and written only with `--trust`, too.

A program as metric (`cmd: ./score.sh {predictions}`) is run where the user types it. Where it is in the file of a
recipe or in a `config.yaml` it is run only with `--trust`, and never out of a run folder.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from metricgrad.cli.code import code_of_methods, is_foreign
from metricgrad.cli.recipe import given_keys, override
from metricgrad.cli.task_options import code_of_options
from metricgrad.cli.task_options import named_files as named_files
from metricgrad.errors import InputError, MetricgradError
from metricgrad.metrics.typed import names_a_function, names_a_program, program_typed

__all__ = ["check_trust", "named_files", "needs_trust", "require_trust", "trusted_keys"]


def needs_trust(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe names code or files that a run folder of somebody else's should not reach unasked."""
    return bool(_named_code(recipe) or _programs(recipe) or named_files(recipe))


def require_trust(recipe: Mapping[str, Any], run: Path, *, trusted: bool) -> None:
    """Raise InputError where the recipe of a run folder needs trust that was not given."""
    check_trust(recipe, named_files(recipe), run, trusted=trusted)


def _named_code(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return what a recipe names as `package.module:name`, by key."""
    named = {
        what: name
        for what in ("task", "proxy")
        if isinstance(name := recipe.get(what), str) and is_foreign(name)
    }
    metrics = {what: name for what, name in _metrics(recipe).items() if names_a_function(name)}
    return {**named, **code_of_options(recipe), **metrics, **code_of_methods(recipe)}


def _metrics(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the metrics of a recipe as they stand there, by key; whatever the recipe holds."""
    sides = recipe.get("side_metrics")
    sides = [name for name in sides if isinstance(name, str)] if isinstance(sides, list) else []
    metric = recipe.get("metric")
    found = {"metric": metric} if isinstance(metric, str) else {}
    return {**found, **{f"side metric {number}": name for number, name in enumerate(sides, start=1)}}


def _programs(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the programs that a recipe names as metrics, by key."""
    return {what: name for what, name in _metrics(recipe).items() if names_a_program(name)}


def check_trust(recipe: Mapping[str, Any], files: Mapping[str, str], folder: Path, *, trusted: bool) -> None:
    """Refuse what the recipe of a run folder names, code, programs and files, unless it is trusted.

    Code and programs in the folder never are. Nothing is imported, run or opened to find that out.

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
    programs = _programs(recipe)
    for what, text in programs.items():
        inside = next((place for place in _read_by(text) if home in (place, *place.parents)), None)
        if inside is not None:
            raise InputError(
                f"the {what} {text!r} of {folder} would run {inside}, inside the run folder; nothing is ever run from "
                "there. Put the program where it was when the run began, and call the command from there."
            )
    if trusted or not (named or programs or files):
        return
    shown = [
        f"the {what} {name!r} from {places[what][-1] if places[what] else 'nowhere (there is no such module)'}"
        for what, name in named.items()
    ]
    reasons = [f"names code, and importing it runs it: {'; '.join(shown)}"] if named else []
    if programs:
        reasons.append(f"names programs, and going on runs them: {_shown(programs)}")
    if files:
        listed = "; ".join(f"{key} {name!r}" for key, name in files.items())
        reasons.append(f"names files or folders, and going on reads them or writes to them: {listed}")
    raise InputError(
        f"the recipe in {folder} {'. It also '.join(reasons)}. Where this run is your own, or you trust who sent it "
        "and have looked at what it names, go on with: "
        f"metricgrad resume {shlex.quote(str(folder))} --trust"
    )


def trusted_keys(
    what: str, options: Mapping[str, Any], assignments: list[str], *, trusted: bool
) -> dict[str, Any]:
    """Return the keys of the recipe that a command line describes, with no program that the file alone names.

    Args:
        what: a task or a recipe.
        options: of the command, as keys of a recipe.
        assignments: further keys, as `--set` takes them.
        trusted: whether programs that the file names may be run.

    Raises:
        InputError: it names one, and is not trusted; as `given_keys`.
    """
    given = given_keys(what, options, assignments)
    typed = set(_programs(override(dict(options), assignments)).values())
    programs = {key: text for key, text in _programs(given).items() if text not in typed}
    if programs and not trusted:
        raise InputError(
            f"the recipe {what} names programs, and the command runs them: {_shown(programs)}. Where the recipe is "
            "your own, or you trust who sent it and have looked at what it names, add --trust. A program that is typed "
            "as --metric needs no such word."
        )
    return given


def _shown(programs: Mapping[str, str]) -> str:
    """Programs by key, each with its path."""
    return "; ".join(f"the {what} {text!r} is {_path_of(text)}" for what, text in programs.items())


def _path_of(text: str) -> str:
    """The full path of a program; why there is none."""
    try:
        return program_typed(text).path
    except MetricgradError as error:
        return f"none that can be run ({error})"


def _read_by(text: str) -> list[Path]:
    """The program of a text, and the files that its arguments name."""
    try:
        program = program_typed(text)
    except MetricgradError:  # nothing that can be run
        return []
    words = [word for argument in program.words[1:] for word in (argument, argument.partition("=")[2])]
    named = [program.folder / word for word in words if word]
    return [place.resolve() for place in (Path(program.path), *named) if os.path.exists(place)]


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

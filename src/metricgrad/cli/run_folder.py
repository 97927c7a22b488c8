"""The folder of a new run, and what is said where a run stops in it."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from metricgrad.cli.output import complain
from metricgrad.cli.trust import needs_trust
from metricgrad.errors import InputError, Interrupted, RunFolderError
from metricgrad.scale import ProcessLost

__all__ = ["new_folder", "resumable"]


@contextlib.contextmanager
def resumable(
    place: Path, recipe: Mapping[str, Any], *, new: bool, leader: bool, again: str | None = None
) -> Iterator[None]:
    """Where a run stops before its end, say how to go on, and end the command.

    Args:
        place: the run folder.
        recipe: whether going on needs `--trust` depends on what it names.
        new: whether the folder was made for this run; it is taken away where the run cannot begin.
        leader: whether this is the process that speaks for all.
        again: the command that goes on, where `metricgrad resume` does not.
    """
    try:
        yield
    except (Interrupted, ProcessLost) as error:
        lost = isinstance(error, ProcessLost)
        if lost or leader:
            complain(error)
            trust = " --trust" if again is None and needs_trust(recipe) else ""
            sys.stderr.write(
                f"resume with: {again or f'metricgrad resume {shlex.quote(str(place))}{trust}'}\n"
            )
        raise typer.Exit(1 if lost else 130) from error
    except InputError:
        if new:
            with contextlib.suppress(OSError):  # the run has not begun: empty
                os.removedirs(place)  # and runs/ where nothing else is in it
        raise


def new_folder(task: str, metric: str) -> Path:
    """Make the first free runs/TASK-METRIC-NUMBER; another process that looks meanwhile takes the next one."""
    stem = re.sub(r"[^\w@.+-]+", "-", f"{task}-{metric}")
    numbers = [
        int(path.name.rpartition("-")[2])
        for path in Path("runs").glob(f"{_glob_safe(stem)}-[0-9]*")
        if path.name.rpartition("-")[2].isdigit()
    ]
    number = max(numbers, default=0)
    while True:
        number += 1
        path = Path("runs") / f"{stem}-{number:03d}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunFolderError(
                f"cannot make the run folder {path}: {error.strerror}. Name another one with --run FOLDER."
            ) from error
        return path


def _glob_safe(text: str) -> str:
    """Escape what a glob would take for a pattern."""
    return re.sub(r"([*?[])", r"[\1]", text)

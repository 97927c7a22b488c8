"""Arrays of a task that take a minute to make, kept in one file of the cache.

The file is written beside its place and renamed. It carries a key of everything that settles the values, and a
checksum: a file that is cut off or altered is reported and made again, never used.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from metricgrad._checks import fail
from metricgrad._records import Note, event_of
from metricgrad._types import Observer
from metricgrad.errors import InputError, RunFolderError
from metricgrad.tasks.folders import cache_folder, probe
from metricgrad.tune.checkpoint import write_atomically

__all__ = ["kept_splits"]

_FACTS = "kept"  # one entry only: safetensors writes several in no fixed order


def kept_splits(
    task: str,
    key: str,
    fields: type[Any],
    splits: Sequence[str],
    make: Callable[[], Mapping[str, Any]],
    *,
    cache: Path | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Read the arrays of every split, or make and keep them.

    Args:
        task: its name; the file is `TASK-KEY.safetensors`.
        key: hexadecimal digits of everything that settles the values.
        fields: the named tuple of arrays that a split is.
        splits: names of the splits.
        make: makes a `fields` for every split.
        cache: folder; None takes the one that `cache_folder` says.
        observer: called with a note about a damaged file.

    Raises:
        InputError: the folder cannot be written; said before anything is made.
    """
    path = cache_folder(cache) / f"{task}-{key}.safetensors"
    found = _read(path, key, fields, splits, observer)
    if found is None:
        try:
            probe(path.parent)
        except OSError as error:
            raise _no_room(task, path.parent, error.strerror or str(error)) from error
        found = dict(make())
        arrays = _flat(found)
        facts = json.dumps({"key": key, "sha256": _checksum(arrays)})
        try:
            write_atomically(path, save(arrays, metadata={_FACTS: facts}))
        except RunFolderError as error:
            raise _no_room(task, path.parent, str(error)) from error
    return found


def _read(
    path: Path, key: str, fields: type[Any], splits: Sequence[str], observer: Observer | None
) -> dict[str, Any] | None:
    """The arrays in a file, or None where there is no file or a damaged one (which the observer hears of)."""
    if not os.path.exists(path):  # unlike Path.exists, False in a folder that may not be looked into
        return None
    try:
        with safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {})[_FACTS])
            found = {
                name: fields(*(file.get_tensor(f"{name}.{field}") for field in fields._fields))
                for name in splits
            }
        if facts == {"key": key, "sha256": _checksum(_flat(found))}:
            return found
        wrong = "do not have their key and checksum"
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        wrong = f"cannot be read ({type(error).__name__}: {error})"
    if observer is not None:
        observer(event_of(Note(f"The kept pictures {path} {wrong}; they are drawn again.")))
    return None


def _flat(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays by `split.field`."""
    return {
        f"{name}.{field}": np.ascontiguousarray(array)
        for name, arrays in found.items()
        for field, array in arrays._asdict().items()
    }


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 of all names, types, shapes and values, in order."""
    total = hashlib.sha256()
    for name, array in arrays.items():
        total.update(f"{name} {array.dtype} {array.shape} ".encode())
        total.update(array.data)
    return total.hexdigest()


def _no_room(task: str, folder: Path, why: str) -> InputError:
    """What to say where a folder cannot take the arrays."""
    return fail(
        f"task {task}",
        f"the pictures cannot be kept in {folder} ({why})",
        "a folder that can be written, with room for some hundred MB",
        "Make room there, or set METRICGRAD_CACHE to another folder.",
    )

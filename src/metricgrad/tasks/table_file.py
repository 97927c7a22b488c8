"""A table of rows with their classes in one file: numbers, names, no code. `scripts/fetch-data` writes them.

The file is safetensors. It carries a checksum, so that a file that was cut off or altered is never used.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from metricgrad._checks import fail
from metricgrad.tasks.folders import data_folder
from metricgrad.tune.checkpoint import write_atomically

__all__ = ["Names", "Table", "read_table", "table_file", "write_table"]

_FACTS = "table"  # one entry only: safetensors writes several in no fixed order


@dataclass(frozen=True)
class Names:
    """What the numbers of a table mean.

    Attributes:
        classes: in the order of the targets.
        columns: of the features.
        levels: of each column the names of its values; None where the values are numbers.
        official: the rows of the official training part, which come first; None where there is no such part.
        source: where the table comes from, and its licence.
    """

    classes: tuple[str, ...]
    columns: tuple[str, ...]
    levels: tuple[tuple[str, ...] | None, ...]
    official: int | None
    source: str


@dataclass(frozen=True)
class Table:
    """Rows and their classes.

    Attributes:
        features: [row, column] numbers; in a column with levels their numbers from 0. NaN is a missing value.
        targets: [row] class ids from 0.
        names: what they mean.
    """

    features: Float32[np.ndarray, "row column"]
    targets: Int64[np.ndarray, "row"]
    names: Names

    @property
    def digest(self) -> str:
        """sha256 of all numbers and names but the source."""
        facts = {**asdict(self.names), "source": None}
        total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for array in (self.features, self.targets):
            total.update(f"{array.dtype.str} {array.shape} ".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()


def write_table(path: Path, table: Table) -> None:
    """Write a table, beside its place first and then renamed.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    facts = json.dumps({**asdict(table.names), "sha256": table.digest})
    arrays = {"features": np.ascontiguousarray(table.features), "targets": table.targets}
    write_atomically(path, save(arrays, metadata={_FACTS: facts}))


def read_table(path: Path, *, task: str) -> Table:
    """Read a table and check that it is whole.

    Args:
        path: of the file.
        task: its name, for the message.

    Raises:
        InputError: no such file, another kind of file, or not the numbers that were written.
    """
    try:
        with safe_open(path, framework="np") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})[_FACTS])
            found = file.get_tensor("features"), file.get_tensor("targets")
        digest = facts.pop("sha256")
        classes, columns, levels = (facts.pop(name) for name in ("classes", "columns", "levels"))
        known = tuple(None if one is None else tuple(one) for one in levels)
        table = Table(*found, Names(tuple(classes), tuple(columns), known, **facts))
        wrong = "" if table.digest == digest else "does not have its checksum"
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        table, wrong = None, f"cannot be read ({type(error).__name__}: {error})"
    if table is None or wrong:
        raise fail(
            f"task {task}",
            f"{path} {wrong}",
            "a whole table",
            "Delete it and fetch it again: scripts/fetch-data",
        )
    return table


def table_file(task: str, name: str, folder: Path | None = None) -> Path:
    """Return the file of a table in the first folder that has it.

    Args:
        task: for the message.
        name: of the table.
        folder: where the user says that it is; else `$METRICGRAD_DATA/tables` and `tables` in the user's cache
            folder.

    Raises:
        InputError: it is in none; the message names the command that fetches it.
    """
    file = f"{name}.safetensors"
    found = data_folder(
        task,
        "tables",
        [file],
        given=folder,
        what="its rows",
        remedy="Get them with scripts/fetch-data (no root needed)",
    )
    return found / file

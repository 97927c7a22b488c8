"""Vectors of items [item, dim] from the files that people have: .npy, .safetensors, .parquet, .csv.

A .npy file is mapped, and no form is ever held whole in float64: checks and whoever measures go over it in blocks.
What was recognised is said. Rows are counted from 0.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from metricgrad._checks import describe
from metricgrad.cli.arrays import map_array, require_file
from metricgrad.cli.row_names import ids_beside, names_of, read_names, require_different
from metricgrad.cli.vector_tables import FromTable, csv_vectors, parquet_vectors
from metricgrad.errors import InputError

__all__ = ["Vectors", "read_vectors"]

_BLOCK = 2**22
"""Numbers that are checked at a time."""

_SHOWN = 5
"""Rows that a message names."""


@dataclass(frozen=True)
class Vectors:
    """Vectors of items, and what the items are called.

    Attributes:
        path: of the file.
        array: [item, dim], float16, float32 or float64; a memory map of a .npy file.
        ids: of the rows, different from each other, in normal form (`row_names`); None where no file says them.
        names: what was recognised, in words: the form of the vectors, then where the ids are from.
    """

    path: Path
    array: np.ndarray
    ids: list[str] | None
    names: tuple[str, ...]

    @cached_property
    def row_ids(self) -> list[str]:
        """The ids; the numbers of the rows from 0 where there are none."""
        return [str(row) for row in range(len(self.array))] if self.ids is None else self.ids


def read_vectors(
    path: Path, ids: str | None = None, column: str | None = None, *, identified: bool = True
) -> Vectors:
    """Read vectors and the ids of their rows.

    Args:
        path: a .parquet (.pq), .csv (.tsv) or .safetensors file; anything else is .npy.
        ids: the column of a table that holds the ids, or a file of them (`row_names.read_names`). None: the column with
            a usual name (`id`, `_id`, ...), or of .npy and .safetensors the file beside them (`row_names.ids_beside`).
        column: the column of a table with lists of numbers, the pattern of its columns (`dim_*`), or the name of a
            tensor. None: the only one that fits.
        identified: whether ids are wanted; False looks for none.

    Returns:
        The vectors. Whole numbers of up to 16 bits (quantised vectors) and bfloat16 become float32.

    Raises:
        InputError: no such file, another form; not two dimensions, or empty; texts, objects, whole numbers of more
            than 16 bits; NaN or infinite numbers (with their rows); ids that are not one per row, empty or not
            different.
        MissingExtraError: a Parquet file without pyarrow.

    Warns:
        UserWarning: rows of zeros, with their numbers: they are as near to everything.

    Cost: one pass over the numbers, in blocks. CSV is read as text: slow, and as float64.
    """
    kind = path.suffix.lower()
    found = FromTable(np.empty(0), None, "", None)
    own = ids if ids is not None and not (kind in _PLAIN or Path(ids).is_file()) else None
    if kind in (".parquet", ".pq"):
        found = parquet_vectors(path, own, column)
    elif kind in (".csv", ".tsv"):
        found = csv_vectors(path, own, column)
    elif kind == ".safetensors":
        found = _of_tensors(path, column)
    else:
        array = map_array(path)
        found = FromTable(array, None, f"{array.dtype} .npy", None)
    array = _checked(path, found.array)
    form = f"{len(array):,} x {array.shape[1]:,}, {found.form}"
    if not identified:
        return Vectors(path, array, None, (form,))
    names, where = _ids(path, ids if own is None else None, found)
    if names is not None and len(names) != len(array):
        raise InputError(
            f"{where} holds {len(names):,} ids, but {path} {len(array):,} vectors; expected one id per vector, in the "
            "same order. Check that both come from the same export."
        )
    return Vectors(path, array, names, (form, f"ids: {where}"))


_PLAIN = (".npy", ".safetensors")


def _ids(path: Path, file: str | None, found: FromTable) -> tuple[list[str] | None, str]:
    """The ids, from a file that is named, the table itself, or a file beside the vectors; and where they are from."""
    beside = Path(file) if file is not None else None
    if beside is None and found.ids is None and path.suffix.lower() in (*_PLAIN, ""):
        beside = ids_beside(path)
    if beside is not None:
        names, where = read_names(beside), str(beside)
    elif found.ids is not None:
        where = f"column {found.id_column or '(without a name)'} of {path}"
        names = names_of(where, "id", found.ids)
    else:
        return None, f"none with {path}, so the rows are called 0, 1, 2, ..."
    require_different(where, names)
    return names, where


def _of_tensors(path: Path, name: str | None) -> FromTable:
    """One tensor of a .safetensors file."""
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if name is None and len(names) != 1:
                raise InputError(
                    f"{path} holds the tensors {describe(', '.join(names))}; say --vector-column with the name of one."
                )
            if name is not None and name not in names:
                raise InputError(
                    f"{path} holds the tensors {describe(', '.join(names))}; expected {describe(name)} among them."
                )
            tensor: Any = file.get_tensor(name or names[0])
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read as .safetensors: {error}") from error
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    form = f"{str(tensor.dtype).removeprefix('torch.')} tensor {name or names[0]}"
    return FromTable(tensor.numpy(), None, form, None)


def _checked(path: Path, array: np.ndarray) -> np.ndarray:
    """The array in a form that torch takes; InputError where it holds no vectors."""
    if array.ndim != 2 or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise InputError(f"{path} holds {describe(array)}; expected numbers (item, dim), one row per item.")
    if array.dtype.kind in "iu":
        if array.dtype.itemsize > 2:
            raise InputError(
                f"{path} holds {describe(array)}; expected float16, float32 or float64 (or int8 and int16, quantised). "
                "Whole numbers of this size are ids or labels; if they are vectors, save array.astype(np.float32)."
            )
        array = array.astype(np.float32)
    elif array.dtype.itemsize > 8 or not array.dtype.isnative:
        array = array.astype(np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("="))
    broken, zero = [], []
    for first, block in _blocks(array):
        finite = np.isfinite(block).all(1)
        broken += (first + (~finite).nonzero()[0]).tolist()
        zero += (first + (~(block != 0).any(1)).nonzero()[0]).tolist()
    if broken:
        raise InputError(
            f"{path} has NaN or infinite values in {len(broken):,} of {len(array):,} rows ({_named(broken)}); expected "
            "finite numbers. Find out where they come from (a diverged model, a broken export)."
        )
    if zero:
        warnings.warn(
            f"{path}: {len(zero):,} of {len(array):,} rows are all zeros ({_named(zero)}); their similarity to "
            "everything is 0.",
            stacklevel=2,
        )
    return array


def _named(rows: list[int]) -> str:
    """Numbers of rows, the first few of them."""
    shown = ", ".join(map(str, rows[:_SHOWN]))
    return f"row{'s' * (len(rows) > 1)} {shown}{', ...' * (len(rows) > _SHOWN)}"


def _blocks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of rows, each with the number of its first."""
    step = max(1, _BLOCK // array.shape[1])
    for first in range(0, len(array), step):
        yield first, array[first : first + step]

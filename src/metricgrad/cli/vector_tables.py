"""Vectors from tables: a Parquet file, batch by batch into one array, and a CSV file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metricgrad._checks import describe
from metricgrad.cli.cells import is_number, numbers
from metricgrad.cli.parquet import parquet_of, values_of
from metricgrad.cli.row_names import USUAL, name_column
from metricgrad.cli.tables import read_rows
from metricgrad.cli.vector_columns import coordinate_columns
from metricgrad.errors import InputError

__all__ = ["FromTable", "csv_vectors", "parquet_vectors"]

_BATCH = 8192
"""Rows of a Parquet file that are held beside the array."""


class FromTable(NamedTuple):
    """What a table holds: the vectors, its column of ids, and the columns that were taken, in words."""

    array: np.ndarray
    ids: list[Any] | None
    form: str
    id_column: str | None


def parquet_vectors(path: Path, ids: str | None, column: str | None) -> FromTable:
    """Read a column of lists or fixed-size lists, or one column per dimension, from a Parquet file.

    Args:
        path: of the file.
        ids: the column of ids; None for the one with a usual name, if there is one.
        column: the column of lists, or a pattern of columns; None for the only one.
    """
    with parquet_of(path) as (arrow, parquet, at):
        file = parquet.ParquetFile(path)
        names = list(file.schema_arrow.names)
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"{path} has the column {describe(twice[0])} twice; expected different names.")
        ids = _id_column(path, names, ids)
        kinds = {field.name: getattr(field.type, "storage_type", field.type) for field in file.schema_arrow}
        lists = [name for name in names if name in _of_lists(arrow, kinds)]
        if column in lists or (column is None and len(lists) == 1):
            taken = [column or lists[0]]
            form = f"column {taken[0]} of lists"
        elif column is None and lists:
            raise InputError(
                f"{path} has several columns of lists, {describe(', '.join(lists))}; say --vector-column {lists[0]}."
            )
        else:
            floats = [name for name in names if name != ids and arrow.types.is_floating(kinds[name])]
            others = [name for name in names if name != ids and name not in floats]
            taken = coordinate_columns(path, floats, others, column)
            form = _span(taken)
        batches = file.iter_batches(
            batch_size=_BATCH, columns=list(dict.fromkeys([*taken, *([ids] if ids else [])]))
        )
        array, cells = None, []
        for first, batch in _counted(batches):
            at.append(f"{form} of {path}")
            block = (
                _lists(path, first, batch.column(taken[0]))
                if len(taken) == 1 and taken[0] in lists
                else (np.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in taken]))
            )
            if array is None:
                array = np.empty((file.metadata.num_rows, block.shape[1]), block.dtype)
            if block.shape[1] != array.shape[1]:
                raise _other_length(path, first, block.shape[1], array.shape[1])
            array[first : first + len(block)] = block
            if ids:
                at.append(f"column {ids} of {path}")
                cells += values_of(arrow, batch.column(ids))
    if array is None:
        raise InputError(f"{path} has no row; expected one vector per row.")
    return FromTable(array, cells if ids else None, form, ids)


def _id_column(path: Path, names: list[str], said: str | None) -> str | None:
    """The column of ids: as it was said, else by its usual name, if there is one."""
    if said is None:
        return name_column(path, names, "id")
    if said not in names:
        raise InputError(
            f"the ids of {path} are said to be {describe(said)}, but no file is called so, and its columns are "
            f"{describe(', '.join(names))}; expected one of them, or a file of ids."
        )
    return said


def _counted(batches: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    """The batches that hold rows, each with the number of rows before it."""
    first = 0
    for batch in batches:
        if len(batch):
            yield first, batch
        first += len(batch)


def _of_lists(arrow: Any, kinds: dict[str, Any]) -> list[str]:
    """Columns of lists of numbers."""
    shapes = (arrow.types.is_list, arrow.types.is_large_list, arrow.types.is_fixed_size_list)
    of_numbers = (arrow.types.is_floating, arrow.types.is_integer)
    return [
        name
        for name, kind in kinds.items()
        if any(one(kind) for one in shapes) and any(one(kind.value_type) for one in of_numbers)
    ]


def _lists(path: Path, first: int, column: Any) -> np.ndarray:
    """A batch of lists as an array; InputError for a row without one and for lists of different lengths."""
    column = getattr(column, "storage", column)
    column.validate(full=True)
    if column.null_count:
        row = first + column.is_null().to_pylist().index(True)
        raise InputError(f"{path} has no vector in row {row} (counted from 0); expected one per row.")
    fixed = getattr(column.type, "list_size", None)
    lengths = np.full(len(column), fixed) if fixed is not None else column.value_lengths().to_numpy()
    if (other := (lengths != lengths[0]).nonzero()[0]).size:
        raise _other_length(path, first + int(other[0]), int(lengths[other[0]]), int(lengths[0]))
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), int(lengths[0]))


def _other_length(path: Path, row: int, came: int, expected: int) -> InputError:
    return InputError(
        f"{path} has {came} numbers in row {row} (counted from 0) and {expected} before it; expected vectors of one "
        "length."
    )


def csv_vectors(path: Path, ids: str | None, column: str | None) -> FromTable:
    """Read one column per dimension from a CSV file, with or without a line of names.

    Without one, all columns are dimensions, but for a first one that is no number: it holds the ids.
    """
    rows = read_rows(path)
    if rows.other is not None:
        rows = read_rows(path, rows.other)
    first = [cell.strip() for cell in rows.cells[0]]
    header = _names_columns(first)
    names = first if header else [f"column {place}" for place in range(len(first))]
    body = rows.cells[1:] if header else rows.cells
    if not body:
        raise InputError(f"{path} has no row; expected one vector per line below the header.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(
            f"{path} has the column {describe(twice[0])} twice; expected different names in the header."
        )
    if header or ids is not None:
        ids = _id_column(path, names, ids)
    elif not _is_value(first[0]):
        ids = names[0]
    numeric = [name for name, cell in zip(names, body[0], strict=True) if name != ids and _is_value(cell)]
    others = [name for name in names if name != ids and name not in numeric]
    taken = coordinate_columns(path, numeric, others, column)
    places = [names.index(name) for name in taken]
    columns = [
        numbers(path, name, [row[place] for row in body]) for name, place in zip(taken, places, strict=True)
    ]
    array = np.column_stack([one.numpy().astype(np.float64) for one in columns])
    cells = None if ids is None else [row[names.index(ids)] for row in body]
    return FromTable(array, cells, f"{_span(taken)}{'' if header else ', no header'}", ids)


def _is_value(cell: str) -> bool:
    return is_number(cell.strip()) or cell.strip().lower() in ("nan", "inf", "-inf", "infinity", "-infinity")


def _names_columns(first: list[str]) -> bool:
    """Whether the first line names the columns: words, or 0, 1, 2, ... as pandas writes them."""
    rest = first[1:] if not first[0] or first[0].lower() in USUAL["id"] else first
    if len(rest) > 1 and rest in ([str(place + start) for place in range(len(rest))] for start in (0, 1)):
        return True
    words = [place for place, cell in enumerate(first) if not _is_value(cell)]
    return bool(words) and (words != [0] or first[0].lower() in USUAL["id"])


def _span(taken: list[str]) -> str:
    return f"column {taken[0]}" if len(taken) == 1 else f"{len(taken)} columns {taken[0]} ... {taken[-1]}"

"""A Parquet file: its columns as Python values, and one sentence for whatever pyarrow makes of a damaged one."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metricgrad._checks import extra
from metricgrad.cli.arrays import require_file
from metricgrad.errors import InputError

__all__ = ["parquet_columns", "parquet_of", "values_of"]


def parquet_columns(
    path: Path, wanted: Callable[[list[str]], Collection[str]]
) -> tuple[list[str], dict[str, list[Any]]]:
    """The names of all columns, and the cells of those that are wanted."""
    found = {}
    with parquet_of(path) as (arrow, parquet, at):
        table = parquet.read_table(path)
        kept = wanted(table.column_names)
        for place, name in enumerate(table.column_names):
            if name in kept:
                at.append(f"column {name} of {path}")
                found[name] = values_of(arrow, table.column(place))
        return table.column_names, found


@contextmanager
def parquet_of(path: Path) -> Iterator[tuple[Any, Any, list[str]]]:
    """Yield pyarrow, pyarrow.parquet and a list of what is being read, for a block that reads a Parquet file.

    Raises:
        InputError: whatever pyarrow makes of a damaged file, by the last entry of the list.
        MissingExtraError: without pyarrow.
    """
    require_file(path)
    arrow = extra("pyarrow", "parquet", f"reading {path}")
    at = [str(path)]
    try:
        yield arrow, extra("pyarrow.parquet", "parquet", f"reading {path}"), at
    except InputError:
        raise  # of the block: nothing is wrong with the file
    except (OSError, ValueError, ArithmeticError, MemoryError, TypeError, arrow.ArrowException) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{at[-1]} cannot be read as Parquet: {why[:300]}") from error


def values_of(arrow: Any, column: Any) -> list[Any]:
    """Cells as Python values: numbers as such, anything else (dates, times, bytes) as the text that prints it."""
    column.validate(full=True)  # texts that are no UTF-8, damaged offsets: before any value is looked at
    kind = column.type
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    numbers = (
        arrow.types.is_integer,
        arrow.types.is_floating,
        arrow.types.is_boolean,
        arrow.types.is_decimal,
    )
    return (column if any(one(kind) for one in numbers) else column.cast(arrow.string())).to_pylist()

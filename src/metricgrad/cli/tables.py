"""Tables as they stand: the cells of a CSV or Parquet file. Nothing is evaluated or guessed.

What the cells mean (a label, a class, a number, a text) is said in `cells.py`; here it is only found where they are.
"""

import csv
import io
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricgrad._checks import describe
from metricgrad.cli.arrays import require_file
from metricgrad.cli.parquet import parquet_columns
from metricgrad.errors import InputError

__all__ = ["DELIMITERS", "Rows", "Table", "read_rows", "read_table", "read_text"]

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

_SNIFFED = 50
"""Lines that must all split in one way before another delimiter than a comma is believed."""


@dataclass(frozen=True)
class Rows:
    """The lines of a CSV file.

    Attributes:
        cells: of each line, all of one length.
        delimiter: its name.
        other: the delimiter that seems to part lines that are one cell each.
    """

    cells: list[list[str]]
    delimiter: str
    other: str | None


@dataclass(frozen=True)
class Table:
    """Named columns of one length.

    Attributes:
        path: of the file.
        names: of all columns.
        columns: cells by name: texts of a CSV file as they stand there; of Parquet numbers, bools, texts, None.
        delimiter: its name, for CSV.
    """

    path: Path
    names: list[str]
    columns: dict[str, list[Any]]
    delimiter: str | None


def read_rows(path: Path, delimiter: str | None = None) -> Rows:
    """Read the lines of a CSV file as cells, empty lines at its end left out.

    Args:
        path: of the file: UTF-8, cells in double quotes where they hold a delimiter or a line end.
        delimiter: its name; None for a tab in a file that is called .tsv, else for a comma.

    Raises:
        InputError: no such file, no text, nothing in it, quotes that do not end, lines of different lengths.
    """
    name = delimiter or ("tab" if path.suffix.lower() == ".tsv" else "comma")
    _require_delimiter(name)
    text = read_text(path)
    rows = _rows(path, text, name)
    other = _other_delimiter(text, name) if delimiter is None and len(rows[0]) == 1 else None
    return Rows(rows, name, other)


def _require_delimiter(name: str) -> None:
    if name not in DELIMITERS:
        raise InputError(f"--delimiter is {name!r}; expected one of {', '.join(DELIMITERS)}.")


def _other_delimiter(text: str, delimiter: str) -> str | None:
    """Name another delimiter that splits all of the first lines into the same number of cells."""
    first = itertools.islice(io.StringIO(text), _SNIFFED)
    lines = [line for line in first if line.strip()]
    for name in DELIMITERS:
        counts = {len(_cells(line, name)) for line in lines}
        if name != delimiter and len(counts) == 1 and counts.pop() > 1:
            return name
    return None


def read_table(
    path: Path,
    usual: Collection[str],
    wanted: Callable[[list[str]], Collection[str]],
    delimiter: str | None = None,
) -> Table:
    """Read a table whose first line names its columns, from CSV or Parquet.

    Args:
        path: .parquet or .pq is Parquet, anything else CSV.
        usual: names of columns, in small letters: the delimiter is the one that makes one a cell of the first line.
        wanted: which of all its columns are read; the others may hold anything.
        delimiter: its name, where it is told.

    Raises:
        InputError: no such file, not a table, two columns of one name.
        MissingExtraError: a Parquet file without pyarrow.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        return _of_columns(path, *parquet_columns(path, wanted), None)
    text = read_text(path)
    first = next(iter(text.splitlines()), "")
    if delimiter is None:
        fits = [
            name for name in DELIMITERS if any(cell.strip().lower() in usual for cell in _cells(first, name))
        ]
        delimiter = fits[0] if fits else "comma"
    _require_delimiter(delimiter)
    header, *rows = _rows(path, text, delimiter)
    names = [name.strip() for name in header]
    kept = wanted(names)
    cells = {name: [row[place] for row in rows] for place, name in enumerate(names) if name in kept}
    return _of_columns(path, names, cells, delimiter)


def _of_columns(path: Path, names: list[str], cells: dict[str, list[Any]], delimiter: str | None) -> Table:
    if twice := [name for name in cells if names.count(name) > 1]:
        raise InputError(
            f"{path} has the column {describe(twice[0])} twice; expected different names in the header."
        )
    return Table(path, names, cells, delimiter)


def read_text(path: Path) -> str:
    """The text of a file or a pipe."""
    require_file(path)
    try:
        stored = path.read_bytes()
        content = stored.decode("utf-16" if stored[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as CSV: {error}; expected UTF-8 text. Save a spreadsheet as CSV UTF-8, and unpack "
            "an archive or a compressed file."
        ) from error
    if not content:
        raise InputError(f"{path} is empty.")
    return content


def _rows(path: Path, text: str, delimiter: str) -> list[list[str]]:
    """The cells of a text, line by line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[delimiter], strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(
            f"{path} cannot be read as CSV: line {reader.line_num}: {error}; expected cells parted by a {delimiter}, "
            "in double quotes where they hold one."
        ) from error
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    if not rows:
        raise InputError(f"{path} has no line with content.")
    for line, row in zip(lines, rows, strict=False):
        if len(row) != len(rows[0]):
            raise InputError(
                f"{path} line {line} has {len(row)} cells; expected {len(rows[0])} as in the first line "
                f"(the delimiter is a {delimiter})."
            )
    return rows


def _cells(line: str, delimiter: str) -> list[str]:
    """One line as cells; whole where csv cannot part it."""
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=DELIMITERS[delimiter]), [])
    except csv.Error:
        return [line]

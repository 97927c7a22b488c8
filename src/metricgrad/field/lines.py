"""Lines of a list as data sets distribute them: columns between blanks, perhaps under a header or a count."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from metricgrad._checks import describe, fail
from metricgrad._documents import Unreadable, content_of

__all__ = ["Row", "lines_of", "rows_of"]

MOST_BYTES = 2**31
"""Of a list: nine million lines of a text recognition set have half of it."""


class Row(NamedTuple):
    """A line of a list.

    Attributes:
        line: its number in the file, from 1.
        cells: one per column.
    """

    line: int
    cells: tuple[str, ...]


def lines_of(path: Path) -> list[tuple[int, str]]:
    """Return number and text of the lines that are not blank, without the marks of a Windows editor.

    Raises:
        InputError: no such file, not UTF-8, or no line that is not blank.
    """
    try:
        text = content_of(path, most=MOST_BYTES, linked=True).decode("utf-8-sig")
    except Unreadable as error:
        raise fail(
            "list", f"{path} cannot be read ({error.reason})", "the list file of the data set"
        ) from error
    except UnicodeDecodeError as error:
        raise fail("list", f"{path} is no UTF-8 text (byte {error.start})", "a list of lines") from error
    parted = re.split(r"\r\n|\n|\r", text)
    found = [(number, line.rstrip()) for number, line in enumerate(parted, start=1) if line.strip()]
    if not found:
        raise fail("list", f"{path} is empty", "one line per picture")
    return found


def rows_of(
    path: Path, columns: Sequence[str], *, header: bool = False, counted: bool = False, wide: int = -1
) -> tuple[list[Row], int | None]:
    r"""Read a list whose columns stand between blanks or tabs.

    Args:
        path: of the list.
        columns: their names.
        header: whether a line with these names stands over the rows.
        counted: whether a line with the number of rows stands over that.
        wide: place of the column that may hold blanks itself (a path).

    Returns:
        The rows, and the number that the count line says; None without one. Whether it is right is the caller's to say.

    Raises:
        InputError: as `lines_of`; no count line, no header, a line with too few columns, or no row.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "images.txt"
        >>> _ = place.write_text("1 001.Gull/a gull.jpg\r\n", encoding="utf-8")
        >>> rows_of(place, ("image_id", "path"))[0]
        [Row(line=1, cells=('1', '001.Gull/a gull.jpg'))]
    """
    lines, said = lines_of(path), None
    if counted:
        number, text = lines.pop(0)
        if not re.fullmatch(r"\s*\d{1,12}", text):
            raise fail(f"{path} line {number}", f"it is {describe(text)}", "the number of pictures alone")
        said = int(text)
    if header:
        number, text = lines.pop(0) if lines else (0, "")
        if text.split() != list(columns):
            raise fail(
                f"{path} line {number}", f"it is {describe(text)}", f"the header '{' '.join(columns)}'"
            )
    if not lines:
        raise fail("list", f"{path} names no picture", "one line per picture")
    place = wide % len(columns)
    return [Row(number, _cells(path, number, text, columns, place)) for number, text in lines], said


def _cells(path: Path, number: int, text: str, columns: Sequence[str], wide: int) -> tuple[str, ...]:
    after = len(columns) - wide - 1
    cells = text.split(maxsplit=wide)
    if len(cells) == wide + 1:
        cells[wide:] = cells[wide].rsplit(maxsplit=after) if after else [cells[wide].strip()]
    if len(cells) != len(columns):
        raise fail(f"{path} line {number}", f"it is {describe(text)}", f"the columns '{' '.join(columns)}'")
    return tuple(cells)

"""What the rows of a file of vectors are called: ids or texts from a file beside it, one per row, in its order.

An id is a text. It never passes through a float, `007` is another id than `7`, spaces around it are dropped, and it is
compared in Unicode's normal form C.
"""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from metricgrad._checks import describe
from metricgrad.cli.arrays import read_array
from metricgrad.cli.tables import read_rows, read_table, read_text
from metricgrad.errors import InputError

__all__ = [
    "USUAL",
    "Role",
    "ids_beside",
    "name_column",
    "names_of",
    "normal",
    "read_names",
    "require_different",
]

Role = Literal["id", "text"]

USUAL: dict[Role, tuple[str, ...]] = {
    "id": (
        "id", "_id", "ids", "doc_id", "docid", "doc-id", "document_id", "corpus-id", "corpus_id", "query-id",
        "query_id", "qid", "item_id", "",
    ),
    "text": ("text", "texts", "content", "sentence", "passage", "document", "query", "question"),
}  # fmt: skip
"""What people call the column; the empty one is the index that pandas writes."""


def normal(text: str) -> str:
    """An id or a text in the form in which it is compared.

    Example:
        >>> normal(" 007 "), normal("e" + chr(0x301)) == chr(0xE9)
        ('007', True)
    """
    return unicodedata.normalize("NFC", text.strip())


def ids_beside(path: Path) -> Path | None:
    """The file of ids beside a file of vectors: `x.ids.txt`, `x.ids.csv`, `x.txt` or `x.csv` for `x.npy`.

    Raises:
        InputError: there are several.
    """
    found = [
        one for end in (".ids.txt", ".ids.csv", ".txt", ".csv") if (one := path.with_suffix(end)).is_file()
    ]
    if len(found) > 1:
        names = " and ".join(one.name for one in found)
        raise InputError(f"beside {path} are {names}, each of which may hold its ids; say which one.")
    return found[0] if found else None


def read_names(path: Path, role: Role = "id") -> list[str]:
    """Read one id or text per row: lines of a .txt, a column of .csv, .tsv, .parquet, .jsonl, or a 1-D .npy.

    Args:
        path: of the file.
        role: which of the columns: that with the usual name of an id, or of a text (`USUAL`).

    Returns:
        Texts in normal form.

    Raises:
        InputError: no such file, no such column, an empty cell (with its row), ids that are floats.
    """
    kind = path.suffix.lower()
    if kind in (".parquet", ".pq"):
        table = read_table(path, (), lambda names: [_one_column(path, names, role)])
        cells: Sequence[Any] = next(iter(table.columns.values()))
    elif kind == ".npy":
        array = read_array(path)
        if array.ndim != 1 or array.dtype.kind not in "USiu":
            raise InputError(
                f"{path} holds {describe(array)}; expected one {role} per row, texts or whole numbers."
            )
        cells = [one.decode() if isinstance(one, bytes) else one for one in array.tolist()]
    elif kind == ".jsonl":
        cells = _of_json_lines(path, role)
    elif kind in (".csv", ".tsv"):
        cells = _of_csv(path, role)
    else:
        cells = read_text(path).rstrip("\r\n").split("\n")
    return names_of(str(path), role, cells)


def names_of(where: str, role: Role, cells: Sequence[Any]) -> list[str]:
    """Cells as ids or texts in normal form; InputError for one that is empty or a float, with its row from 0."""
    for row, cell in enumerate(cells):
        if isinstance(cell, float):
            raise InputError(
                f"{where}: the {role}s are floats ({cell!r} in row {row}); expected texts or whole numbers. A table "
                "with missing ids turns them into floats: save them as texts."
            )
        if cell is None or not str(cell).strip():
            raise InputError(
                f"{where}: the {role} of row {row} (counted from 0) is empty; expected one per row."
            )
    return [normal(str(cell)) for cell in cells]


def require_different(where: str, ids: Sequence[str]) -> None:
    """Refuse ids that stand in two rows."""
    first: dict[str, int] = {}
    twice = [(one, first[one], row) for row, one in enumerate(ids) if first.setdefault(one, row) != row]
    if twice:
        one, row, again = twice[0]
        more = f", and so do {len(twice) - 1:,} others" if len(twice) > 1 else ""
        raise InputError(
            f"{where}: the id {describe(one)} stands in rows {row} and {again} (counted from 0){more}; expected a "
            "different id for every row."
        )


def name_column(path: Path, names: Sequence[str], role: Role) -> str | None:
    """The column of the ids or texts by its usual name, None where there is none.

    Raises:
        InputError: several may be meant.
    """
    found = [name for name in names if name.strip().lower() in USUAL[role]]
    exact = [name for name in found if name.strip().lower() in USUAL[role][:2]]
    found = exact if len(exact) == 1 else found
    if len(found) > 1:
        raise InputError(
            f"{path} has the columns {describe(', '.join(found))}, each of which may be the {role}; say which one."
        )
    return found[0] if found else None


def _one_column(path: Path, names: Sequence[str], role: Role) -> str:
    found = names[0] if len(names) == 1 else name_column(path, names, role)
    if found is None:
        raise InputError(
            f"{path} has the columns {describe(', '.join(names))}; expected one of them to be called {role}."
        )
    return found


def _of_csv(path: Path, role: Role) -> list[str]:
    """A column by its name, or the only one, whose first line may name it."""
    rows = read_rows(path)
    if rows.other is not None:
        rows = read_rows(path, rows.other)
    first = [cell.strip() for cell in rows.cells[0]]
    if len(first) > 1:
        place = first.index(_one_column(path, first, role))
        return [row[place] for row in rows.cells[1:]]
    cells = [row[0] for row in rows.cells]
    return cells[1:] if first[0].lower() in USUAL[role] else cells


def _of_json_lines(path: Path, role: Role) -> list[Any]:
    """The field of every line."""
    lines = _json_lines(path)
    names = list(dict.fromkeys(name for _, line in lines for name in line))
    name = _one_column(path, names, role)
    return [line.get(name) for _, line in lines]


def _json_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a file of one JSON object per line, each with the number of its line, from 1."""
    found = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path} line {number} is no JSON: {error}; expected one object per line."
            ) from error
        if not isinstance(value, dict):
            raise InputError(f"{path} line {number} is {describe(value)}; expected a JSON object per line.")
        found.append((number, value))
    return found

"""Read what a user measures: labels, tables of predictions. Nothing is unpickled or evaluated."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad._checks import describe
from metricgrad._labels import number_labels
from metricgrad.cli.arrays import read_array
from metricgrad.cli.cells import class_texts, is_number, label_array, require_one_spelling
from metricgrad.cli.class_columns import called_as_classes, scores_of_classes
from metricgrad.cli.naming import NAMES, Said, named
from metricgrad.cli.tables import Table, read_rows, read_table
from metricgrad.errors import InputError

__all__ = ["of_one_kind", "read_labels", "read_predictions"]

_NOTHING = Said()
_NONE: Mapping[str, str] = {}

_HEADERS = {*NAMES["label"], *NAMES["target"], "id", "identity", "name"}
"""Names of a single column: as the first line and nowhere below, such a word is a header and no label."""


def read_labels(path: Path, items: int, said: Said = _NOTHING) -> np.ndarray:
    """Read one label per item from a .npy, CSV or Parquet file.

    A CSV file has one column, or a header that names the one of the labels (`naming.NAMES`, or what the user said).
    The first line of a single column is a header where it is such a name, and no label below it, or where it begins
    with a letter and all below are numbers. A word that occurs nowhere below, where all others occur several times, is
    asked for: it may be either. How many lines there are says nothing.

    Args:
        path: of the file.
        items: how many labels there must be.
        said: what the user said of the file.

    Returns:
        Whole numbers (int64 or uint64) or texts, in Unicode's normal form C.

    Raises:
        InputError: no such file, another form, a missing label (with its row), another number of labels than items,
            lines that look as if they had another delimiter.
    """
    header = ""
    if path.suffix.lower() == ".npy":
        labels = _of_array(path)
    elif path.suffix.lower() in (".parquet", ".pq"):
        table = read_table(path, NAMES["label"], lambda names: [_label_column(path, names, said)])
        labels = label_array(path, *table.columns.values())
    else:
        cells, header = _csv_labels(path, said)
        labels = label_array(path, cells)
    if len(labels) != items:
        plain = path.suffix.lower() not in (".npy", ".parquet", ".pq") and not header
        advice = "Check that both come from the same export."
        if plain and said.header is None and len(labels) == items + 1:
            advice += " If the first line is no label but a name, say --header."
        first = f" below the header {header!r}" if header else ""
        raise InputError(
            f"{path} holds {len(labels)} labels{first}, but there are {items} embeddings; expected one label per "
            f"embedding, in the same order. {advice}"
        )
    return labels


def of_one_kind(
    path: Path, labels: np.ndarray, other: Path, more: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of two files as numbers, or as texts where one of them holds texts.

    Raises:
        InputError: labels of one file look like those of the other, but are spelt otherwise.
    """
    if labels.dtype.kind != "U" and more.dtype.kind != "U":
        return labels, more
    labels, more = labels.astype(str), more.astype(str)
    require_one_spelling(str(path), set(labels.tolist()), str(other), set(more.tolist()))
    return labels, more


def read_predictions(
    path: Path,
    said: Said = _NOTHING,
    kept: Mapping[str, str] = _NONE,
    maybe: Mapping[str, str] = _NONE,
    *,
    target: bool = True,
    classes: Collection[str] | None = None,
) -> Table:
    """Read a table of predictions with the columns `target` and `prediction`, `score` or `score_<class>`.

    Args:
        path: of the file.
        said: what the user said of it; columns of other usual names (`naming.NAMES`) are taken with a note.
        kept: further columns that must be there, by the option that names them; they are read as they stand, under
            the name of the option.
        maybe: the same for columns that need not be there; a name in small letters fits any case.
        target: whether it must be there.
        classes: what is known of them: a table without other scores may have columns that are called as they are.

    Raises:
        InputError: no such file, not a table, no `target`, none of the others, no row.
        MissingExtraError: a Parquet file without pyarrow.
    """
    roles: dict[str, str] = {}

    def wanted(names: list[str]) -> list[str]:
        for option, name in kept.items():
            if name not in names:
                raise InputError(
                    f"{path} has the columns {describe(', '.join(names))}; expected {describe(name)}, the column of "
                    f"{option}, among them."
                )
        further = dict(kept)
        for option, name in maybe.items():
            found = [name] * (name in names) or [one for one in names if one.lower() == name]
            further |= {option: found[0]} if found else {}
        free = [name for name in names if name not in further.values()]
        for role in ("target", "prediction", "score"):
            if (column := named(path, role, free, said)) is not None:
                roles[column] = role
        rest = [name for name in free if name not in roles]
        roles.update(scores_of_classes(path, rest, said))
        more = [] if set(roles.values()) - {"target"} else rest  # they may be called as the classes are
        roles.update({name: option for option, name in further.items()})
        return [*roles, *more]

    own = (*said.columns.values(), *kept.values(), *maybe.values())
    usual = {*NAMES["target"], *(name.lower() for name in own)}
    table = read_table(path, usual, wanted, said.delimiter)
    shown = describe(", ".join(table.names))
    if target and "target" not in roles.values():
        raise InputError(
            f"{path} has the columns {shown}; expected one named target. Say --column target=NAME."
        )
    columns = {roles.get(name, name): cells for name, cells in table.columns.items()}
    if not set(roles.values()) - {"target", *kept, *maybe}:
        columns = called_as_classes(path, columns, classes)
    if not set(columns) - {"target", *kept, *maybe}:
        raise InputError(
            f"{path} has the columns {shown}; expected prediction, score or score_<class> beside target. Say --column "
            "prediction=NAME, --column score=NAME of the positive class, or of several classes --column 'score=p_*', "
            "where the star stands for the class."
        )
    if not all(columns.values()):
        raise InputError(f"{path} has no row; expected one line per sample after the header.")
    if said.decimal_comma:
        columns = {
            name: cells if name in (*kept, *maybe) else list(map(_with_point, cells))
            for name, cells in columns.items()
        }
    return Table(path, table.names, columns, table.delimiter)


def _with_point(cell: Any) -> Any:
    """0,5 as 0.5; anything else as it is."""
    if isinstance(cell, str) and cell.count(",") == 1 and is_number(point := cell.strip().replace(",", ".")):
        return point
    return cell


def _of_array(path: Path) -> np.ndarray:
    """The labels of a .npy file: whole numbers of any type, texts or bytes."""
    array = read_array(path)
    numbered = number_labels("labels", {str(path): array})
    labels = numbered.classes[numbered.codes[0].numpy()]
    return labels.astype(np.uint64) if labels.dtype == object else labels


def _label_column(path: Path, names: list[str], said: Said) -> str:
    """The one column, or the one that is named as labels are."""
    if len(names) == 1 and "label" not in said.columns:
        return names[0]
    found = named(path, "label", names, said)
    if found is None:
        raise InputError(
            f"{path} has {len(names)} columns, {describe(', '.join(names))}; expected one of them to be called label. "
            "Say --column label=NAME."
        )
    return found


def _csv_labels(path: Path, said: Said) -> tuple[list[str], str]:
    """The cells of the labels, and the header ('' where there is none)."""
    rows = read_rows(path, said.delimiter)
    first = [cell.strip() for cell in rows.cells[0]]
    if len(first) > 1:
        column = None if said.header is False else named(path, "label", first, said)
        if column is None:
            raise InputError(
                f"{path} has {len(first)} columns, parted by a {rows.delimiter}; expected one, or a header that names "
                "one of them label (or --column label=NAME). Labels that hold such a mark go in double quotes."
            )
        if first.count(column) > 1:
            raise InputError(
                f"{path} has the column {describe(column)} twice; expected different names in the header."
            )
        place = first.index(column)
        return [row[place] for row in rows.cells[1:]], column
    if rows.other is not None:
        raise InputError(
            f"{path} has one column, but all of its lines look as if they were parted by a {rows.other}: the first is "
            f"{describe(first[0])}. Say --delimiter {rows.other}, or --delimiter {rows.delimiter} if the lines are the "
            "labels."
        )
    cells = [row[0] for row in rows.cells]
    header = _is_header(path, cells, said) if said.header is None else said.header
    return (cells[1:], first[0]) if header else (cells, "")


def _is_header(path: Path, cells: list[str], said: Said) -> bool:
    """Whether the first cell of a single column names it; InputError where nobody can tell."""
    first, *others = (cell.strip() for cell in cells)
    if "label" in said.columns:
        return named(path, "label", [first], said) == first
    if not others or first in others:
        return False
    if first.lower() in _HEADERS:
        return True
    class_texts(path, {"the label": [first]})  # a missing label is refused, not a name
    if all(map(is_number, others)):
        return first.lstrip("#_ ")[:1].isalpha()
    if min(Counter(others).values()) > 1:
        raise InputError(
            f"the first line of {path} is {describe(first)}, which occurs nowhere else, while all other labels occur "
            "several times: a header, or the label of a single item? Say --header or --no-header."
        )
    return False

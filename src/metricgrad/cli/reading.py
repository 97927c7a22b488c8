"""Read what a user measures: embeddings, labels, tables of predictions. Nothing is unpickled or evaluated."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe, require_finite
from metricgrad._labels import number_labels
from metricgrad.cli.cells import class_texts, is_number, label_array, require_one_spelling
from metricgrad.cli.tables import Table, read_array, read_rows, read_table
from metricgrad.errors import InputError

__all__ = ["of_one_kind", "read_embeddings", "read_labels", "read_predictions"]

_LABEL_COLUMNS = ("label", "labels", "target", "targets", "class", "classes")

_HEADERS = {
    *_LABEL_COLUMNS, "category", "class_id", "class_name", "classname", "ground_truth", "gt", "id", "identity",
    "label_id", "label_name", "name", "species", "true_label", "truth", "y", "y_true",
}  # fmt: skip
"""Names of a single column: as the first line and nowhere below, such a word is a header and no label."""


def read_embeddings(path: Path) -> Tensor:
    """Read a .npy file of embeddings [item, dim].

    Raises:
        InputError: no such file, no array, a pickle, another shape or type, NaN or infinite numbers.
    """
    array = read_array(path)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise InputError(f"{path} holds {describe(array)}; expected numbers (item, dim), one row per item.")
    exact = array.astype(
        np.float64 if array.dtype.itemsize > 4 or array.dtype.kind != "f" else array.dtype.name
    )
    return require_finite("evaluate", str(path), torch.from_numpy(np.ascontiguousarray(exact)))


def read_labels(path: Path, items: int, *, delimiter: str | None = None) -> np.ndarray:
    """Read one label per item from a .npy, CSV or Parquet file.

    A CSV file has one column, or a header that names one of its columns label, target or class. The first line of a
    single column is a header where it is such a name and no label below it, or where it begins with a letter and all
    below are numbers. A word that occurs nowhere below, where all others occur several times, is refused: it may be
    either. How many lines there are says nothing.

    Args:
        path: of the file.
        items: how many labels there must be.
        delimiter: its name, for a CSV file with another one than a comma (see `tables.DELIMITERS`).

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
        table = read_table(path, None, _label_columns)
        if len(table.columns) != 1:
            raise InputError(
                f"{path} has the columns {describe(', '.join(table.names))}; expected one, or one that is called label."
            )
        labels = label_array(path, *table.columns.values())
    else:
        cells, header = _csv_labels(path, delimiter)
        labels = label_array(path, cells)
    if len(labels) != items:
        first = f" below the header {header!r}" if header else ""
        raise InputError(
            f"{path} holds {len(labels)} labels{first}, but there are {items} embeddings; expected one label per "
            "embedding, in the same order. Check that both come from the same export."
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


def read_predictions(path: Path, delimiter: str | None = None, groups: str | None = None) -> Table:
    """Read a table of predictions with the columns `target` and `prediction`, `score` or `score_<class>`.

    Args:
        path: of the file.
        delimiter: its name, where it is told.
        groups: a further column that must be there.

    Raises:
        InputError: no such file, not a table, no `target`, none of the others, no row.
        MissingExtraError: a Parquet file without pyarrow.
    """
    further = set() if groups is None else {groups}
    table = read_table(
        path, "target", lambda names: {*_prediction_columns(names), *further.intersection(names)}, delimiter
    )
    if further - set(table.names):
        raise InputError(
            f"{path} has the columns {describe(', '.join(table.names))}; expected {describe(groups)}, the column of "
            "--groups, among them."
        )
    if len(set(table.columns) - further) < 2:
        raise InputError(
            f"{path} has the columns {describe(', '.join(table.names))}; expected prediction, score or "
            "score_<class> beside target."
        )
    if not table.columns["target"]:
        raise InputError(f"{path} has no row; expected one line per sample after the header.")
    return table


def _prediction_columns(names: list[str]) -> list[str]:
    return [name for name in names if name in ("target", "prediction", "score") or name.startswith("score_")]


def _of_array(path: Path) -> np.ndarray:
    """The labels of a .npy file: whole numbers of any type, texts or bytes."""
    array = read_array(path)
    numbered = number_labels("evaluate", {str(path): array})
    labels = numbered.classes[numbered.codes[0].numpy()]
    return labels.astype(np.uint64) if labels.dtype == object else labels


def _label_columns(names: list[str]) -> list[str]:
    """The one column, or those that are named as labels are."""
    return names if len(names) == 1 else [name for name in names if name.lower() in _LABEL_COLUMNS]


def _csv_labels(path: Path, delimiter: str | None) -> tuple[list[str], str]:
    """The cells of the labels, and the header ('' where there is none)."""
    rows = read_rows(path, delimiter)
    first = [cell.strip() for cell in rows.cells[0]]
    if len(first) > 1:
        named = [place for place, cell in enumerate(first) if cell.lower() in _LABEL_COLUMNS]
        if len(named) != 1:
            raise InputError(
                f"{path} has {len(first)} columns, parted by a {rows.delimiter}; expected one, or a header that names "
                "one of them label. Labels that hold such a mark go in double quotes."
            )
        return [row[named[0]] for row in rows.cells[1:]], first[named[0]]
    if rows.other is not None:
        raise InputError(
            f"{path} has one column, but all of its lines look as if they were parted by a {rows.other}: the first is "
            f"{describe(first[0])}. Say --delimiter {rows.other}, or --delimiter {rows.delimiter} if the lines are the "
            "labels."
        )
    cells = [row[0] for row in rows.cells]
    return (cells[1:], first[0]) if _is_header(path, cells) else (cells, "")


def _is_header(path: Path, cells: list[str]) -> bool:
    """Whether the first cell of a single column names it; InputError where nobody can tell."""
    first, *others = (cell.strip() for cell in cells)
    if not others or first in others:
        return False
    if first.lower() in _HEADERS:
        return True
    class_texts(path, {"the label": [first]})  # a missing label is refused, not a name
    if all(map(is_number, others)):
        return first[0].isalpha()
    if min(Counter(others).values()) > 1:
        raise InputError(
            f"the first line of {path} is {describe(first)}, which occurs nowhere else, while all other labels occur "
            "several times: a header, or the label of a single item? Write label into the first line as the header."
        )
    return False

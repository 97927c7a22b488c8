"""Read what a user measures: embeddings, labels, tables of predictions. Nothing is unpickled or evaluated."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe, require_finite
from metricgrad._labels import number_labels
from metricgrad.cli.cells import class_texts, is_number, label_array
from metricgrad.cli.tables import Table, other_delimiter, read_array, read_rows, read_table
from metricgrad.errors import InputError

__all__ = ["read_embeddings", "read_labels", "read_predictions"]

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
    single column is a header where it is such a name and no label below it, or where it is no number and all below
    are; how many lines there are says nothing.

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
        labels = label_array(path, _label_column(read_table(path, None, lambda name: True)))
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


def read_predictions(path: Path) -> Table:
    """Read a table of predictions with the columns `target` and `prediction`, `score` or `score_<class>`.

    Raises:
        InputError: no such file, not a table, no `target`, none of the others, no row.
        MissingExtraError: a Parquet file without pyarrow.
    """
    table = read_table(
        path, "target", lambda name: name in ("target", "prediction", "score") or name.startswith("score_")
    )
    if len(table.columns) == 1:
        raise InputError(
            f"{path} has the columns {', '.join(table.names)}; expected prediction, score or score_<class> beside "
            "target."
        )
    if not table.columns["target"]:
        raise InputError(f"{path} has no row; expected one line per sample after the header.")
    return table


def _of_array(path: Path) -> np.ndarray:
    """The labels of a .npy file: whole numbers of any type, texts or bytes."""
    array = read_array(path)
    numbered = number_labels("evaluate", {str(path): array})
    labels = numbered.classes[numbered.codes[0].numpy()]
    return labels.astype(np.uint64) if labels.dtype == object else labels


def _label_column(table: Table) -> list:
    """The cells of the one column, or of the one that is named as labels are."""
    named = [name for name in table.names if name.lower() in _LABEL_COLUMNS]
    if len(table.names) == 1:
        named = table.names
    if len(named) != 1:
        raise InputError(
            f"{table.path} has the columns {', '.join(table.names)}; expected one, or one that is named label."
        )
    return table.columns[named[0]]


def _csv_labels(path: Path, delimiter: str | None) -> tuple[list[str], str]:
    """The cells of the labels, and the header ('' where there is none)."""
    rows, name = read_rows(path, delimiter)
    if len(rows[0]) > 1:
        header = [cell.strip() for cell in rows[0]]
        named = [place for place, cell in enumerate(header) if cell.lower() in _LABEL_COLUMNS]
        if len(named) != 1:
            raise InputError(
                f"{path} has {len(header)} columns, parted by a {name}; expected one, or a header that names one of "
                "them label. Labels that hold such a mark go in double quotes."
            )
        return [row[named[0]] for row in rows[1:]], header[named[0]]
    if delimiter is None and (other := other_delimiter(rows)):
        raise InputError(
            f"{path} has one column, but all of its lines look as if they were parted by a {other}: the first is "
            f"{rows[0][0]!r}. Say --delimiter {other}, or --delimiter {name} if the lines are the labels."
        )
    cells = [row[0] for row in rows]
    return (cells[1:], cells[0].strip()) if _is_header(path, cells) else (cells, "")


def _is_header(path: Path, cells: list[str]) -> bool:
    """Whether the first cell of a single column names it."""
    first, *others = (cell.strip() for cell in cells)
    if not others or first in others:
        return False
    if first.lower() in _HEADERS:
        return True
    (text,) = class_texts(path, {"the label": [first]})["the label"]  # a missing label is refused, not a name
    if all(map(is_number, others)):
        return not is_number(text)
    if len(set(others)) < len(others) / 2:
        warnings.warn(
            f"the first line of {path}, {first!r}, occurs once and is read as a label.", stacklevel=4
        )
    return False

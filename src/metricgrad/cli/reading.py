"""Read what a user measures: embeddings, labels, tables of predictions. Nothing is unpickled or evaluated."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe, extra, require_finite
from metricgrad.errors import InputError

__all__ = ["Predictions", "read_embeddings", "read_labels", "read_predictions"]

_LABEL_COLUMNS = ("label", "labels", "target", "targets", "class")


@dataclass(frozen=True)
class Predictions:
    """A table of predictions.

    Attributes:
        target: class ids [sample].
        prediction: class ids [sample], or None.
        score: of the positive class [sample], or None.
        class_scores: [sample, class], or None.
        classes: the names behind the class ids.
    """

    target: Tensor
    prediction: Tensor | None
    score: Tensor | None
    class_scores: Tensor | None
    classes: Sequence[str]


def read_embeddings(path: Path) -> Tensor:
    """Read a .npy file of embeddings [item, dim].

    Raises:
        InputError: no such file, no array, a pickle, another shape or type, NaN or infinite numbers.
    """
    array = _npy(path)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise InputError(f"{path} holds {describe(array)}; expected numbers (item, dim), one row per item.")
    exact = array.astype(
        np.float64 if array.dtype.itemsize > 4 or array.dtype.kind != "f" else array.dtype.name
    )
    return require_finite("evaluate", str(path), torch.from_numpy(np.ascontiguousarray(exact)))


def read_labels(path: Path, items: int) -> np.ndarray:
    """Read one label per item from a .npy file or a CSV file.

    A CSV file has one column, or one named `label`, `target` or `class`. Its first line is a header if and only if
    there is one line more than items.

    Raises:
        InputError: no such file, another form, another number of labels than items.
    """
    labels = _npy(path) if path.suffix == ".npy" else _csv_labels(path, items)
    if labels.ndim != 1 or (labels.dtype.kind == "f" and not bool((labels == np.floor(labels)).all())):
        raise InputError(f"{path} holds {describe(labels)}; expected one whole number or string per item.")
    if len(labels) != items:
        raise InputError(
            f"{path} holds {len(labels)} labels, but there are {items} embeddings; expected one label per embedding, "
            "in the same order. Check that both come from the same export."
        )
    if labels.dtype.kind in "fb":
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iuU":
        raise InputError(f"{path} holds {describe(labels)}; expected one whole number or string per item.")
    return labels


def read_predictions(path: Path) -> Predictions:
    """Read a table of predictions with the columns `target` and `prediction`, `score` or `score_<class>`.

    Raises:
        InputError: no such file, not a table, no `target`, none of the others, a cell that is no number, NaN.
        MissingExtraError: a Parquet file without pyarrow.
    """
    columns = _parquet(path) if path.suffix in (".parquet", ".pq") else _csv_table(path)
    if "target" not in columns:
        raise InputError(f"{path} has the columns {', '.join(columns)}; expected one named target.")
    names = [name.removeprefix("score_") for name in columns if name.startswith("score_")]
    if not names and not {"prediction", "score"} & set(columns):
        raise InputError(
            f"{path} has the columns {', '.join(columns)}; expected prediction, score or score_<class> beside target."
        )
    if not columns["target"]:
        raise InputError(f"{path} has no row; expected one line per sample after the header.")
    classes = _classes(path, columns, names)
    ids = {name: index for index, name in enumerate(classes)}
    order = [f"score_{name}" for name in classes] if names else []
    return Predictions(
        target=torch.tensor([ids[_text(value)] for value in columns["target"]]),
        prediction=torch.tensor([ids[_text(value)] for value in columns["prediction"]])
        if "prediction" in columns
        else None,
        score=_numbers(path, "score", columns["score"]) if "score" in columns else None,
        class_scores=torch.stack([_numbers(path, name, columns[name]) for name in order], 1)
        if order
        else None,
        classes=classes,
    )


def _npy(path: Path) -> np.ndarray:
    _require_file(path)
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except Exception as error:  # a damaged header fails in many ways: as Python text, as a type, as a size
        raise InputError(
            f"{path} cannot be read as .npy: {_why(error)}; expected what numpy.save writes of a plain array."
        ) from error
    if not isinstance(array, np.ndarray):  # an archive, read on demand
        raise InputError(f"{path} is an archive of arrays (.npz); expected one array (.npy).")
    return array


def _why(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "it holds pickled objects, which are never loaded" if "pickle" in text.lower() else text


def _require_file(path: Path) -> None:
    if not path.exists():
        raise InputError(f"there is no file {path}.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected a file.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty.")


def _rows(path: Path) -> list[list[str]]:
    """The lines of a CSV file, those at its end that are empty left out."""
    _require_file(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read as CSV: {error}; expected UTF-8 text with commas."
        ) from error
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows:
        raise InputError(f"{path} has no line with content.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise InputError(
                f"{path} line {number} has {len(row)} cells; expected {len(rows[0])} as in the first line."
            )
    return rows


def _csv_labels(path: Path, items: int) -> np.ndarray:
    rows = _rows(path)
    column = 0
    if len(rows[0]) > 1:
        named = [index for index, name in enumerate(rows[0]) if name.lower() in _LABEL_COLUMNS]
        if len(named) != 1:
            raise InputError(
                f"{path} has {len(rows[0])} columns; expected one, or a header that names one of them label."
            )
        column, rows = named[0], rows[1:]
    elif len(rows) == items + 1:
        rows = rows[1:]
    cells = [row[column] for row in rows]
    if "" in cells:
        raise InputError(
            f"{path} has an empty label in row {cells.index('') + 1}; expected one label per item."
        )
    try:
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    except (ValueError, OverflowError):
        return np.array(cells)


def _csv_table(path: Path) -> dict[str, list[Any]]:
    header, *rows = _rows(path)
    _require_distinct(path, header)
    return {name: [row[index] for row in rows] for index, name in enumerate(header)}


def _parquet(path: Path) -> dict[str, list[Any]]:
    _require_file(path)
    arrow = extra("pyarrow.parquet", "parquet", f"reading {path}")
    try:
        table = arrow.read_table(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())}") from error
    _require_distinct(path, table.column_names)
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _require_distinct(path: Path, names: Sequence[str]) -> None:
    if twice := [name for name in names if list(names).count(name) > 1]:
        raise InputError(f"{path} has the column {twice[0]!r} twice; expected different names in the header.")


def _text(value: Any) -> str:
    """A class as text: 1, 1.0 and "1" are the same one."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(int(value)) if isinstance(value, bool) else str(value)


def _classes(path: Path, columns: Mapping[str, Sequence[Any]], scored: Sequence[str]) -> list[str]:
    """Names of the classes by id: whole numbers by size (0 and 1 keep their own), other names by alphabet."""
    seen = {_text(value) for name in ("target", "prediction") for value in columns.get(name, [])}
    if missing := {"", "None", "nan"} & seen:
        raise InputError(
            f"{path} has an empty cell ({missing.pop()!r}) in target or prediction; expected a class."
        )
    if scored and (strange := sorted(seen - set(scored))):
        raise InputError(f"{path} has the class {strange[0]!r} but no column score_{strange[0]}.")
    everything = set(scored) or seen
    if not all(name.isdecimal() and str(int(name)) == name for name in everything):
        return sorted(everything)
    return ["0", "1"] if not scored and everything <= {"0", "1"} else sorted(everything, key=int)


def _numbers(path: Path, name: str, cells: Sequence[Any]) -> Tensor:
    for number, cell in enumerate(cells, start=1):
        try:
            float(cell)
        except (TypeError, ValueError):
            raise InputError(f"{path} row {number}: {name} is {cell!r}; expected a number.") from None
    return require_finite(
        "evaluate", f"{name} of {path}", torch.tensor([float(cell) for cell in cells]).double()
    )

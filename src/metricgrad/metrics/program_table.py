"""The files that a program reads: a row per sample, its index, its target, and what the outputs say of it."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe, extra, fail
from metricgrad._columns import one_column
from metricgrad._types import Reading

__all__ = ["columns_of", "write_table"]

_SEVERAL: Mapping[Reading | None, str] = {"embeddings": "dim", "values": "prediction", "labels": "prediction"}
"""What several columns are called, with their number behind: `score` for what is not here."""
_ONE: Mapping[Reading | None, str] = {"scores": "score", "probabilities": "score", "embeddings": "dim_0"}
"""What a single column is called: `prediction` for what is not here."""


def columns_of(name: str, outputs: Any, targets: Any, reads: Reading | None) -> dict[str, list[Any]]:
    """The columns of the table: `index` from 0, `target`, and the outputs.

    Args:
        name: of the metric, for messages.
        outputs: one row per sample: numbers [sample] or [sample, column], or texts.
        targets: the same.
        reads: what the metric makes of the outputs.

    Raises:
        InputError: something else, or other numbers of rows.

    Example:
        >>> columns_of("score", torch.tensor([[0.25, 0.75]]), torch.tensor([1]), "probabilities")
        {'index': [0], 'target': [1], 'score_0': [0.25], 'score_1': [0.75]}
    """
    truth = _cells(name, "targets", targets)
    found = _cells(name, "outputs", outputs)
    if len({len(one) for one in (*truth, *found)}) > 1:
        came = f"outputs are {describe(outputs)} and targets are {describe(targets)}"
        raise fail(name, came, "one target for each row of outputs")
    rows = len(truth[0])
    return {
        "index": list(range(rows)),
        **_named(truth, "target", "target"),
        **_named(found, _ONE.get(reads, "prediction"), _SEVERAL.get(reads, "score")),
    }


def write_table(path: Path, columns: Mapping[str, list[Any]]) -> None:
    """Write columns as Parquet or CSV, whichever the ending says; numbers in full.

    Raises:
        OSError: the file cannot be written.
        MissingExtraError: Parquet without pyarrow.
    """
    if path.suffix == ".parquet":
        arrow = extra("pyarrow", "parquet", "a program that reads Parquet")
        extra("pyarrow.parquet", "parquet", "a program that reads Parquet").write_table(
            arrow.table(dict(columns)), path
        )
        return
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _named(found: list[list[Any]], one: str, several: str) -> dict[str, list[Any]]:
    """Columns by name."""
    if len(found) == 1:
        return {one: found[0]}
    return {f"{several}_{place}": cells for place, cells in enumerate(found)}


def _cells(name: str, what: str, given: Any) -> list[list[Any]]:
    """The cells of one or several columns."""
    found = given
    if isinstance(found, np.ndarray) and found.dtype.kind in "biuf":
        found = torch.from_numpy(np.ascontiguousarray(found.astype(found.dtype.newbyteorder("="))))
    if isinstance(found, Tensor):
        found = one_column(found.detach())
        plain = found.layout == torch.strided and not found.is_complex()
        if not plain or found.ndim not in (1, 2) or 0 in found.shape[1:]:
            raise _no_table(name, what, given)
        whole = found.cpu().long() if found.dtype == torch.bool else found.cpu()
        return [whole.tolist()] if whole.ndim == 1 else [column.tolist() for column in whole.T]
    cells = found.tolist() if isinstance(found, np.ndarray) else found
    if not isinstance(cells, list | tuple) or not all(isinstance(cell, str | int | float) for cell in cells):
        raise _no_table(name, what, given)
    return [[int(cell) if isinstance(cell, bool) else cell for cell in cells]]


def _no_table(name: str, what: str, given: Any) -> Exception:
    return fail(
        name,
        f"{what} are {describe(given)}",
        "one row per sample: numbers [sample] or [sample, column], or texts",
        "Nothing else goes into the table that a program reads.",
    )

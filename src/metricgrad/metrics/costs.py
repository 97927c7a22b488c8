"""Costs of decisions: a matrix [true, predicted] as it is given, in Python, on the command line or in a file."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._documents import Unreadable, content_of

__all__ = ["Costs", "cost_matrix"]

Costs = Sequence[Sequence[float]] | Tensor | np.ndarray | str
_WANTED = "a square matrix [true, predicted] of finite numbers"
_SHOWN = (
    'For two classes, where a missed class 1 costs five times as much: "0 1; 5 0", or the name of a text file '
    "with a line for each true class."
)
_NUMBERS = re.compile(r"[-+\d.eE,;\s]*")
_LARGEST = 2**20


def cost_matrix(cost: Costs) -> tuple[tuple[float, ...], ...]:
    """Return costs as numbers, one row for each true class and in it one number for each predicted class.

    Args:
        cost: rows, a tensor or array [class, class], or a text: rows are parted by `;` or stand in lines, the numbers
            of a row are parted by spaces or commas. A text that is no such numbers is the path of a file with them.

    Raises:
        InputError: not a square matrix of finite numbers; a file that cannot be read.

    Example:
        >>> cost_matrix("0 1; 5 0")
        ((0.0, 1.0), (5.0, 0.0))
    """
    rows = _of_text(cost) if isinstance(cost, str) else cost
    if isinstance(rows, Tensor):
        rows = rows.detach().cpu()
    try:
        matrix = torch.as_tensor(rows, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise fail("expected_cost", f"cost is {describe(cost)}", _WANTED, _SHOWN) from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise fail("expected_cost", f"cost is {describe(cost)}", _WANTED, _SHOWN)
    if not all(math.isfinite(value) for value in matrix.flatten().tolist()):
        raise fail("expected_cost", f"cost is {describe(cost)}", _WANTED)
    return tuple(map(tuple, matrix.tolist()))


def _of_text(text: str) -> list[list[Any]]:
    """The numbers of a text, or of the file that it names."""
    numbers = text
    if not _NUMBERS.fullmatch(text):
        try:
            numbers = content_of(Path(text), most=_LARGEST, linked=True).decode("utf-8-sig")
        except (Unreadable, UnicodeDecodeError) as error:
            raise fail(
                "expected_cost",
                f"cost is {describe(text)}, which is no file of numbers ({error})",
                _WANTED,
                _SHOWN,
            ) from error
    rows = [row.replace(",", " ").split() for row in re.split(r"[;\n]", numbers) if row.strip()]
    try:
        return [[float(value) for value in row] for row in rows]
    except ValueError as error:
        raise fail("expected_cost", f"cost is {describe(text)}, with {error}", _WANTED, _SHOWN) from error

"""Rows of vectors, read in blocks: of an array, a tensor or a memory map, as float64 rows of length 1."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from metricgrad._checks import describe, fail, whole_number

__all__ = ["Rows", "rows_of", "unit_rows"]

_BLOCK_VALUES, _BLOCK_ROWS = 2**20, 1024
"""A block has as many rows as are 8 MB of float64, which a cache holds; at least 1,024, which a product wants."""

_NAMED_ROWS = 5
DOUBLE_ROUNDING, SINGLE_ROUNDING = 1e-12, 2.0**-22
_EXPECTED = "an array or tensor of float16, float32 or float64 [row, dim]"


def unit_rows(x: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
    """Rows divided by their length; a row of zeros stays zero. Large and small values neither overflow nor vanish."""
    largest = x.detach().abs().amax(-1, keepdim=True)
    scaled = x / torch.where(largest > 0, largest, 1)
    length = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return scaled / torch.where(length > 0, length, 1)


@dataclass(frozen=True)
class Rows:
    """Vectors that are read in blocks of rows, so that only one block is in memory.

    Attributes:
        source: the array or tensor [row, dim].
        caller: for messages.
        name: of the argument, for messages.
        block: rows in a block.
    """

    source: np.ndarray | Tensor
    caller: str
    name: str
    block: int

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.source.shape[0])

    @property
    def dims(self) -> int:
        """Numbers in a row."""
        return int(self.source.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the rows, as numpy names it; bfloat16, which it does not know, is float32."""
        if isinstance(self.source, np.ndarray):
            return self.source.dtype
        known = self.source.dtype != torch.bfloat16
        return torch.empty(0, dtype=self.source.dtype if known else torch.float32).numpy().dtype

    @property
    def rounding(self) -> float:
        """A share of the length of unit rows that is rounding: what a network computes in float32 is off by it."""
        return DOUBLE_ROUNDING if self.dtype.itemsize == 8 else SINGLE_ROUNDING

    def blocks(self) -> Iterator[Float64[Tensor, "row dim"]]:
        """Blocks of rows as they are, on the CPU; InputError names rows with NaN or infinite values."""
        for start in range(0, self.count, self.block):
            part = self.source[start : start + self.block]
            if isinstance(part, Tensor):
                values = part.detach().to("cpu", torch.float64)
            else:
                values = torch.from_numpy(np.array(part, dtype=np.float64, order="C"))
            self._require_finite(values, start)
            yield values

    def unit_blocks(self) -> Iterator[Float64[Tensor, "row dim"]]:
        """The same with every row divided by its length."""
        return map(unit_rows, self.blocks())

    def _require_finite(self, values: Tensor, start: int) -> None:
        bad = (~torch.isfinite(values)).any(1).nonzero().flatten() + start
        if len(bad):
            named = ", ".join(map(str, bad[:_NAMED_ROWS].tolist()))
            more = f" and {len(bad) - _NAMED_ROWS} more" if len(bad) > _NAMED_ROWS else ""
            raise fail(
                self.caller,
                f"{self.name} has NaN or infinite values in row {named}{more} "
                f"(of rows {start} to {start + len(values) - 1})",
                "finite numbers",
                "Leave these rows out, or find out where the values come from.",
            )


def rows_of(caller: str, name: str, x: Any, *, block: int | None = None) -> Rows:
    """Take an array, memory map, tensor or nested list as rows of vectors.

    Args:
        caller: for messages.
        name: of the argument, for messages.
        x: float16, bfloat16, float32 or float64 [row, dim], in any memory order.
        block: rows to read at a time; default: 8 MB of float64, and 1,024 rows at least.

    Raises:
        InputError: not two axes, no row, no column, whole numbers, complex numbers, texts, masked values, sparse.
    """
    try:
        source = x if isinstance(x, Tensor | np.ndarray) else np.asarray(x)
    except ValueError as error:  # rows of different lengths
        raise fail(caller, f"{name} is {describe(x)}", _EXPECTED) from error
    real = source.is_floating_point() if isinstance(source, Tensor) else source.dtype.kind == "f"
    dense = source.layout == torch.strided if isinstance(source, Tensor) else not np.ma.is_masked(source)
    if not real or not dense or source.ndim != 2:
        remedy = f"Vectors are rows: pass {name}.reshape(1, -1) for one of them." if source.ndim == 1 else ""
        raise fail(caller, f"{name} is {describe(source)}{'' if dense else ', not dense'}", _EXPECTED, remedy)
    if not all(source.shape):
        raise fail(caller, f"{name} is {describe(source)}", "at least one row and one column")
    size = max(_BLOCK_ROWS, _BLOCK_VALUES // int(source.shape[1]))
    return Rows(source, caller, name, size if block is None else whole_number(caller, "block", block))

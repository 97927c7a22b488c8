"""Embeddings as rows of a length of about 1: in memory, or read from a large matrix block by block.

A large matrix (a memory map, or a tensor) stays where it is. It is read once when it is checked, and again where rows
of it are asked for; these are the numbers that a small matrix would give.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._checks import describe, fail, require_finite, require_matrix
from metricgrad._safe import or_one
from metricgrad.metrics.stacked import Stacked
from metricgrad.metrics.unit_kernel import products_of_pairs, unit_in_float32

__all__ = [
    "BLOCK",
    "Embeddings",
    "Later",
    "Rows",
    "blocks",
    "float32_error",
    "matrix_of",
    "power_of_two",
    "read_rows",
]

Embeddings = Tensor | np.ndarray | Stacked
"""Float [row, dim], one row per item, in any float format; an array may be a memory map, which is read in blocks."""

BLOCK = 16_384
"""Rows that are read at a time."""

_LARGE = 2**24
"""Numbers of a matrix beyond which it is read in blocks: 128 MB in float64."""

_PORTION = 2**17
"""Numbers of a block that are prepared at a time: they stay in the processor's cache from step to step."""

_PAIRS = 4096
"""Pairs whose rows are gathered at a time."""

_SHORTEST = 2.0**-900
"""Of the longest row: shorter ones are measured in its unit, so that no product is lost below the smallest number."""


class Rows(NamedTuple):
    """Embeddings, ready to be compared.

    Attributes:
        exact: the rows as they came, each divided by a power of two.
        rounded: of length <= 1: divided by their length (cosine) or as `exact`.
        unit: what the similarity of a row is a multiple of; 1 for cosine.
        normalized: whether the similarity is the cosine.
    """

    exact: "Tensor | Later"
    rounded: "Tensor | Later"
    unit: Float[Tensor, "row"]
    normalized: bool


class Later:
    """Rows of a large matrix, made float64 and scaled when they are asked for, by a slice or an index of any shape.

    Attributes:
        source: the matrix as it came.
        prepare: `(raw rows in float64, which they are) -> rows`.
    """

    def __init__(self, source: Tensor | Stacked, prepare: Callable[[Tensor, slice | Tensor], Tensor]) -> None:
        self.source, self.prepare = source, prepare
        self.shape, self.device = source.shape, source.device

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        if isinstance(rows, slice):
            return self._block(rows, torch.float64)
        return self.prepare(self.source[rows].double(), rows)

    def in_float32(self, rows: slice) -> Float[Tensor, "row dim"]:
        """Return a block of rows, prepared in float64 and rounded."""
        return self._block(rows, torch.float32)

    def products(
        self, queries: Float[Tensor, "query dim"], row: Int[Tensor, "pair"], item: Int[Tensor, "pair"]
    ) -> Float[Tensor, "pair"]:
        """Return products of single queries (float64) with single rows."""
        pairs = zip(row.split(_PAIRS), item.split(_PAIRS), strict=True)
        return torch.cat([row[:0].double(), *((queries[one] * self[other]).sum(1) for one, other in pairs)])

    def _block(self, rows: slice, dtype: torch.dtype) -> Tensor:
        first, stop, _ = rows.indices(len(self))
        found = torch.empty(stop - first, self.shape[1], dtype=dtype)
        step = max(1, _PORTION // self.shape[1])
        for start in range(first, stop, step):
            some = slice(start, min(start + step, stop))
            found[start - first : some.stop - first] = self.prepare(self.source[some].double(), some)
        return found


class LaterUnits(Later):
    """Rows of float32 or less, of length 1 when they are asked for."""

    def __init__(self, source: Tensor | Stacked) -> None:
        super().__init__(source, _normalized)

    def in_float32(self, rows: slice) -> Float[Tensor, "row dim"]:
        """Return a block of rows, prepared in float64 and rounded."""
        return unit_in_float32(self.source[rows])

    def products(
        self, queries: Float[Tensor, "query dim"], row: Int[Tensor, "pair"], item: Int[Tensor, "pair"]
    ) -> Float[Tensor, "pair"]:
        """Return products of single queries (float64) with single rows."""
        return products_of_pairs(queries, self.source, row, item)


def blocks(count: int) -> Iterator[slice]:
    """Yield slices over some rows."""
    for first in range(0, count, BLOCK):
        yield slice(first, min(first + BLOCK, count))


def float32_error(dims: int) -> float:
    """Bound of the error of a float32 product of two rows of length <= 1; infinite where torch may be less precise.

    Two roundings of the factors and as many of their sum as there are dimensions, each 2^-24 of at most 1; and numbers
    too small for float32.
    """
    if torch.get_float32_matmul_precision() != "highest" or dims > 2**14:
        return torch.inf
    return 1.001 * (dims + 4) * 2.0**-24 + dims * 2.0**-120


def matrix_of(caller: str, name: str, embeddings: Embeddings) -> Float[Tensor, "row dim"] | Stacked:
    """Return embeddings as a tensor without gradient, over the memory of an array where it can be shared.

    Raises:
        InputError: not a floating-point matrix, no dimension.
    """
    if isinstance(embeddings, np.ndarray):
        if embeddings.ndim != 2 or embeddings.dtype.kind != "f" or embeddings.itemsize > 8:
            came = f"{name} is {describe(embeddings)}"
            raise fail(caller, came, "an array (row, dim) of float16, float32 or float64")
        if not embeddings.dtype.isnative or min(embeddings.strides) < 0:
            embeddings = np.array(embeddings, dtype=embeddings.dtype.newbyteorder("="))
        with warnings.catch_warnings():  # a map that was opened for reading: nothing is written here
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            embeddings = torch.from_numpy(embeddings)
    if isinstance(embeddings, Stacked):
        return embeddings
    require_matrix(caller, name, embeddings, "row, dim")
    if embeddings.shape[1] == 0:
        raise fail(caller, f"{name} is {describe(embeddings)}", "at least one dimension")
    return embeddings.detach()


def read_rows(caller: str, name: str, embeddings: Embeddings, *, normalize: bool) -> Rows:
    """Check embeddings and bring each row to a length of about 1.

    Args:
        caller: the function that is named in messages.
        name: the argument that is named in messages.
        embeddings: any float format.
        normalize: compare by cosine, not by dot product; a row of zeros has cosine 0 to everything.

    Returns:
        The rows in float64, on the device of the embeddings (mps has no float64: on the CPU); those of a large
        matrix on the CPU are read later.

    Raises:
        InputError: not a floating-point matrix, NaN or infinite values, no dimension; for dot products a row of length
            2^1023 or more.
    """
    source = matrix_of(caller, name, embeddings)
    device = torch.device("cpu") if source.device.type == "mps" else source.device
    later = source.device.type == "cpu" and source.numel() > _LARGE
    if later:
        _require_finite_blocks(caller, name, source)
    else:
        require_finite(caller, name, source[:])
    if normalize:
        unit = torch.ones(len(source), dtype=torch.float64, device=device)
        if later:
            rounded = Later(source, _normalized) if source.dtype == torch.float64 else LaterUnits(source)
            return Rows(Later(source, _shortened), rounded, unit, True)
        rows = _shortened(source[:].to(device, torch.float64))
        return Rows(rows, rows / or_one(_length(rows)), unit, True)
    units = [
        _unit(source[some].to(device, torch.float64))
        for some in (blocks(len(source)) if later else [slice(None)])
    ]
    unit = torch.cat(units)
    if not bool(unit.isfinite().all()):
        row = int((~unit.isfinite()).nonzero()[0, 0])
        remedy = "Divide all embeddings by one power of two: the order of their dot products stays."
        raise fail(caller, f"row {row} of {name} is longer than 2^1023", "shorter rows", remedy)
    if len(source):
        unit = torch.maximum(unit, unit.amax() * _SHORTEST)
    if later:
        rows = Later(source, lambda raw, some: _in_units(raw, unit[some]))
    else:
        rows = _in_units(source[:].to(device, torch.float64), unit)
    return Rows(rows, rows, unit, False)


def _require_finite_blocks(caller: str, name: str, source: Tensor | Stacked) -> None:
    """As `require_finite`, without a mask of the whole."""
    for some in blocks(len(source)):
        least, most = source[some].aminmax()  # both are NaN where one number is
        if not bool(least.isfinite() & most.isfinite()):
            require_finite(caller, name, source[:])


def _shortened(rows: Float[Tensor, "*row dim"], _: object = None) -> Float[Tensor, "*row dim"]:
    """Rows divided by a power of two, so that no coordinate reaches 2 and squares stay within range."""
    return rows / _coarse(rows)


def _normalized(rows: Float[Tensor, "*row dim"], _: object = None) -> Float[Tensor, "*row dim"]:
    """Rows divided by their length."""
    rows = _shortened(rows)
    return rows / or_one(_length(rows))


def _unit(rows: Float[Tensor, "row dim"]) -> Float[Tensor, "row"]:
    """A power of two above the length of each row; infinite where that is no float64."""
    coarse = _coarse(rows)
    return (coarse * (2 * power_of_two(_length(rows / coarse))))[:, 0]


def _in_units(rows: Float[Tensor, "*row dim"], unit: Float[Tensor, "*row"]) -> Float[Tensor, "*row dim"]:
    """Rows divided by their units."""
    coarse = _coarse(rows)
    return (rows / coarse) * (coarse / unit[..., None])


def _coarse(rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row 1"]:
    return power_of_two(rows.abs().amax(-1, keepdim=True))


def _length(rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row 1"]:
    return rows.square().sum(-1, keepdim=True).sqrt()


def power_of_two(value: Float[Tensor, "*row 1"]) -> Float[Tensor, "*row 1"]:
    """The largest power of two not above each value; 1 for 0."""
    value = or_one(value)
    mantissa, _ = torch.frexp(value)  # value = mantissa * 2^exponent, so the quotient is exact
    return value / (2 * mantissa)

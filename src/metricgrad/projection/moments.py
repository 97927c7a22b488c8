"""Sums over unit rows, from one pass: all that a closed form needs to know of its data."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from metricgrad._checks import fail, require_memory
from metricgrad._labels import number_labels
from metricgrad.projection.eigen import Eigenpairs, eigenpairs
from metricgrad.projection.rows import DOUBLE_ROUNDING, rows_of

__all__ = ["NO_SPREAD", "ClassSums", "Moments", "moments", "scatter_of"]

NO_SPREAD = DOUBLE_ROUNDING
"""A share of the length of unit rows that is rounding."""


@dataclass(frozen=True)
class ClassSums:
    """Rows of each class.

    Attributes:
        counts: rows [class].
        means: mean unit row [class, dim].
    """

    counts: Int64[Tensor, "class"]
    means: Float64[Tensor, "class dim"]


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter of unit rows, with the means of their classes where labels were given.

    Attributes:
        caller: for messages.
        count: rows.
        mean: [dim].
        scatter: sum of (x - mean)(x - mean)^T [dim, dim].
        classes: None where no labels were given.
        rounding: a share of the length of the rows that is rounding.
    """

    caller: str
    count: int
    mean: Float64[Tensor, "dim"]
    scatter: Float64[Tensor, "dim dim"]
    classes: ClassSums | None = None
    rounding: float = NO_SPREAD

    @property
    def dims(self) -> int:
        """Numbers in a row."""
        return len(self.mean)

    @property
    def varies(self) -> bool:
        """Whether the rows have more than one direction."""
        return bool(self.scatter.trace() > self.count * self.rounding**2)

    @cached_property
    def covariance(self) -> Eigenpairs:
        """Eigenpairs of the covariance, scatter / (count - 1).

        Raises:
            InputError: one row, or all rows are the same.
        """
        if not self.varies:
            raise fail(self.caller, f"all of {self.count} rows have one direction", "rows that differ")
        return eigenpairs(self.scatter / (self.count - 1))

    @property
    def variances(self) -> Float64[Tensor, "dim"]:
        """Variance of the rows along each direction of the covariance, over count."""
        return self.covariance.values * ((self.count - 1) / self.count)

    @cached_property
    def variances_within(self) -> Float64[Tensor, "dim"]:
        """Variance of the rows along each direction of the covariance within classes, over count."""
        directions = self.within.directions
        return ((directions @ self.scatter) * directions).sum(1) / self.count

    @cached_property
    def rank(self) -> int:
        """Directions in which the rows vary by more than rounding."""
        values = self.covariance.values
        return int((values > len(values) * torch.finfo(torch.float64).eps * values[0]).sum())

    @cached_property
    def within(self) -> Eigenpairs:
        """Eigenpairs of the covariance within classes, sum of (x - mean of its class)(...)^T / count.

        Raises:
            InputError: no labels, one class, or no class with rows that differ.
        """
        if not self.varies_within:
            raise fail(
                self.caller, "no class has rows that differ", "a class with two rows of different direction"
            )
        return eigenpairs(self._within_scatter / self.count)

    @property
    def varies_within(self) -> bool:
        """Whether a class has rows of more than one direction; InputError as `labelled`."""
        least = max(NO_SPREAD * float(self.scatter.trace()), self.count * self.rounding**2)
        return self.varies and float(self._within_scatter.trace()) > least

    @cached_property
    def _within_scatter(self) -> Float64[Tensor, "dim dim"]:
        classes = self.labelled()
        apart = (classes.means - self.mean) * classes.counts.double().sqrt()[:, None]
        return self.scatter - apart.T @ apart

    @cached_property
    def class_spread(self) -> Float64[Tensor, "row dim"]:
        """Class means - mean; with more classes than dimensions a triangle [dim, dim] of the same sums of squares."""
        spread = self.labelled().means - self.mean
        return torch.linalg.qr(spread, mode="r").R if len(spread) > self.dims else spread

    def labelled(self) -> ClassSums:
        """The classes; InputError where there are no labels, or all are of one class."""
        if self.classes is None:
            raise fail(self.caller, "y is None", "one label per row: a whole number or a text")
        if len(self.classes.counts) < 2:
            raise fail(self.caller, "y has one class", "two or more")
        return self.classes


def moments(caller: str, x: Any, y: Any = None, *, block: int | None = None) -> Moments:
    """Read the rows once and return their sums, in float64.

    Args:
        caller: for messages.
        x: vectors [row, dim]: array, memory map (read in blocks) or tensor of float16, float32 or float64.
        y: one label per row, whole numbers or texts; None for forms that need none.
        block: rows to read at a time; default: 8 MB of float64, and 1,024 rows at least.

    Raises:
        InputError: no such vectors or labels, NaN or infinite values, another number of labels than rows.

    Edge cases: a row of zeros has no direction and counts as it is, at the origin.

    Cost: O(row x dim^2) time; memory of one block, of dim^2 and of class x dim numbers.
    """
    rows = rows_of(caller, "x", x, block=block)
    if y is None:
        return Moments(caller, *scatter_of(rows.unit_blocks(), rows.dims), rounding=rows.rounding)
    numbered = number_labels(caller, {"y": y}, device="cpu")
    codes, classes = numbered.codes[0], len(numbered.distinct)
    if len(codes) != rows.count:
        raise fail(caller, f"y has {len(codes)} labels", f"one for each of {rows.count} rows of x")
    require_memory(caller, f"means of {classes} classes of {rows.dims} dimensions", 16 * classes * rows.dims)
    sums = torch.zeros(classes, rows.dims, dtype=torch.float64)

    def summed() -> Iterable[Tensor]:
        for block_codes, part in zip(codes.split(rows.block), rows.unit_blocks(), strict=True):
            sums.index_add_(0, block_codes, part)
            yield part

    count, mean, scatter = scatter_of(summed(), rows.dims)
    counts = codes.bincount(minlength=classes)
    means = ClassSums(counts, sums / counts[:, None])
    return Moments(caller, count, mean, scatter, means, rounding=rows.rounding)


def scatter_of(
    blocks: Iterable[Tensor], dims: int
) -> tuple[int, Float64[Tensor, "dim"], Float64[Tensor, "dim dim"]]:
    """Count, mean and scatter of all rows; each block is centred on itself, so that no digits cancel.

    Reference:
        [chan1983variance], the pairwise update of sums of squares.
    """
    count, mean = 0, torch.zeros(dims, dtype=torch.float64)
    scatter = torch.zeros(dims, dims, dtype=torch.float64)
    for part in blocks:
        both, own = count + len(part), part.mean(0)
        centred, step = (part - own).numpy(), own - mean
        scatter += torch.from_numpy(centred.T @ centred)  # numpy computes half of a product with itself
        scatter.addr_(step, step, alpha=count * len(part) / both)
        mean = mean + step * (len(part) / both)
        count = both
    return count, mean, scatter

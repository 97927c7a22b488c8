"""Similarities whose order does not depend on how they are computed.

A float matrix product depends in its last bits on the shape of the tile and on the position in it: copies of one
item get similarities that differ by one rounding, and a tie is broken at random. An exact metric must not depend on
such things. Here every row is first rounded to a grid of 2^-26 times a power of two that is at least its length.
Products of two such rows are whole multiples of 2^-52, and their sums stay below 2^53 of these, so that float64 adds
them **without any rounding, in every order**. Tiles of any shape and any number of threads give the same numbers bit
for bit, and copies tie exactly; so it is on every device that adds and multiplies in IEEE float64.

The price: a similarity of unit vectors is off by some 6e-9 (standard deviation) from the one of the unrounded rows,
less than a float32 product is, and the product runs in float64.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import describe, fail, require_finite, require_matrix

__all__ = ["Grid", "on_grid"]

_BITS = 26


class Grid(NamedTuple):
    """Rows rounded to the grid, to be multiplied with rows of another grid: `queries.rows @ items.rows.T`."""

    rows: Float[Tensor, "row dim"]
    unit: Float[Tensor, "row 1"]


def on_grid(
    caller: str, name: str, embeddings: Float[Tensor, "row dim"], *, normalize: bool, shared: bool
) -> Grid:
    """Round embeddings to the grid, each row by its own unit or (`shared`) all rows by that of the longest.

    Args:
        caller: the function that is named in messages.
        name: the argument that is named in messages.
        embeddings: any float format.
        normalize: divide every row by its length first; a row of zeros stays.
        shared: one unit for all rows. Items need it, their similarities to a query are compared with one
            another; a query does not. Without `normalize` an item that is 2^13 times shorter than the longest
            keeps 13 bits a coordinate.

    Returns:
        Rows in units of the grid, of length <= 1, and the unit of each: the similarity of a query and an item is
        `(query.rows @ item.rows) * query.unit * item.unit`.

    Raises:
        InputError: not a floating-point matrix, NaN or infinite values.
    """
    require_finite(caller, name, require_matrix(caller, name, embeddings, "row, dim"))
    if embeddings.shape[1] == 0:
        raise fail(caller, f"{name} is {describe(embeddings)}", "at least one dimension")
    device = (
        torch.device("cpu") if embeddings.device.type == "mps" else embeddings.device
    )  # mps has no float64
    rows = embeddings.detach().to(device, torch.float64)
    # First by the largest coordinate, so that the squares of very long and very short rows stay within range.
    coarse = _power_of_two(rows.abs().amax(1, keepdim=True))
    rows = rows / coarse
    length = rows.square().sum(1, keepdim=True).sqrt()  # [row, 1]
    if normalize:
        rows, unit = rows / torch.where(length > 0, length, 1.0), torch.ones_like(length)
    else:
        fine = _power_of_two(length)
        unit = coarse * fine
        if shared and len(rows):
            unit = unit.amax().expand_as(length)
        rows = rows * (coarse / unit)
    return Grid(torch.round(rows * 2.0**_BITS) / 2.0**_BITS, unit)


def _power_of_two(value: Float[Tensor, "row 1"]) -> Float[Tensor, "row 1"]:
    """The smallest power of two above each value; 1 for 0."""
    value = torch.where(value > 0, value, 0.5)
    mantissa, _ = torch.frexp(value)  # value = mantissa * 2^exponent, so the quotient is exact
    return value / mantissa

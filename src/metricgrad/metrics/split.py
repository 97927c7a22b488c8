"""Rows cut into parts whose products float64 adds without rounding; see `similarity.py`.

All here is done number by number, or along a row in an order that only the number of dimensions sets: a row has the
same parts whichever rows are beside it, on every device.

Reference: [dekker1971float] for sums and products of two numbers with their rounding errors.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._safe import or_one

__all__ = ["Limbs", "limbs"]


class Limbs(NamedTuple):
    """Parts of rows of length <= 1: row = high + middle + low, but for some 2^-72 a coordinate."""

    high: Float[Tensor, "*row dim"]
    middle: Float[Tensor, "*row dim"]
    low: Float[Tensor, "*row dim"]


def limbs(rows: Float[Tensor, "*row dim"], *, normalize: bool) -> Limbs:
    """Cut rows into three parts.

    The grids are as fine as they may be. high . high' is a multiple of 2^-52 and at most 1; high . middle' is one of
    2^-26 times the second grid and at most sqrt(dim) 2^-27; middle . middle' and high . low' likewise.
    None exceeds 2^53 multiples.

    Args:
        rows: of length <= 1, or of coordinates below 2 where they are divided by their length.
        normalize: divide each by its length first, to some 2^-100; a row of zeros stays.

    Returns:
        The parts.
    """
    rest = torch.zeros_like(rows)
    if normalize:
        rows, rest = _unit(rows)
    half = math.ceil(math.log2(rows.shape[-1]) / 2)  # of the bits of a sum of dim numbers
    second, third = 2.0 ** (52 - half), 2.0 ** (78 - 2 * half)
    high = (rows * 2.0**26).round() / 2.0**26
    rest = (rows - high) + rest
    middle = (rest * second).round() / second
    return Limbs(high, middle, ((rest - middle) * third).round() / third)


def _unit(rows: Float[Tensor, "*row dim"]) -> tuple[Tensor, Tensor]:
    """Rows divided by their length, as a float64 and what is missing to the true quotient."""
    length, length_rest = _length(rows)
    length = or_one(length)
    quotient = rows / length
    product, product_rest = _product(quotient, length)
    return quotient, ((rows - product) - product_rest - quotient * length_rest) / length


def _length(rows: Float[Tensor, "*row dim"]) -> tuple[Tensor, Tensor]:
    """Length of each row, as a float64 and what is missing to the true one [*row, 1]."""
    total, rest = _product(rows, rows)
    while total.shape[-1] > 1:
        if total.shape[-1] % 2:
            total, rest = (torch.nn.functional.pad(part, (0, 1)) for part in (total, rest))
        one, other = total.chunk(2, -1)
        rest = sum(rest.chunk(2, -1)) + _rounded_away(one, other)
        total, rest = one + other, rest
        total, rest = total + rest, _rounded_away(total, rest)
    length = total.sqrt()
    square, square_rest = _product(length, length)
    missing = ((total - square) - square_rest + rest) / (2 * or_one(length))
    return length, missing


def _rounded_away(one: Tensor, other: Tensor) -> Tensor:
    """What the sum of two numbers loses by rounding."""
    total = one + other
    back = total - one
    return (one - (total - back)) + (other - back)


def _product(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The product of two numbers and what it loses by rounding."""
    (high, low), (other_high, other_low) = _halves(one), _halves(other)
    product = one * other
    error = ((high * other_high - product) + high * other_low + low * other_high) + low * other_low
    return product, error


def _halves(value: Tensor) -> tuple[Tensor, Tensor]:
    """A number as a sum of two of half its digits."""
    shifted = value * (2.0**27 + 1)
    high = shifted - (shifted - value)
    return high, value - high

"""Rows of few values: multiples of small whole numbers, whose products float32 computes without rounding.

Such are codes of one bit, signs, counts of a few words, quantised vectors of four bits. Among them ties are the rule,
and to settle each of them by the exact similarity would cost many times the product. Here the product says it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._safe import or_one
from metricgrad.metrics.rows import Later, power_of_two

__all__ = ["Whole", "whole_of"]

_FINEST = 8
"""Bits below the largest number of a row."""

_LONGEST = 2.0**16
"""Square of the length of a row in whole numbers, at most. A product of two is then at most that, exact in float32
whatever the order of summation; its square over a square length has 48 bits that matter, so that float64 tells all
cosines apart, and these differ by more than the steps in which `similarity.py` measures them."""

_PORTION = 2**17
"""Numbers that are looked at together: of rows of many values, no more than these."""


class Whole(NamedTuple):
    """Rows as multiples of a unit of their own.

    Attributes:
        unit: what each number of a row is a small multiple of [row].
        square: sum of the squares of these multiples [row].
    """

    unit: Float[Tensor, "row"]
    square: Float[Tensor, "row"]


def whole_of(rows: Tensor | Later, *, normalize: bool) -> Whole | None:
    """Return the units of rows, None where one of them is of too many values.

    Args:
        rows: float64, or read later as such.
        normalize: whether their length is of no account: the unit may be any number then, else a power of two.

    Cost: one pass over the rows, and of rows of many values a look at the first of them.
    """
    units, squares = [], []
    for part in _portions(rows):
        unit = _unit(part, normalize=normalize)
        square = (part / unit[:, None]).square().sum(1)
        if not bool((square <= _LONGEST).all()):  # NaN where there is no unit
            return None
        units.append(unit)
        squares.append(square)
    return Whole(torch.cat(units), torch.cat(squares)) if units else None


def _portions(rows: Tensor | Later) -> Iterator[Float[Tensor, "some dim"]]:
    step = max(1, _PORTION // rows.shape[1])
    for first in range(0, len(rows), step):
        yield rows[first : first + step]


def _unit(rows: Float[Tensor, "row dim"], *, normalize: bool) -> Float[Tensor, "row"]:
    """The largest unit of each row that makes all of its numbers whole; NaN where there is none."""
    coarse = power_of_two(rows.abs().amax(1, keepdim=True))
    scaled = rows / coarse
    unit = torch.full_like(coarse, 2.0**-_FINEST)
    by_two = _are_whole(scaled / unit)
    for _ in range(_FINEST):
        unit = torch.where(_are_whole(scaled / (2 * unit)), 2 * unit, unit)
    if not normalize:
        return (unit * coarse).masked_fill(~by_two, torch.nan)[:, 0]
    least = or_one(scaled.abs().masked_fill(scaled == 0, torch.inf).amin(1, keepdim=True))
    least = torch.where(least.isfinite(), least, 1.0)  # of a row of zeros
    times = (scaled / least).round()
    exact = (least.float() == least) | (times.abs().amax(1, keepdim=True) <= 1)
    by_least = ((times * least == scaled).all(1, keepdim=True)) & exact
    unit = torch.where(by_least, least, unit).masked_fill(~(by_two | by_least), torch.nan)
    return (unit * coarse)[:, 0]


def _are_whole(numbers: Float[Tensor, "row dim"]) -> Tensor:
    return (numbers == numbers.round()).all(1, keepdim=True)

"""Rows of half or single precision divided by their length, and products with them; compiled.

Squares of such numbers neither overflow float64 nor vanish in it, so that a row needs no scaling before its length is
taken.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad.metrics.compiling import compiled_in_any_order, over_portions
from metricgrad.metrics.stacked import Stacked

__all__ = ["products_of_pairs", "unit_in_float32"]

_PAIRS = 16_384
"""Rows that are gathered at a time where the items are no array of float32."""


def unit_in_float32(rows: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    """Return rows of float32 or less divided by their length in float64, then rounded; a row of zeros stays."""
    source = rows.float().numpy()
    found = np.empty(source.shape, np.float32)
    over_portions(_unit, len(source), source, found)
    return torch.from_numpy(found)


def products_of_pairs(
    queries: Float[Tensor, "query dim"],
    items: Float[Tensor, "item dim"] | Stacked,
    row: Int[Tensor, "pair"],
    item: Int[Tensor, "pair"],
) -> Float[Tensor, "pair"]:
    """Return products of single queries and items, these divided by their length.

    Args:
        queries: float64.
        items: of float32 or less, as they came.
        row: numbers of queries.
        item: numbers of items.

    Returns:
        float64; off by 1.5 dim + 4 roundings of 2^-53 at most, where queries have length 1.
    """
    found = np.empty(len(row))
    for first in range(0, len(row), _PAIRS):
        some = slice(first, first + _PAIRS)
        if isinstance(items, Tensor) and items.dtype == torch.float32:
            source, place = items.numpy(), item[some].numpy()
        else:
            source = items[item[some]].float().numpy()
            place = np.arange(len(source))
        pairs = row[some].numpy(), place, found[some]
        over_portions(_products, len(place), queries.numpy(), source, *pairs)
    return torch.from_numpy(found)


@compiled_in_any_order
@no_type_check
def _unit(first, last, source, found):
    """Divide some rows by their length."""
    for row in range(first, last):
        square = 0.0
        for column in range(source.shape[1]):
            value = np.float64(source[row, column])
            square += value * value
        length = np.sqrt(square) if square > 0 else 1.0
        for column in range(source.shape[1]):
            found[row, column] = np.float64(source[row, column]) / length


@compiled_in_any_order
@no_type_check
def _products(first, last, queries, items, rows, places, found):
    """Multiply some pairs."""
    for pair in range(first, last):
        row, place = rows[pair], places[pair]
        product, square = 0.0, 0.0
        for column in range(items.shape[1]):
            value = np.float64(items[place, column])
            product += queries[row, column] * value
            square += value * value
        found[pair] = product / np.sqrt(square) if square > 0 else 0.0

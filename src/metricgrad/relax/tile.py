"""Ranks and their gradient for one tile of queries: the plain torch text.

This is the seam of the hot operator. `plain.py` cuts the queries into tiles, makes the similarities of a tile and
calls the two functions here; a fused kernel replaces them and has this text as its reference. Similarities come
divided by the temperature, with -inf where an item does not compete, so that every step and slope there is 0.
The loop runs over blocks of positives, never over queries, and each block fits a processor cache.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from metricgrad.relax.step import (
    hard_step_,
    laplace_slope_,
    laplace_step_,
    logistic_slope_,
    logistic_step_,
)

__all__ = ["tile_gradient", "tile_ranks"]

BLOCK_BYTES = {"cpu": 512 * 1024}
"""Size of one block of differences by device type; on another device `ACCELERATOR_BLOCK_BYTES`."""

ACCELERATOR_BLOCK_BYTES = 64 * 1024 * 1024

InPlace = Callable[[Tensor], Tensor]

STEPS: Mapping[str, InPlace] = {"logistic": logistic_step_, "laplace": laplace_step_, "hard": hard_step_}
"""By name, what overwrites differences with their step."""

SLOPES: Mapping[str, InPlace] = {"logistic": logistic_slope_, "laplace": laplace_slope_}
"""By name, what overwrites differences with the derivative of their step."""


def tile_ranks(scores: Tensor, levels: Tensor, valid: Tensor, step: str) -> tuple[Tensor, Tensor]:
    """Return the (soft) ranks of the positives among all items and among the positives.

    Args:
        scores: [query, item], divided by the temperature, -inf where an item does not compete.
        levels: [query, positive] scores of the positives, 0 where not valid.
        valid: [query, positive].
        step: `logistic`, `laplace` or `hard`.

    Returns:
        Two tensors [query, positive]; what stands where `valid` is False has no meaning.
    """
    step_ = STEPS[step]
    among_all = torch.empty_like(levels)
    for rows, columns in _blocks(scores, levels.shape[1]):
        above = scores[rows].unsqueeze(1) - levels[rows, columns].unsqueeze(2)  # [query, positive, item]
        among_all[rows, columns] = step_(above).sum(2)
    among_positives = torch.empty_like(levels)
    competing = levels.masked_fill(~valid, -torch.inf)
    for rows, columns in _blocks(competing, levels.shape[1]):
        above = competing[rows].unsqueeze(1) - levels[rows, columns].unsqueeze(
            2
        )  # as above, items = positives
        among_positives[rows, columns] = step_(above).sum(2)
    # an item meets itself with a step of 1/2, which is not counted: 1 + (sum - 1/2)
    return among_all.add_(0.5), among_positives.add_(0.5)


def tile_gradient(
    scores: Tensor,
    levels: Tensor,
    valid: Tensor,
    positives: Tensor,
    of_all: Tensor | None,
    of_positives: Tensor | None,
    step: str,
) -> Tensor:
    """Return the gradient by the (divided) scores, given the gradients by the ranks.

    Args:
        scores: as for `tile_ranks`.
        levels: as for `tile_ranks`.
        valid: as for `tile_ranks`.
        positives: [query, positive] item numbers; any number where not valid.
        of_all: [query, positive] gradient by the ranks among all items; None for 0.
        of_positives: [query, positive] gradient by the ranks among the positives; None for 0.
        step: `logistic` or `laplace`.

    Returns:
        [query, item].
    """
    slope_ = SLOPES[step]
    gradient = torch.zeros_like(scores)
    of_levels = torch.zeros_like(levels)
    if of_all is not None:
        weight = of_all * valid
        for rows, columns in _blocks(scores, levels.shape[1]):
            slope = slope_(
                scores[rows].unsqueeze(1) - levels[rows, columns].unsqueeze(2)
            )  # [query, positive, item]
            part = weight[rows, columns]
            if part.shape[1] == 1:
                gradient[rows].addcmul_(slope.squeeze(1), part)
            else:
                gradient[rows] += torch.bmm(part.unsqueeze(1), slope).squeeze(1)
            # the slope at the positive itself is in both sums and cancels
            of_levels[rows, columns] -= part * slope.sum(2)
    if of_positives is not None:
        weight = of_positives * valid
        competing = levels.masked_fill(~valid, -torch.inf)
        for rows, columns in _blocks(competing, levels.shape[1]):
            slope = slope_(competing[rows].unsqueeze(1) - levels[rows, columns].unsqueeze(2))
            part = weight[rows, columns]
            of_levels[rows] += torch.bmm(part.unsqueeze(1), slope).squeeze(1)
            of_levels[rows, columns] -= part * slope.sum(2)
    return gradient.scatter_add_(1, positives, of_levels)


def _blocks(competing: Tensor, width: int) -> Iterator[tuple[slice, slice]]:
    """Cut [query, positive] so that a block of differences [query, positive, item] stays in the cache."""
    rows, items = competing.shape
    limit = BLOCK_BYTES.get(competing.device.type, ACCELERATOR_BLOCK_BYTES) // competing.element_size()
    height = max(1, min(rows, limit // max(1, items)))
    breadth = max(1, min(width, limit // max(1, height * items)))
    for row in range(0, rows, height):
        for column in range(0, width, breadth):
            yield slice(row, row + height), slice(column, column + breadth)

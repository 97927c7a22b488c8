"""Ranks and their gradient for one tile of queries on CUDA: what `relax/tile.py` says, as two Triton programs.

One program works on one query and one block of items. It reads the block's scores once, runs over the positives of
the query, and writes one sum a positive, and in the backward pass the gradient of the block. Sums of blocks are
added in float64 by a reduction of fixed order: no atomics, the same bits in every run. Neither
[query, positive, item] nor a second [query, item] beside scores and gradient is ever stored.

This module imports Triton, so import it only where it is wanted. Triton decides at its first import whether kernels
are compiled or interpreted: with TRITON_INTERPRET=1 in the environment they run, slowly, on the CPU.
"""

import math
from collections.abc import Iterator
from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["tile_gradient", "tile_ranks"]

BLOCK_BYTES = 16 * 1024
"""Size of the differences [positive, item] that one program holds in registers at a time."""

BLOCK_POSITIVES = 8
"""Most positives that one program compares with its items at a time."""

IS_LOGISTIC = {"logistic": True, "laplace": False}
"""The steps that the programs know, by name; exact ranks stay with the torch text."""


def tile_ranks(scores: Tensor, levels: Tensor, valid: Tensor, step: str) -> tuple[Tensor, Tensor]:
    """Return the soft ranks of the positives among all items and among the positives.

    Args:
        scores: [query, item], divided by the temperature, -inf where an item does not compete; float32 or float64.
        levels: [query, positive] scores of the positives, any number where not valid.
        valid: [query, positive].
        step: "logistic" or "laplace".

    Returns:
        Two tensors [query, positive]; what stands where `valid` is False has no meaning.

    Edge cases:
        An item so far from every positive that all such items together stay below half a unit of the last place of
        a rank is counted as 0 or 1. A NaN makes the ranks of its query NaN.

    Cost:
        Reads the scores once for every `BLOCK_BYTES` / 8 / element size positives: once in practice. The sums that
        are stored on the way take less memory than the scores.
    """
    targets = levels.masked_fill(
        ~valid, torch.inf
    )  # no step reaches it: a sum of 0, and outside every window
    competing = levels.masked_fill(~valid, -torch.inf)
    return _ranks(scores.contiguous(), targets, step), _ranks(competing, targets, step)


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
        scores: as for `tile_ranks`; they are not changed.
        levels: as for `tile_ranks`.
        valid: as for `tile_ranks`.
        positives: [query, positive] item numbers; any item's number where not valid.
        of_all: [query, positive] gradient by the ranks among all items; None for 0.
        of_positives: [query, positive] gradient by the ranks among the positives; None for 0.
        step: as for `tile_ranks`.

    Returns:
        [query, item].

    Edge cases:
        A positive whose upstream gradient is 0 costs nothing where it fills a block with others of its kind. Items
        are left out only where every slope is below the smallest normal number.

    Cost:
        As for `tile_ranks`, and the gradient is written as often as the scores are read.
    """
    of_levels = torch.zeros_like(levels)
    if of_all is None:
        gradient = torch.zeros_like(scores)
    else:
        gradient, sums = _pulls(scores.contiguous(), levels, of_all * valid, step)
        of_levels -= sums
    if of_positives is not None:
        competing = levels.masked_fill(~valid, -torch.inf)
        pulls, sums = _pulls(competing, levels, of_positives * valid, step)
        of_levels += pulls - sums
    # the positives of a query differ and padding adds 0, so that the order of additions does not matter
    return gradient.scatter_add_(1, positives, of_levels)


def _ranks(scores: Tensor, targets: Tensor, step: str) -> Tensor:
    """Return 1/2 + the sum over items of step(score - target), [query, positive]."""
    rows, items = scores.shape
    # n items at distance w change a rank by less than n exp(-w) <= eps / 2
    window = math.log(max(1, items)) - math.log(torch.finfo(scores.dtype).eps / 2)
    ranks = torch.empty_like(targets)
    for columns, block_positives, block_items in _launches(targets):
        part = targets[:, columns].contiguous()
        blocks = -(-items // block_items)
        sums = scores.new_empty(rows, blocks, part.shape[1])
        with torch.cuda.device_of(scores):
            _sum_steps[(rows, blocks)](
                scores,
                part,
                sums,
                items,
                part.shape[1],
                blocks,
                window,
                IS_LOGISTIC[step],
                block_items,
                block_positives,
            )
        # an item meets itself with a step of 1/2, which is not counted: 1 + (sum - 1/2)
        ranks[:, columns] = sums.sum(1, dtype=torch.float64).add_(0.5)
    return ranks


def _pulls(scores: Tensor, levels: Tensor, weights: Tensor, step: str) -> tuple[Tensor, Tensor]:
    """Return weight x slope(score - level) summed over positives, [query, item], and over items, [query, positive]."""
    rows, items = scores.shape
    window = -math.log(torch.finfo(scores.dtype).tiny)
    targets = levels.masked_fill(weights == 0, torch.inf)
    gradient = torch.empty_like(scores)
    of_targets = torch.empty_like(targets)
    for columns, block_positives, block_items in _launches(targets):
        part, weight = targets[:, columns].contiguous(), weights[:, columns].contiguous()
        blocks = -(-items // block_items)
        sums = scores.new_empty(rows, blocks, part.shape[1])
        with torch.cuda.device_of(scores):
            _sum_slopes[(rows, blocks)](
                scores,
                part,
                weight,
                gradient,
                sums,
                items,
                part.shape[1],
                blocks,
                window,
                IS_LOGISTIC[step],
                columns.start > 0,
                block_items,
                block_positives,
            )
        of_targets[:, columns] = sums.sum(1, dtype=torch.float64)
    return gradient, of_targets


def _launches(targets: Tensor) -> Iterator[tuple[slice, int, int]]:
    """Cut the positives so that the sums [query, block of items, positive] of a launch stay below the scores' size.

    Yields the positives of a launch, and the positives and items of a program's block. Few shapes of blocks occur,
    since Triton compiles a kernel for each.
    """
    width = targets.shape[1]
    block_positives = min(1 << max(0, width - 1).bit_length(), BLOCK_POSITIVES)  # powers of two
    block_items = BLOCK_BYTES // targets.element_size() // block_positives
    for start in range(0, width, block_items):
        yield slice(start, min(start + block_items, width)), block_positives, block_items


# `no_type_check` keeps run-time checkers of annotations out of what Triton compiles.


@triton.jit
@no_type_check
def _sum_steps(
    scores,  # [query, item]
    targets,  # [query, positive], inf for one that is not wanted
    sums,  # [query, block, positive]
    items,
    width,
    blocks,
    window,
    LOGISTIC: tl.constexpr,
    BLOCK_ITEMS: tl.constexpr,
    BLOCK_POSITIVES: tl.constexpr,
):
    """Write the sums of step(score - target) over one block of items of one query."""
    row = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    item = block * BLOCK_ITEMS + tl.arange(0, BLOCK_ITEMS)
    present = item < items
    score = tl.load(scores + row * items + item, mask=present, other=-float("inf"))
    # NaN widens the range without end, so that no block that holds one is passed over
    highest = tl.max(tl.where(score == score, score, float("inf")), axis=0)
    lowest = tl.min(tl.where(score == score, tl.where(present, score, float("inf")), -float("inf")), axis=0)
    number = tl.minimum(items - block * BLOCK_ITEMS, BLOCK_ITEMS).to(score.dtype)
    for first in range(0, width, BLOCK_POSITIVES):
        column = first + tl.arange(0, BLOCK_POSITIVES)
        target = tl.load(targets + row * width + column, mask=column < width, other=float("inf"))
        wanted = target < float("inf")
        total = tl.zeros([BLOCK_POSITIVES], dtype=score.dtype)
        if lowest > tl.max(tl.where(wanted, target, -float("inf")), axis=0) + window:
            total += tl.where(wanted, number, 0.0)
        elif highest >= tl.min(target, axis=0) - window:
            x = score[None, :] - target[:, None]  # [positive, item]
            v = tl.exp(-tl.abs(x))
            if LOGISTIC:
                step = tl.where(x >= 0, 1.0, v) / (1.0 + v)
            else:
                step = tl.where(x > 0, 1.0 - 0.5 * v, 0.5 * v)
            total += tl.sum(step, axis=1)
        tl.store(sums + (row * blocks + block) * width + column, total, mask=column < width)


@triton.jit
@no_type_check
def _sum_slopes(
    scores,  # [query, item]
    targets,  # [query, positive], inf for one whose weight is 0
    weights,  # [query, positive]
    gradient,  # [query, item]
    sums,  # [query, block, positive]
    items,
    width,
    blocks,
    window,
    LOGISTIC: tl.constexpr,
    ADD: tl.constexpr,
    BLOCK_ITEMS: tl.constexpr,
    BLOCK_POSITIVES: tl.constexpr,
):
    """Write (or add) weight x slope(score - target) summed over the positives, and write its sums over the block."""
    row = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    item = block * BLOCK_ITEMS + tl.arange(0, BLOCK_ITEMS)
    present = item < items
    score = tl.load(scores + row * items + item, mask=present, other=-float("inf"))
    highest = tl.max(tl.where(score == score, score, float("inf")), axis=0)
    lowest = tl.min(tl.where(score == score, tl.where(present, score, float("inf")), -float("inf")), axis=0)
    pulled = tl.zeros([BLOCK_ITEMS], dtype=score.dtype)
    for first in range(0, width, BLOCK_POSITIVES):
        column = first + tl.arange(0, BLOCK_POSITIVES)
        target = tl.load(targets + row * width + column, mask=column < width, other=float("inf"))
        weight = tl.load(weights + row * width + column, mask=column < width, other=0.0)
        wanted = target < float("inf")
        total = tl.zeros([BLOCK_POSITIVES], dtype=score.dtype)
        below = highest < tl.min(target, axis=0) - window
        above = lowest > tl.max(tl.where(wanted, target, -float("inf")), axis=0) + window
        if not (below or above):
            v = tl.exp(-tl.abs(score[None, :] - target[:, None]))  # [positive, item]
            if LOGISTIC:
                slope = v / ((1.0 + v) * (1.0 + v))  # step x (1 - step) would be 0 from 16.6 on
            else:
                slope = 0.5 * v
            # where the weight is 0, the slope may be NaN
            pull = tl.where((weight != 0)[:, None], weight[:, None] * slope, 0.0)
            pulled += tl.sum(pull, axis=0)
            total += tl.sum(pull, axis=1)
        tl.store(sums + (row * blocks + block) * width + column, total, mask=column < width)
    if ADD:
        pulled += tl.load(gradient + row * items + item, mask=present, other=0.0)
    tl.store(gradient + row * items + item, pulled, mask=present)

"""Ranks and gradients of given scores on the CPU: the same compiled passes over copies of their blocks."""

import numpy as np
import torch
from torch import Tensor

from metricgrad.relax.kernels import BLOCK
from metricgrad.relax.kernels.blocks import rank_block, slope_block
from metricgrad.relax.kernels.prepared import (
    Prepared,
    ends,
    on_parts,
    prepare,
    ranks_among_all,
    ranks_among_positives,
    slopes_among_positives,
    weights_of,
)
from metricgrad.relax.kernels.threads import torch_on_one_thread
from metricgrad.relax.setting import Setting, wide

__all__ = ["gradient_of_scores", "ranks_of_scores"]

NOTHING = np.zeros((0, 2), np.int32)
"""Given scores need no notes: they are there in the backward pass."""


def ranks_of_scores(scores: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
    """Return the ranks [query, positive] among all items and among the positives.

    Args:
        scores: [query, item], finite or -inf; the positives' are finite.
        setting: the lists of positives and the step.

    Returns:
        Two tensors, in float32 or wider; 1 beyond the count.
    """
    with torch_on_one_thread() as threads:
        prepared = _prepared(scores, setting, threads)
        low, high = ends(prepared, prepared.valid)
        sums, columns = np.zeros(prepared.levels.shape), np.zeros(prepared.columns.shape)
        nothing = np.zeros(0, prepared.levels.dtype)

        def part(start: int, stop: int) -> None:
            for rows, items in _blocks(scores, start, stop):
                block = _copy(scores, rows, items).numpy()
                rank_block(
                    block,
                    rows.start,
                    items.start,
                    False,
                    prepared.positives,
                    prepared.counts,
                    prepared.levels,
                    prepared.columns,
                    prepared.excluded,
                    low,
                    high,
                    prepared.scale,
                    prepared.laplace,
                    sums,
                    columns,
                    NOTHING[:, 0],
                    NOTHING[:, 1],
                    nothing,
                    0,
                    0,
                )

        on_parts(part, len(scores), prepared.threads)
        return ranks_among_all(prepared, sums), ranks_among_positives(prepared)


def gradient_of_scores(
    scores: Tensor, setting: Setting, of_all: Tensor | None, of_positives: Tensor | None
) -> Tensor:
    """Return the gradient [query, item] by the scores, in their own type.

    Args:
        scores: as in the forward pass.
        setting: as there.
        of_all: [query, positive] gradient by the ranks among all items; None for 0.
        of_positives: [query, positive] gradient by the ranks among the positives; None for 0.
    """
    with torch_on_one_thread() as threads:
        prepared = _prepared(scores, setting, threads)
        of_levels = slopes_among_positives(prepared, of_positives)
        gradient = torch.zeros(scores.shape, dtype=scores.dtype)
        if of_all is not None:
            weights = weights_of(of_all, prepared)
            low, _ = ends(prepared, weights != 0)
            sums, columns = np.zeros(weights.shape), np.zeros(prepared.columns.shape)

            def part(start: int, stop: int) -> None:
                for rows, items in _blocks(scores, start, stop):
                    block = _copy(scores, rows, items)
                    slope_block(
                        block.numpy(),
                        rows.start,
                        items.start,
                        False,
                        prepared.positives,
                        prepared.counts,
                        prepared.levels,
                        prepared.columns,
                        prepared.excluded,
                        low,
                        prepared.scale,
                        prepared.laplace,
                        weights,
                        prepared.columns,
                        sums,
                        columns,
                        of_levels,
                    )
                    gradient[rows, items] = block

            on_parts(part, len(scores), prepared.threads)
            of_levels -= sums * weights
        row, column = np.nonzero(prepared.valid)
        at = torch.from_numpy(row), torch.from_numpy(prepared.positives[row, column])
        gradient[at] += torch.from_numpy(of_levels[row, column]).to(scores.dtype)
        return gradient


def _prepared(scores: Tensor, setting: Setting, threads: int) -> Prepared:
    levels = scores.gather(1, setting.positives).to(wide(scores)).numpy()
    return prepare(setting, levels, scores.shape[1], threads)


def _blocks(scores: Tensor, start: int, stop: int) -> list[tuple[slice, slice]]:
    """Cut the rows from `start` to `stop` into blocks."""
    return [
        (slice(row, min(row + BLOCK, stop)), slice(item, min(item + BLOCK, scores.shape[1])))
        for row in range(start, stop, BLOCK)
        for item in range(0, scores.shape[1], BLOCK)
    ]


def _copy(scores: Tensor, rows: slice, items: slice) -> Tensor:
    """Return a block in a memory of its own, in float32 or wider."""
    block = scores[rows, items]
    return torch.empty(block.shape, dtype=wide(scores)).copy_(block)

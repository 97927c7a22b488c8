"""Counting the scores of a tile above each positive, and finding those that are too near to tell; compiled.

Of few positives each is compared with all scores of its row, many scores at a time. Of many, a score finds its place
among them by bisection, but for the runs of scores of which none reaches the lowest positive. A row is read again only
where few scores are within a window.
"""

from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from metricgrad.metrics.compiling import compiled, compiled_in_any_order, over_portions

__all__ = ["Near", "Split", "split"]

_RUN = 256
"""Scores that are looked at together."""

_ONE, _NONE = np.float32(1), np.float32(0)
"""What is counted in: float32 adds whole numbers below 2^24 exactly, in any order, and many at a time."""

_FEW = 64
"""Windows of a row up to which a pass for each is faster than bisection."""


class Near(NamedTuple):
    """Scores within windows: where they stand."""

    row: Int[Tensor, "near"]
    positive: Int[Tensor, "near"]
    column: Int[Tensor, "near"]


class Split(NamedTuple):
    """Scores of a tile against windows.

    Attributes:
        above: scores above the window of each positive.
        within: scores in it.
        crowded: rows that have more scores within windows than were to be listed.
        near: the scores within the windows of all other rows.
    """

    above: Int[Tensor, "query positive"]
    within: Int[Tensor, "query positive"]
    crowded: Bool[Tensor, "query"]
    near: Near


def split(
    scores: Shaped[Tensor, "query item"],
    low: Shaped[Tensor, "query positive"],
    high: Shaped[Tensor, "query positive"],
    most: int,
) -> Split:
    """Part the scores of every query at the window of each of its positives.

    Args:
        scores: float32, float64 or int64, on the CPU.
        low: smallest score within the window, of the type of the scores, rising within a query; where padded, more than
            every score.
        high: largest score within the window, likewise.
        most: how many scores within windows are listed for a query; a query with more is crowded.

    Cost: one pass over the scores for each window; of more than 64, one pass, and a bisection for each score that
        reaches the lowest window. On as many threads as torch has.
    """
    arrays = scores.numpy(), low.contiguous().numpy(), high.contiguous().numpy()
    above, within = np.zeros((2, *low.shape), np.int64)
    over_portions(_count, len(scores), *arrays, above, within)
    many = within.sum(1)
    crowded = many > most
    many[crowded] = 0
    starts = many.cumsum() - many
    near = np.empty((3, int(many.sum())), np.int64)
    if near.size:
        over_portions(_list, len(scores), *arrays, within, many, starts, *near)
    return Split(
        torch.from_numpy(above),
        torch.from_numpy(within),
        torch.from_numpy(crowded),
        Near(*torch.from_numpy(near)),
    )


@compiled
@no_type_check
def _place(edges, score, strict):
    """How many of some rising edges are below a score, or not above it."""
    first, last = 0, len(edges)
    while first < last:
        middle = (first + last) // 2
        if edges[middle] < score or (not strict and edges[middle] == score):
            first = middle + 1
        else:
            last = middle
    return first


@compiled_in_any_order
@no_type_check
def _count(first, last, scores, low, high, above, within):
    """Count the scores above and within each window of some rows."""
    positives = low.shape[1]
    for row in range(first, last):
        line, different = scores[row], 0
        for positive in range(positives):
            different += positive == 0 or low[row, positive] != low[row, positive - 1]
        if different > _FEW:
            _place_all(scores[row], low[row], high[row], above[row], within[row])
            continue
        for positive in range(positives):
            least, most = low[row, positive], high[row, positive]
            if positive > 0 and least == low[row, positive - 1] and most == high[row, positive - 1]:
                above[row, positive], within[row, positive] = (
                    above[row, positive - 1],
                    within[row, positive - 1],
                )
                continue
            over, not_under = _NONE, _NONE
            for column in range(len(line)):
                over += _ONE if line[column] > most else _NONE
                not_under += _ONE if line[column] >= least else _NONE
            above[row, positive], within[row, positive] = int(over), int(not_under - over)


@compiled_in_any_order
@no_type_check
def _place_all(scores, low, high, above, within):
    """Count the scores of a row by their places among the windows."""
    positives, lowest = len(low), low[0]
    for start in range(0, len(scores), _RUN):
        run = scores[start : start + _RUN]
        reached = _NONE
        for column in range(len(run)):
            reached += _ONE if run[column] >= lowest else _NONE
        if reached == 0:
            continue
        for score in run:
            if score >= lowest:
                over, reaching = _place(high, score, True), _place(low, score, False)
                if over > 0:
                    above[over - 1] += 1
                within[reaching - 1] += 1
    # What is above a window is above the windows before it, too; so far each was counted at the last of them.
    for positive in range(positives - 1, 0, -1):
        above[positive - 1] += above[positive]
        within[positive - 1] += within[positive]
    for positive in range(positives):
        within[positive] -= above[positive]


@compiled_in_any_order
@no_type_check
def _list(first, last, scores, low, high, within, many, starts, rows, positives, columns):
    """Write down where the scores within the windows of some rows stand."""
    items = scores.shape[1]
    for row in range(first, last):
        if many[row] == 0:
            continue
        line, place = scores[row], starts[row]
        for positive in range(low.shape[1]):
            left, start = within[row, positive], 0
            least, most = low[row, positive], high[row, positive]
            while left > 0:
                stop = min(start + _RUN, items)
                over, not_under = _NONE, _NONE
                for column in range(start, stop):
                    over += _ONE if line[column] > most else _NONE
                    not_under += _ONE if line[column] >= least else _NONE
                here = int(not_under - over)
                if here > 0:
                    for column in range(start, stop):
                        if least <= line[column] <= most:
                            rows[place], positives[place], columns[place] = row, positive, column
                            place += 1
                    left -= here
                start = stop

"""Counting the scores of a tile above each positive, and finding those that are too near to tell; compiled.

Positives stand in rising order. The scores of a row are read once, in short runs: a run without a score that reaches
the lowest positive is done with one comparison each, which is nearly every run of a good embedding. Other scores find
their place among the positives by bisection. The row is read again only where few scores are within a window.
"""

from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from metricgrad.metrics.compiling import compiled, over_portions

__all__ = ["Near", "Split", "split"]

_RUN = 64
"""Scores that are looked at together."""


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

    Cost: one pass over the scores, and for each score that reaches the lowest positive a bisection of these; on as many
        threads as torch has.
    """
    arrays = scores.numpy(), low.contiguous().numpy(), high.contiguous().numpy()
    above, within = np.zeros((2, *low.shape), np.int64)
    columns, met = np.empty((len(scores), most), np.int32), np.zeros(len(scores), np.int64)
    over_portions(_count, len(scores), *arrays, above, within, columns, met)
    many = within.sum(1)
    crowded = many > most
    many[crowded] = met[crowded] = 0
    starts = many.cumsum() - many
    near = np.empty((3, int(many.sum())), np.int64)
    if near.size:
        over_portions(_list, len(scores), *arrays, columns, met, starts, *near)
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


@compiled
@no_type_check
def _count(first, last, scores, low, high, above, within, columns, met):
    """Count the scores above and within each window of some rows, and keep where the first within any stand."""
    items, positives = scores.shape[1], low.shape[1]
    if positives == 0:
        return
    for row in range(first, last):
        lowest = low[row, 0]
        for start in range(0, items, _RUN):
            stop = min(start + _RUN, items)
            reached = np.int32(0)
            for column in range(start, stop):
                reached += np.int32(scores[row, column] >= lowest)
            if reached == 0:
                continue
            for column in range(start, stop):
                score = scores[row, column]
                if score >= lowest:
                    over = _place(high[row], score, True)
                    reaching = _place(low[row], score, False)
                    if over > 0:
                        above[row, over - 1] += 1
                    within[row, reaching - 1] += 1
                    if reaching > over and met[row] < columns.shape[1]:
                        columns[row, met[row]] = column
                        met[row] += 1
        # What is above a window is above the windows before it, too; so far each was counted at the last of them.
        for positive in range(positives - 1, 0, -1):
            above[row, positive - 1] += above[row, positive]
            within[row, positive - 1] += within[row, positive]
        for positive in range(positives):
            within[row, positive] -= above[row, positive]


@compiled
@no_type_check
def _list(first, last, scores, low, high, columns, met, starts, rows, positives, places):
    """Write down which windows the scores that were kept are within."""
    for row in range(first, last):
        place = starts[row]
        for number in range(met[row]):
            column = columns[row, number]
            score = scores[row, column]
            for positive in range(_place(high[row], score, True), _place(low[row], score, False)):
                rows[place], positives[place], places[place] = row, positive, column
                place += 1

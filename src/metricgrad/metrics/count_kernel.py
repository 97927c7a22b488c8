"""Counting the scores of a tile above each positive, and finding those that are too near to tell; compiled.

One pass over a row of scores counts both sides of a positive's window. The row is read again only where a score is
within the window, which is rare beyond the positive itself.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad.metrics.compiling import compiled

__all__ = ["Split", "split"]


class Split(NamedTuple):
    """Scores of a tile against windows.

    Attributes:
        above: scores above the window of each positive.
        within: scores in it, all together.
        near: row, positive and column of each of these; None where there are more than were asked for.
    """

    above: Int[Tensor, "query positive"]
    within: int
    near: tuple[Int[Tensor, "near"], Int[Tensor, "near"], Int[Tensor, "near"]] | None


def split(
    scores: Float[Tensor, "query item"],
    low: Float[Tensor, "query positive"],
    high: Float[Tensor, "query positive"],
    most: int,
) -> Split:
    """Part the scores of every query at the window of each of its positives.

    Args:
        scores: float32, on the CPU.
        low: smallest score within the window, float32; infinite where padded.
        high: largest score within the window.
        most: how many scores within windows are listed.

    Cost: one pass over the scores for each positive, on as many threads as torch has.
    """
    arrays = scores.numpy(), low.contiguous().numpy(), high.contiguous().numpy()
    counts = np.zeros((2, *low.shape), np.int64)
    _over_rows(_count, len(scores), *arrays, *counts)
    above, within = counts
    total = int(within.sum())
    near = None
    if total <= most:
        starts = (within.cumsum() - within.ravel()).reshape(within.shape)
        found = np.empty((3, total), np.int64)
        _over_rows(_list, len(scores), *arrays, within, starts, *found)
        row, positive, column = torch.from_numpy(found)
        near = row, positive, column
    return Split(torch.from_numpy(above), total, near)


def _over_rows(kernel, count: int, *arrays: np.ndarray) -> None:
    """Run a kernel over portions of the rows."""
    threads = torch.get_num_threads()
    edges = [count * part // threads for part in range(threads + 1)]
    if threads == 1 or count < threads:
        kernel(0, count, *arrays)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda first, last: kernel(first, last, *arrays), edges[:-1], edges[1:]))


@compiled
@no_type_check
def _count(first, last, scores, low, high, above, within):
    """Count the scores above and within each window of some rows."""
    for row in range(first, last):
        for positive in range(low.shape[1]):
            least, most = low[row, positive], high[row, positive]
            over, not_under = np.int32(0), np.int32(0)
            for column in range(scores.shape[1]):
                over += np.int32(scores[row, column] > most)
                not_under += np.int32(scores[row, column] >= least)
            above[row, positive] = over
            within[row, positive] = not_under - over


@compiled
@no_type_check
def _list(first, last, scores, low, high, within, starts, rows, positives, columns):
    """Write down where the scores within the windows of some rows stand."""
    for row in range(first, last):
        for positive in range(low.shape[1]):
            left, place = within[row, positive], starts[row, positive]
            column = 0
            while left > 0:
                if low[row, positive] <= scores[row, column] <= high[row, positive]:
                    rows[place], positives[place], columns[place] = row, positive, column
                    place += 1
                    left -= 1
                column += 1

"""What the compiled decodes share: the two sorted lists of a unit, their prefix sums, and the units of each thread."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from metricgrad.relax.kernels.compiled import compiled
from metricgrad.relax.kernels.threads import parts, run_on_threads

__all__ = ["arrays", "on_units", "prefix_sums", "split"]


@compiled()
def split(scores, kinds, kind):
    """Return the items of one kind (1 positive, 0 negative) and their scores, both by descending score."""
    size = 0
    for item in range(kinds.shape[0]):
        size += kinds[item] == kind
    items, values = np.empty(size, np.int64), np.empty(size)
    place = 0
    for item in range(kinds.shape[0]):
        if kinds[item] == kind:
            items[place], values[place] = item, -scores[item]
            place += 1
    order = np.argsort(values)
    return items[order], -values[order]


@compiled()
def prefix_sums(negatives, factor):
    """Return 0 and the sums of the first 1, 2, ... values, times a factor."""
    sums = np.empty(negatives.shape[0] + 1)
    sums[0] = 0
    for c in range(negatives.shape[0]):
        sums[c + 1] = sums[c] + factor * negatives[c]
    return sums


def arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """Return contiguous arrays over the memory of tensors."""
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


def on_units(work: Callable[[int, int], None], units: int) -> None:
    """Run on ranges of units, one for each thread."""
    ranges = parts(units, max(1, min(torch.get_num_threads(), units)))
    run_on_threads(lambda number: work(*ranges[number]), len(ranges))

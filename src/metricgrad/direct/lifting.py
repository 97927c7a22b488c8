"""Divide and conquer for a concave table and a positive sign, in plain torch: every negative finds its own place.

The gain of lifting negative j above positive i does not grow with j where the table is concave. So the best places
of the negatives, taken one by one, come out in order, and the middle negative's place halves what is left for the
others. A level of halves is one pass over at most (positives + halves) cells.
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["lift_each"]


def lift_each(
    gain: Callable[[Tensor, Tensor], Tensor], positives: int, negatives: int, device: torch.device
) -> Tensor:
    """Return how many negatives stand above each positive in the best placement (exact for falling gains).

    Args:
        gain: `(i, j) -> Tensor`, the gain of lifting negative j above positive i, numbered from 1, element by
            element; it must not increase with j.
        positives: m.
        negatives: N.
        device: of the work.

    Returns:
        [positive] int64, not decreasing.
    """
    place = torch.full((negatives + 2,), positives, dtype=torch.int64, device=device)
    place[0] = 0
    known = torch.tensor([0, negatives + 1], device=device)
    while len(known) < negatives + 2:
        before, after = known[:-1], known[1:]
        open_ones = after - before > 1
        before, after = before[open_ones], after[open_ones]
        middle = (before + after) // 2
        place[middle] = _best_places(gain, middle, place[before], place[after])
        known = torch.cat([known, middle]).sort().values
    return torch.bincount(place[1:-1], minlength=positives + 1).cumsum(0)[:positives]


def _best_places(gain: Callable[[Tensor, Tensor], Tensor], j: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
    """Return for each negative the place r in lo..hi with the largest sum of gains over positives r+1..hi."""
    lengths = hi - lo + 1  # places hi, hi - 1, ..., lo; the first one lifts nobody
    ends = lengths.cumsum(0)
    owner = torch.repeat_interleave(torch.arange(len(j), device=j.device), lengths)
    step = torch.arange(int(ends[-1]), device=j.device) - (ends - lengths)[owner]
    lifts = torch.where(step > 0, gain(hi[owner] - (step - 1).clamp(min=0), j[owner]), 0)
    sums = lifts.cumsum(0)
    sums = sums - (sums[ends - lengths])[owner]
    best = torch.full(j.shape, -torch.inf, dtype=sums.dtype, device=j.device)
    best = best.scatter_reduce(0, owner, sums, "amax")
    steps = torch.where(sums == best[owner], step, int(ends[-1]))
    first = torch.full_like(j, int(ends[-1])).scatter_reduce(0, owner, steps, "amin")
    return hi - first

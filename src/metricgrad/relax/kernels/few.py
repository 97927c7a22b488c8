"""Ranks and gradients of a small problem: the compiled loops over whole rows of a matrix of scores that is there.

One thread does them: a few hundred rows are done before a second one has begun.
"""

import numpy as np

from metricgrad.relax.kernels.compiled import REORDERED, compiled
from metricgrad.relax.kernels.sparse import among_positives, positive_slopes
from metricgrad.relax.kernels.steps import (
    REACH,
    add_slopes_of_one,
    fill_factors_of_one,
    own_factor,
    steps_of_one,
)

__all__ = ["ranks_of_few", "slopes_of_few"]


@compiled(REORDERED)
def ranks_of_few(scores, positives, counts, excluded, scale, laplace, among, ranks, levels):
    """Fill both ranks [query, positive] and the levels; 1 and 0 beyond the count.

    Args:
        scores: [query, item]; becomes -inf where an item does not compete.
        positives: [query, positive] item numbers.
        counts: [query] how many.
        excluded: [query] item that does not compete, -1 for none; or nothing.
        scale: 1 / temperature.
        laplace: which step.
        among: receives the ranks among all items.
        ranks: receives the ranks among the positives.
        levels: receives the similarities of the positives.
    """
    real = scores.dtype.type
    factors, reach = np.empty(scores.shape[1], scores.dtype), real(REACH) / scale
    for query in range(scores.shape[0]):
        row, centre = scores[query], real(0)
        if len(excluded) and excluded[query] >= 0:
            row[excluded[query]] = -np.inf
        for p in range(positives.shape[1]):
            if p >= counts[query]:
                among[query, p], ranks[query, p], levels[query, p] = 1, 1, 0
                continue
            level = row[positives[query, p]]
            if p == 0 or abs(level - centre) > reach:
                centre = level + reach
                fill_factors_of_one(row, centre, scale, factors)
            own = real(own_factor(level, centre, scale))
            # a positive meets itself with a step of 1/2, which is not counted: 1 + (sum - 1/2)
            among[query, p] = real(0.5) + steps_of_one(factors, own, laplace)
            levels[query, p] = level
    among_positives(levels, counts, scale, laplace, ranks, 0, len(levels))


@compiled(REORDERED)
def slopes_of_few(scores, positives, counts, levels, scale, laplace, of_all, of_positives, gradient):
    """Overwrite the gradient [query, item] by the scores.

    Args:
        scores: [query, item] as `ranks_of_few` left them.
        positives: as there.
        counts: as there.
        levels: as that filled them.
        scale: as there.
        laplace: as there.
        of_all: [query, positive] gradient by the ranks among all items; or nothing.
        of_positives: the same by the ranks among the positives.
        gradient: [query, item]; its numbers do not matter.
    """
    real = scores.dtype.type
    factors, reach = np.empty(scores.shape[1], scores.dtype), real(REACH) / scale
    slope = real(0.5 if laplace else 0.25)  # of a positive at itself: what it gains there it loses as a level
    of_levels = np.zeros(levels.shape)
    if len(of_positives):
        positive_slopes(levels, counts, scale, laplace, of_positives * scale, of_levels, 0, len(levels))
    for query in range(scores.shape[0]):
        row, of_row, centre, filled = scores[query], gradient[query], real(0), False
        for z in range(of_row.shape[0]):
            of_row[z] = 0
        for p in range(counts[query] if len(of_all) else 0):
            weight, level = of_all[query, p] * scale, levels[query, p]
            if weight != 0:
                if not filled or abs(level - centre) > reach:
                    centre, filled = level + reach, True
                    fill_factors_of_one(row, centre, scale, factors)
                own = real(own_factor(level, centre, scale))
                total = add_slopes_of_one(factors, own, laplace, weight, of_row)
                of_row[positives[query, p]] -= slope * weight
                of_levels[query, p] -= weight * np.float64(total - slope)
        for p in range(counts[query]):
            of_row[positives[query, p]] += of_levels[query, p]

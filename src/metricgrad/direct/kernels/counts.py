"""The best set of items under a loss of counts, on the CPU.

Of positives and of negatives a set takes the first ones, so it is two numbers, a and b. The best b for a does not fall
(positive sign) or not rise (negative sign) with a for most losses: the middle a then halves the b that are left for
the others.
"""

import numpy as np
from torch import Tensor

from metricgrad.direct.kernels.units import arrays, on_units, prefix_sums, split
from metricgrad.relax.kernels.compiled import compiled

__all__ = ["decoded"]

STACK = 130
"""Open halves of a divided list: two for each bit of its length."""


@compiled()
def _loss(code, squared_beta, a, b, P, N):
    """Return what `direct/counts.py` says for float counts."""
    if code == 0:
        return (P - a + b) / max(P + N, 1.0)
    if code == 1:
        kinds = (P > 0) + (N > 0)
        return ((P - a) / max(P, 1.0) + b / max(N, 1.0)) / max(kinds, 1)
    if code == 2:
        total = a + b + squared_beta * P
        return 1 - (1 + squared_beta) * a / total if total > 0 else 0.0
    return 1 - a / (P + b) if P + b > 0 else 0.0


@compiled()
def _best_negatives(sums, code, squared_beta, strength, a, P, first, last):
    """Return the best b among first..last for a, the smallest of equals, and what it gives."""
    best, where = -np.inf, first
    for b in range(first, last + 1):
        value = sums[b] + strength * _loss(code, squared_beta, float(a), float(b), P, sums.shape[0] - 1.0)
        if value > best:
            best, where = value, b
    return where, best


@compiled()
def _best_pair(positive_sums, negative_sums, code, squared_beta, strength, monotone):
    """Return a, b and the largest value of positive_sums[a] + negative_sums[b] + strength * loss(a, b)."""
    P, N = positive_sums.shape[0] - 1, negative_sums.shape[0] - 1
    best, best_a, best_b = -np.inf, 0, 0
    if not monotone:
        for a in range(P + 1):
            b, value = _best_negatives(negative_sums, code, squared_beta, strength, a, float(P), 0, N)
            if positive_sums[a] + value > best:
                best, best_a, best_b = positive_sums[a] + value, a, b
        return best_a, best_b, best
    stack = np.empty((STACK, 4), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, P, 0, N
    size = 1
    while size:
        size -= 1
        first, last, low, high = stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3]
        if first > last:
            continue
        a = (first + last) // 2
        b, value = _best_negatives(negative_sums, code, squared_beta, strength, a, float(P), low, high)
        if positive_sums[a] + value > best:
            best, best_a, best_b = positive_sums[a] + value, a, b
        below_low, below_high, above_low, above_high = low, b, b, high
        if strength < 0:
            below_low, below_high, above_low, above_high = b, high, low, b
        stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3] = first, a - 1, below_low, below_high
        size += 1
        stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3] = a + 1, last, above_low, above_high
        size += 1
    return best_a, best_b, best


@compiled()
def _decode_units(scores, kinds, code, squared_beta, strength, monotone, first, last, statistic, values):
    for unit in range(first, last):
        positive_items, positives = split(scores[unit], kinds[unit], 1)
        negative_items, negatives = split(scores[unit], kinds[unit], 0)
        a, b, values[unit] = _best_pair(
            prefix_sums(positives, 1.0), prefix_sums(negatives, 1.0), code, squared_beta, strength, monotone
        )
        for place in range(a):
            statistic[unit, positive_items[place]] = 1
        for place in range(b):
            statistic[unit, negative_items[place]] = 1


def decoded(
    scores: Tensor, kinds: Tensor, *, code: int, beta: float, strength: float, monotone: bool
) -> tuple[Tensor, Tensor]:
    """Return the set that maximises F + strength * L for every unit, and that maximum.

    Args:
        scores: [unit, item] float64, finite.
        kinds: [unit, item] int8: 1 positive, 0 negative, -1 no item.
        code: of the loss.
        beta: of f_beta.
        strength: sign times epsilon.
        monotone: divide and conquer; else the whole table, which is not stored.

    Returns:
        Membership [unit, item] float64 and values [unit].
    """
    statistic, values = scores.new_zeros(scores.shape), scores.new_zeros(len(scores))
    given = (*arrays(scores, kinds), code, beta**2, strength, monotone)
    results = (statistic.numpy(), values.numpy())
    on_units(lambda first, last: _decode_units(*given, first, last, *results), len(scores))
    return statistic, values

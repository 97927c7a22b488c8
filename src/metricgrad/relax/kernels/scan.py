"""Soft ranks of sorted lists and their gradient: compiled loops, each equal to the torch text in `relax/scan.py`.

One pass up and one down a list make the Laplace ranks. The logistic step of two items i < j is E_j / (E_i + E_j)
with E = exp(-z): exponentials are made once an item, not once a pair, against an anchor that is never further than
two windows away. Every pair is met once and serves both of its items. The permutation is undone on the way: a list
is written in its own order while it is walked in the sorted one.
"""

import math
from typing import no_type_check

import numpy as np

from metricgrad.relax.kernels.compiled import compiled, inlined

__all__ = ["laplace_gradient", "laplace_ranks", "logistic_gradient", "logistic_ranks"]

SUMS = {"reassoc", "contract", "nsz"}
"""Sums over pairs may be taken in another order, in vectors; the result is the same in every run."""


@compiled()
@no_type_check
def laplace_ranks(ordered, order, counts, temperature, descending, ranks):
    """Write the soft ranks for the Laplace step into `ranks`.

    Args:
        ordered: [row, item] scores in rising order.
        order: [row, item] where each stands in the list.
        counts: [row] how many take part.
        temperature: width of the step, >= 0.
        descending: whether the highest score has the first rank.
        ranks: [row, item] overwritten.
    """
    decay, lower = np.empty(ordered.shape[1]), np.empty(ordered.shape[1])
    for row in range(len(ordered)):
        count = _begin(ordered[row], order[row], counts[row], 1, ranks[row])
        _fill_decay(ordered[row, :count], temperature, decay)
        below, above = 0.0, 0.0
        for i in range(count):
            below = decay[i] * (below + 1)
            lower[i] = below
        for i in range(count - 1, -1, -1):
            balance = (lower[i] - above) / 2
            ranks[row, order[row, i]] = count - i + balance if descending else i + 1 - balance
            above = decay[i] * (above + 1)


@compiled()
@no_type_check
def laplace_gradient(ordered, order, counts, temperature, descending, upstream, gradient):
    """Write the gradient by the scores into `gradient` [row, item], given `upstream`, the one by the ranks."""
    items = ordered.shape[1]
    decay, weights, pull = np.empty(items), np.empty(items), np.empty(items)
    for row in range(len(ordered)):
        count = _begin(ordered[row], order[row], counts[row], 0, gradient[row])
        first, last = _gather_finite(ordered[row], order[row], count, upstream[row], weights, gradient[row])
        _fill_decay(ordered[row, first:last], temperature, decay[first:])
        reach, part = 0.0, 0.0
        for i in range(first, last):
            if i > first:
                part = decay[i] * (part + (reach + 1) * (weights[i - 1] - weights[i]))
                reach = decay[i] * (reach + 1)
            pull[i] = part
        reach, part, width = 0.0, 0.0, temperature if descending else -temperature
        for i in range(last - 1, first - 1, -1):
            if i < last - 1:
                part = decay[i + 1] * (part + (reach + 1) * (weights[i + 1] - weights[i]))
                reach = decay[i + 1] * (reach + 1)
            gradient[row, order[row, i]] = (pull[i] + part) / 2 / width


@compiled()
@no_type_check
def logistic_ranks(ordered, order, counts, temperature, descending, window, ranks):
    """Write the soft ranks for the logistic step into `ranks`, see `laplace_ranks`; `window` in temperatures."""
    items = ordered.shape[1]
    balance, exponentials = np.empty(items), np.empty(items)
    for row in range(len(ordered)):
        count = _begin(ordered[row], order[row], counts[row], 1, ranks[row])
        first, last = _finite(ordered[row], count)
        for i in range(
            count
        ):  # between two equal infinities: half of those before, minus half of those after
            balance[i] = i - (first - 1) / 2 if i < first else i - (last + count - 1) / 2 if i >= last else 0
        start = first
        while start < last:
            own, stop = _fill_exponentials(ordered[row], start, last, temperature, window, exponentials)
            end = start
            for i in range(start, own):
                end = _end_of_window(ordered[row], i, max(end, i + 1), stop, temperature, window)
                balance[i] -= _add_steps(exponentials[i], exponentials[i + 1 : end], balance[i + 1 : end])
            start = own
        for i in range(count):
            ranks[row, order[row, i]] = count - i + balance[i] if descending else i + 1 - balance[i]


@compiled()
@no_type_check
def logistic_gradient(ordered, order, counts, temperature, descending, window, upstream, gradient):
    """Write the gradient by the scores into `gradient`, given `upstream`, the one by the ranks."""
    items = ordered.shape[1]
    weights, pull, exponentials = np.empty(items), np.empty(items), np.empty(items)
    for row in range(len(ordered)):
        count = _begin(ordered[row], order[row], counts[row], 0, gradient[row])
        first, last = _gather_finite(ordered[row], order[row], count, upstream[row], weights, gradient[row])
        pull[first:last] = 0
        start = first
        while start < last:
            own, stop = _fill_exponentials(ordered[row], start, last, temperature, window, exponentials)
            end = start
            for i in range(start, own):
                end = _end_of_window(ordered[row], i, max(end, i + 1), stop, temperature, window)
                pull[i] += _add_slopes(
                    exponentials[i],
                    exponentials[i + 1 : end],
                    weights[i],
                    weights[i + 1 : end],
                    pull[i + 1 : end],
                )
            start = own
        for i in range(first, last):
            gradient[row, order[row, i]] = pull[i] / (temperature if descending else -temperature)


@compiled()
@no_type_check
def _begin(values, places, count, outside, result):
    """Write what needs no arithmetic; return how many items are left to do: none where there is NaN."""
    for i in range(count, len(values)):
        result[places[i]] = outside
    if count > 0 and np.isnan(values[count - 1]):  # NaN is sorted to the end
        for i in range(count):
            result[places[i]] = np.nan
        return 0
    return count


@compiled()
@no_type_check
def _finite(values, count):
    """Return the range of the finite values among the first `count`, which rise."""
    first, last = 0, count
    while first < last and values[first] == -np.inf:
        first += 1
    while first < last and values[last - 1] == np.inf:
        last -= 1
    return first, last


@compiled()
@no_type_check
def _gather_finite(values, places, count, upstream, weights, gradient):
    """Fetch the weights of the finite items and give the others a gradient of 0; return the range of the finite."""
    first, last = _finite(values, count)
    for i in range(count):
        if first <= i < last:
            weights[i] = upstream[places[i]]
        else:
            gradient[places[i]] = 0
    return first, last


@compiled()
@no_type_check
def _fill_decay(values, temperature, decay):
    """Write exp(z_{i-1} - z_i), 0 for the first item; equal values, infinite ones included, are no way apart."""
    for i in range(len(values)):
        if i == 0:
            decay[i] = 0
        elif values[i] == values[i - 1]:
            decay[i] = 1
        else:
            decay[i] = math.exp((np.float64(values[i - 1]) - np.float64(values[i])) / temperature)


@compiled()
@no_type_check
def _fill_exponentials(values, start, last, temperature, window, exponentials):
    """Write exp(z_start - z) for the items within two windows of an anchor.

    Returns:
        Where the items within one window end (they are done against this anchor), and where those within two do.
    """
    own, stop, anchor = start, start, np.float64(values[start])
    while stop < last:
        distance = (np.float64(values[stop]) - anchor) / temperature
        if distance > 2 * window:
            break
        exponentials[stop] = math.exp(-distance)
        stop += 1
        if distance <= window:
            own = stop
    return own, stop


@compiled()
@no_type_check
def _end_of_window(values, i, end, stop, temperature, window):
    """Return the first item from `end` on that is more than a window above item i."""
    own = np.float64(values[i])
    while end < stop and (np.float64(values[end]) - own) / temperature <= window:
        end += 1
    return end


@inlined(SUMS)
@no_type_check
def _add_steps(own, exponentials, balance):
    """Add the low side of the step between one item and those above it to theirs; return the sum."""
    total = 0.0
    for j in range(len(exponentials)):
        step = exponentials[j] / (own + exponentials[j])
        balance[j] += step
        total += step
    return total


@inlined(SUMS)
@no_type_check
def _add_slopes(own, exponentials, own_weight, weights, pull):
    """Take slope times difference of weights between one item and those above it from theirs; return the sum."""
    total = 0.0
    for j in range(len(exponentials)):
        both = own + exponentials[j]
        part = own * exponentials[j] / (both * both) * (weights[j] - own_weight)
        pull[j] -= part
        total += part
    return total

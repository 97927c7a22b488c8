"""Gradients of few entries: the compiled loops of a backward pass that needs no matrix product.

The entries are lists by query (compressed rows): scores inside a window, and the positives. A row of the result is a
weighted sum of the other side's rows, so every thread writes rows of its own and the order of sums is fixed.
"""

import numpy as np

from metricgrad.relax.kernels.compiled import REORDERED, compiled, inlined
from metricgrad.relax.kernels.steps import exponential

__all__ = [
    "among_positives",
    "count_numbers",
    "entry_slopes",
    "fill_rows",
    "gather_rows",
    "levels_of",
    "positive_slopes",
    "transpose",
]


@compiled(REORDERED)
def levels_of(queries, items, positives, counts, levels, start, stop):
    """Fill levels[query, positive] with the products of the rows `start` to `stop` of queries."""
    for query in range(start, stop):
        for p in range(counts[query]):
            left, right = queries[query], items[positives[query, p]]
            total = left.dtype.type(0)
            for d in range(left.shape[0]):
                total += left[d] * right[d]
            levels[query, p] = total


@inlined(REORDERED)
def _step(u, laplace):
    if laplace:
        v = 0.5 * exponential(-abs(np.float64(u)), 0.0)
        return 1.0 - v if u > 0 else v
    return 1.0 / (1.0 + exponential(-np.float64(u), 0.0))


@inlined(REORDERED)
def _slope(u, laplace):
    v = exponential(-abs(np.float64(u)), 0.0)
    if laplace:
        return 0.5 * v
    return v / ((1.0 + v) * (1.0 + v))


@compiled(REORDERED)
def among_positives(levels, counts, scale, laplace, ranks, start, stop):
    """Fill ranks[query, positive] among the positives alone."""
    for query in range(start, stop):
        for p in range(counts[query]):
            total = 1.0
            for other in range(counts[query]):
                if other != p:
                    total += _step((levels[query, other] - levels[query, p]) * scale, laplace)
            ranks[query, p] = total


@compiled(REORDERED)
def positive_slopes(levels, counts, scale, laplace, weights, of_levels, start, stop):
    """Add the gradient by the levels that comes from the ranks among the positives."""
    for query in range(start, stop):
        for p in range(counts[query]):
            weight = weights[query, p]
            if weight != 0:
                for other in range(counts[query]):
                    if other != p:
                        slope = weight * _slope((levels[query, other] - levels[query, p]) * scale, laplace)
                        of_levels[query, other] += slope
                        of_levels[query, p] -= slope


@compiled()
def fill_rows(query, item, score, mirrored, next_free, row_item, row_score):
    """Sort noted entries into lists by query; a mirrored one goes into the lists of both its rows.

    `next_free` [query] says where the list of a query continues and is moved on.
    """
    for entry in range(len(query)):
        q, z = query[entry], item[entry]
        place = next_free[q]
        row_item[place], row_score[place] = z, score[entry]
        next_free[q] = place + 1
        if mirrored:
            place = next_free[z]
            row_item[place], row_score[place] = q, score[entry]
            next_free[z] = place + 1


@compiled(REORDERED)
def entry_slopes(first, last, row_score, counts, levels, scale, laplace, weights, of_levels, start, stop):
    """Overwrite noted scores with their gradients, and take the same from the positives they were compared with."""
    for query in range(start, stop):
        for entry in range(first[query], last[query]):
            score, total = row_score[entry], 0.0
            for p in range(counts[query]):
                weight = weights[query, p]
                if weight != 0:
                    slope = weight * _slope((score - levels[query, p]) * scale, laplace)
                    total += slope
                    of_levels[query, p] -= slope
            row_score[entry] = total


@compiled()
def count_numbers(first, last, numbers, lengths):
    """Count how often each number stands in the lists."""
    for row in range(len(first)):
        for entry in range(first[row], last[row]):
            lengths[numbers[entry]] += 1


@compiled()
def transpose(first, last, row_item, row_value, next_free, column_query, column_value):
    """Sort lists by query into lists by item; `next_free` [item] as in `fill_rows`."""
    for query in range(len(first)):
        for entry in range(first[query], last[query]):
            place = next_free[row_item[entry]]
            column_query[place], column_value[place] = query, row_value[entry]
            next_free[row_item[entry]] = place + 1


@compiled(REORDERED)
def gather_rows(own, noted, source, target, start, stop):
    """Add to every row of `target` the rows of `source` in both of its lists, each times its value.

    In a tight class the values nearly cancel and the rows are nearly the same: the sum is taken in float64.
    """
    total = np.empty(target.shape[1])
    for row in range(start, stop):
        for d in range(total.shape[0]):
            total[d] = 0
        for first, last, numbers, values in (own, noted):
            for entry in range(first[row], last[row]):
                value, other = values[entry], source[numbers[entry]]
                if value != 0:
                    for d in range(total.shape[0]):
                        total[d] += value * other[d]
        for d in range(total.shape[0]):
            target[row, d] += total[d]

"""Placing negatives above positives on the CPU: what `rows.py` and `lifting.py` say, compiled.

Positive i with c negatives above it contributes sums[c] - lift_i c - weight_i curve[c + i] (up to a constant), where
`sums` are prefix sums of the negatives. The best non-decreasing c is wanted.

For a concave table and the positive sign every negative finds its place by itself. Otherwise every positive does,
and only where the answers are out of order the row programme is needed: a stretch of positives is solved on its own,
and joined to its neighbours while their answers still cross. When no two cross, each stretch has its own best and so
has the whole. In practice nearly all stretches are single positives.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metricgrad.direct.kernels.units import arrays, on_units, prefix_sums, split
from metricgrad.relax.kernels.compiled import REORDERED, compiled, inlined

__all__ = ["decoded", "predicted"]

CHUNK = 64
"""Cells that are dismissed together; the bits of a word."""
TURNS = 5
"""How often stretches are joined before all positives are solved as one."""
STACK = 130
"""Open halves of a divided list: two for each bit of its length."""


@inlined(REORDERED)
def _gains(sums, curve, lift, weight, first, out):
    """Write sums[c] - lift * c - weight * curve[c] for the cells that the slices hold; the first is cell `first`."""
    for place in range(out.shape[0]):
        out[place] = sums[place] - lift * (first + place) - weight * curve[place]


@inlined(REORDERED)
def _add(before, out):
    for place in range(out.shape[0]):
        out[place] += before[place]


@inlined(REORDERED)
def _largest(values):
    best = values[0]
    for place in range(1, values.shape[0]):
        best = max(best, values[place])
    return best


@compiled()
def _each_alone(lifts, sums, weight, curve, of_rank, low, high, counts):
    """Give every positive its best count, whatever the others have; the smallest of equals."""
    values = np.empty(CHUNK)
    for i in range(lifts.shape[0]):
        shift = i + 1 if of_rank else 0
        best, where = -np.inf, low[i]
        for first in range(low[i], high[i] + 1, CHUNK):
            last = min(first + CHUNK, high[i] + 1)
            part = values[: last - first]
            _gains(sums[first:last], curve[shift + first : shift + last], lifts[i], weight[i], first, part)
            if _largest(part) > best:
                for place in range(last - first):
                    if part[place] > best:
                        best, where = part[place], first + place
        counts[i] = where


@compiled()
def _rows(lifts, sums, weight, curve, shift, low, high, first_row, last_row, reach, best, bits, starts):
    """Carry `best[c]`, the most that the rows so far give with counts up to c, through rows first_row..last_row - 1.

    Args:
        lifts: [positive] what one more negative above it costs.
        sums: [count] prefix sums.
        weight: [positive].
        curve: [rank].
        shift: row i reads the curve at shift[i] + c.
        low: [positive] the window, its ends in order.
        high: [positive] last cell of the window.
        first_row: where to begin.
        last_row: where to end.
        reach: last cell up to which `best` is known; further on it stays the same.
        best: [count] overwritten.
        bits: words; a bit is set where the best grew. None are written where it is empty.
        starts: [positive] first word of each row.
    """
    values = np.empty(CHUNK)
    for i in range(first_row, last_row):
        for c in range(reach + 1, high[i] + 1):
            best[c] = best[reach]
        reach = high[i]
        line = curve[shift[i] :]
        running = -np.inf
        for first in range(low[i], high[i] + 1, CHUNK):
            last = min(first + CHUNK, high[i] + 1)
            part = values[: last - first]
            _gains(sums[first:last], line[first:last], lifts[i], weight[i], first, part)
            _add(best[first:last], part)
            word = np.uint64(0)
            if _largest(part) > running:
                for place in range(last - first):
                    if part[place] > running:
                        running = part[place]
                        word |= np.uint64(1) << np.uint64(place)
                    best[first + place] = running
            else:
                for place in range(last - first):
                    best[first + place] = running
            if bits.shape[0]:
                bits[starts[i] - starts[first_row] + (first - low[i]) // CHUNK] = word


@compiled()
def _way_back(low, high, first_row, last_row, count, bits, starts, counts):
    """Read the counts of rows last_row - 1 down to first_row from the bits; the next row's count is `count`."""
    for i in range(last_row - 1, first_row - 1, -1):
        count = min(count, high[i])
        place = count - low[i]
        word_at = starts[i] - starts[first_row] + place // CHUNK
        bit = place % CHUNK
        word = bits[word_at] & (~np.uint64(0) >> np.uint64(CHUNK - 1 - bit))
        while word == 0:
            word_at -= 1
            word = bits[word_at]
        top = 0
        while word > np.uint64(1):
            word >>= np.uint64(1)
            top += 1
        count = low[i] + (word_at - (starts[i] - starts[first_row])) * CHUNK + top
        counts[i] = count
    return count


@compiled()
def _row_after_row(lifts, sums, weight, curve, shift, low, high, limit, counts):
    """Give all positives their best counts together, with at most about `limit` words for the way back."""
    rows = lifts.shape[0]
    starts = np.zeros(rows + 1, np.int64)
    for i in range(rows):
        starts[i + 1] = starts[i] + (high[i] - low[i]) // CHUNK + 1
    block = rows if starts[rows] <= limit else max(1, math.ceil(math.sqrt(rows)))
    blocks = (rows + block - 1) // block
    best = np.zeros(high[rows - 1] + 1)
    saved = np.empty((blocks, best.shape[0] if blocks > 1 else 0))
    most = 0
    for number in range(blocks):
        first, last = number * block, min(rows, number * block + block)
        most = max(most, starts[last] - starts[first])
    nothing, bits = np.empty(0, np.uint64), np.empty(most, np.uint64)
    for number in range(blocks - 1):
        saved[number] = best
        first = number * block
        reach = best.shape[0] - 1 if first == 0 else high[first - 1]
        _rows(
            lifts, sums, weight, curve, shift, low, high, first, first + block, reach, best, nothing, starts
        )
    count = high[rows - 1]
    for number in range(blocks - 1, -1, -1):
        first, last = number * block, min(rows, number * block + block)
        if number < blocks - 1:
            best[:] = saved[number]
        reach = best.shape[0] - 1 if first == 0 else high[first - 1]
        _rows(lifts, sums, weight, curve, shift, low, high, first, last, reach, best, bits, starts)
        count = _way_back(low, high, first, last, count, bits, starts, counts)


@compiled()
def _all_together(lifts, sums, weight, curve, of_rank, low, high, limit, counts):
    """Give all positives their best non-decreasing counts."""
    rows = lifts.shape[0]
    _each_alone(lifts, sums, weight, curve, of_rank, low, high, counts)
    shift = np.arange(1, rows + 1) * (1 if of_rank else 0)
    begin = np.arange(rows)  # where the stretch begins in which a positive was solved
    least = np.empty(rows + 1, np.int64)
    for _ in range(TURNS):
        least[rows] = sums.shape[0]
        for i in range(rows - 1, -1, -1):
            least[i] = min(least[i + 1], counts[i])
        first, most, crossed = 0, 0, False
        for i in range(rows):
            most = max(most, counts[i])
            ends = i + 1 == rows or begin[i + 1] == i + 1
            if not ends or most > least[i + 1]:
                continue
            if begin[i] != first:
                crossed = True
                part = slice(first, i + 1)
                _row_after_row(
                    lifts[part],
                    sums,
                    weight[part],
                    curve,
                    shift[part],
                    low[part],
                    high[part],
                    limit,
                    counts[part],
                )
                begin[part] = first
            first = i + 1
        if not crossed:
            return
    _row_after_row(lifts, sums, weight, curve, shift, low, high, limit, counts)


@compiled()
def _windows(positives, negatives, upward, low, high):
    """Fill the counts that a positive can have: from what stands above it now up (`upward`), or up to that."""
    above, not_below = 0, 0
    for i in range(positives.shape[0]):
        while above < negatives.shape[0] and negatives[above] > positives[i]:
            above += 1
        while not_below < negatives.shape[0] and negatives[not_below] >= positives[i]:
            not_below += 1
        low[i] = above if upward else 0
        high[i] = negatives.shape[0] if upward else not_below


@compiled()
def _lift_each(positives, negatives, weight, curve, of_rank, factor, counts):
    """Give every negative its best place, halving the negatives; `counts` become the negatives above each positive.

    The gain of lifting negative j above positive i is weight_i (curve[j - 1] - curve[j]) - factor (p_i - n_j).
    """
    m, n = positives.shape[0], negatives.shape[0]
    below = np.zeros(m + 1, np.int64)  # by place: negatives with so many positives above them
    stack = np.empty((STACK, 4), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 1, n, 0, m
    size = 1
    while size:
        size -= 1
        a, b, lo, hi = stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3]
        if a > b:
            continue
        if lo == hi:
            below[lo] += b - a + 1
            continue
        j = (a + b) // 2
        best, place, total, score = 0.0, hi, 0.0, negatives[j - 1]
        for i in range(hi, lo, -1):
            at = (i if of_rank else 0) + j
            total += weight[i - 1] * (curve[at - 1] - curve[at]) - factor * (positives[i - 1] - score)
            if total > best:
                best, place = total, i - 1
        below[place] += 1
        stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3] = a, j - 1, lo, place
        stack[size + 1, 0], stack[size + 1, 1], stack[size + 1, 2], stack[size + 1, 3] = j + 1, b, place, hi
        size += 2
    total_below = 0
    for i in range(m):
        total_below += below[i]
        counts[i] = total_below


@compiled()
def _score(positives, sums, counts, pairs):
    """Return F of a ranking with so many negatives above each positive; a half count takes half of the next one.

    `sums` are prefix sums of the negatives times 2 / pairs.
    """
    n = sums.shape[0] - 1
    total = 0.0
    for i in range(positives.shape[0]):
        whole = int(counts[i])
        taken = sums[whole]
        if counts[i] > whole:
            taken += (counts[i] - whole) * (sums[whole + 1] - taken)
        total += (n - 2 * counts[i]) * positives[i] / pairs - sums[n] / 2 + taken
    return total


@compiled()
def _decode(positives, negatives, sums, shares, line, of_rank, strength, concave, limit, counts):
    """Fill the best counts of one query for one sign; return the value."""
    m, pairs = positives.shape[0], float(positives.shape[0]) * negatives.shape[0]
    if concave and strength > 0:
        _lift_each(positives, negatives, strength * shares, line, of_rank, 2 / pairs, counts)
    else:
        low, high = np.empty(m, np.int64), np.empty(m, np.int64)
        _windows(positives, negatives, strength > 0, low, high)
        lifts = 2 / pairs * positives
        _all_together(lifts, sums, strength * shares, line, of_rank, low, high, limit, counts)
    loss = 0.0
    for i in range(m):
        start = i + 1 if of_rank else 0
        loss += shares[i] * (line[start] - line[start + counts[i]])
    return _score(positives, sums, counts, pairs) + strength * loss


@compiled()
def _decode_queries(
    scores, kinds, weight, curve, of_rank, strengths, concave, limit, first, last, statistic, values
):
    for q in range(first, last):
        positive_items, positives = split(scores[q], kinds[q], 1)
        negative_items, negatives = split(scores[q], kinds[q], 0)
        m, n = positives.shape[0], negatives.shape[0]
        if m == 0 or n == 0:
            continue
        shares, line = weight[q % weight.shape[0], :m], curve[q % curve.shape[0]]
        sums = prefix_sums(negatives, 2 / (float(m) * n))
        counts = np.empty(m, np.int64)
        for s in range(strengths.shape[0]):
            values[s, q] = _decode(
                positives, negatives, sums, shares, line, of_rank, strengths[s], concave, limit, counts
            )
            place = 0
            for i in range(m):
                statistic[s, q, positive_items[i]] = counts[i]
            for j in range(n):
                while place < m and counts[place] <= j:
                    place += 1
                statistic[s, q, negative_items[j]] = place


@compiled()
def _half_counts(own, others, items, statistic):
    """Write how many of the others are larger, and half of those that are equal; both lists descend."""
    larger, at_least = 0, 0
    counts = np.empty(own.shape[0])
    for place in range(own.shape[0]):
        while larger < others.shape[0] and others[larger] > own[place]:
            larger += 1
        while at_least < others.shape[0] and others[at_least] >= own[place]:
            at_least += 1
        counts[place] = (larger + at_least) / 2
        statistic[items[place]] = counts[place]
    return counts


@compiled()
def _predict_queries(scores, kinds, first, last, statistic, values):
    for q in range(first, last):
        positive_items, positives = split(scores[q], kinds[q], 1)
        negative_items, negatives = split(scores[q], kinds[q], 0)
        if positives.shape[0] == 0 or negatives.shape[0] == 0:
            continue
        counts = _half_counts(positives, negatives, positive_items, statistic[q])
        _half_counts(negatives, positives, negative_items, statistic[q])
        pairs = float(positives.shape[0]) * negatives.shape[0]
        values[q] = _score(positives, prefix_sums(negatives, 2 / pairs), counts, pairs)


def decoded(
    scores: Tensor,
    kinds: Tensor,
    weight: Tensor,
    curve: Tensor,
    *,
    of_rank: bool,
    strengths: Sequence[float],
    concave: bool,
    table_bytes: int,
) -> list[tuple[Tensor, Tensor]]:
    """Return for each strength the ranking that maximises F + strength * sum_i ell_i(c_i), and that maximum.

    Args:
        scores: [query, item] float64, finite.
        kinds: [query, item] int8: 1 positive, 0 negative, -1 no item.
        weight: [query or 1, positive] of the table.
        curve: [query or 1, rank] of the table, at ranks 0, 1, ...
        of_rank: whether the curve is read at ranks or at counts.
        strengths: sign times epsilon; the items are sorted once for all of them.
        concave: whether the table is.
        table_bytes: most memory for the way back, of one query; beyond it rows are computed twice.

    Returns:
        Counts [query, item] float64 (negatives above a positive, positives above a negative) and values [query]; 0
        where a kind is missing.
    """
    statistic = scores.new_zeros(len(strengths), *scores.shape)
    values = scores.new_zeros(len(strengths), len(scores))
    given = (*arrays(scores, kinds, weight, curve), of_rank, np.array(strengths), concave, table_bytes // 8)
    results = (statistic.numpy(), values.numpy())
    on_units(lambda first, last: _decode_queries(*given, first, last, *results), len(scores))
    return list(zip(statistic, values, strict=True))


def predicted(scores: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ranking by score, equal ones counted half, and its F; arguments and results as of `decoded`."""
    statistic, values = torch.zeros_like(scores), scores.new_zeros(len(scores))
    given, results = arrays(scores, kinds), (statistic.numpy(), values.numpy())
    on_units(lambda first, last: _predict_queries(*given, first, last, *results), len(scores))
    return statistic, values

"""One block of similarities, queries by items, in one pass: the compiled loops between two matrix products.

A block is as small as a second-level cache. In a square problem (every row is a query and an item) the blocks above
the diagonal serve both ways: row i ranks item j, and row j ranks item i. So half of the similarities are enough.

Most pieces of a row hold nobody near a positive. Their largest score lies below the window of every positive, and
one comparison dismisses them: their steps are 0 and their slopes are 0. Scores inside a window are written down in
the forward pass, while they are few; the backward pass then needs no product at all for this block.
"""

import numpy as np

from metricgrad.relax.kernels.compiled import REORDERED, compiled, inlined
from metricgrad.relax.kernels.steps import (
    REACH,
    add_slopes_of_many,
    add_slopes_of_one,
    add_steps_of_many,
    fill_factors_of_many,
    fill_factors_of_one,
    largest,
    own_factor,
    steps_of_one,
)

__all__ = ["PIECE", "rank_block", "slope_block"]

PIECE = 128
"""Scores of a row that are dismissed or evaluated together."""


@inlined(REORDERED)
def _place(block, first_query, first_item, positives, counts, levels, excluded):
    """Write the positives' own similarities into the block, and -inf where an item does not compete.

    A product of blocks rounds otherwise than a product of two rows; with the very number that the others are
    compared with, a positive meets itself with a step of exactly 1/2.
    """
    height, width = block.shape
    for i in range(height):
        query = first_query + i
        for p in range(counts[query]):
            j = positives[query, p] - first_item
            if 0 <= j < width:
                block[i, j] = levels[query, p]
        j = excluded[query] - first_item
        if 0 <= j < width:
            block[i, j] = -np.inf


@inlined(REORDERED)
def _columns_of(columns, first_item, width, scale):
    """Return what the items of a block need as queries: centres and own factors, and where the centres change.

    Levels ascend from place to place. Within a piece one place after the other shares the centres of the queries
    until a level lies too far from its own.

    Returns:
        centres [positive, item], own factors [positive, item] (0 beyond the count), changed [positive, piece].
    """
    places = columns.shape[0]
    reach = columns.dtype.type(REACH) / scale
    centres, owns = np.zeros((places, width), columns.dtype), np.zeros((places, width), columns.dtype)
    changed = np.zeros((places, (width + PIECE - 1) // PIECE), np.bool_)
    for piece in range(changed.shape[1]):
        start, stop = piece * PIECE, min(piece * PIECE + PIECE, width)
        for p in range(places):
            far = p == 0
            for z in range(start, stop):
                level = columns[p, first_item + z]
                if level < np.inf and p > 0 and level - centres[p - 1, z] > reach:
                    far = True
            changed[p, piece] = far
            for z in range(start, stop):
                level = columns[p, first_item + z]
                if level < np.inf:
                    centres[p, z] = (
                        level + reach if far else centres[p - 1, z]
                    )  # rounded: own_factor takes it so
                    owns[p, z] = own_factor(level, centres[p, z], scale)
    return centres, owns, changed


@inlined(REORDERED)
def _reach_of(low, counts, first, last):
    """Return the lowest end of the windows of some queries, and the most positives that one of them has."""
    lowest, most = np.inf, 0
    for query in range(first, last):
        lowest = min(lowest, low[query])
        most = max(most, counts[query])
    return lowest, most


@compiled(REORDERED)
def rank_block(
    block, first_query, first_item, mirrored, positives, counts, levels, columns, excluded, low, high, scale, laplace,
    row_sums, column_sums, noted_query, noted_item, noted_score, noted, limit,
):  # fmt: skip
    """Add a block's steps to the sums of its queries' positives, and note the scores that lie in a window.

    Args:
        block: [query, item] similarities; overwritten where a positive or an excluded item stands.
        first_query: number of the block's first query.
        first_item: number of its first item.
        mirrored: whether its items are queries too, and its queries items, by the transposed block.
        positives: [query, positive] item numbers.
        counts: [query] how many.
        levels: [query, positive] similarities of the positives, ascending.
        columns: [positive, query] the same, infinite beyond the count.
        excluded: [query] item that does not compete, -1 for none.
        low: [query] lower end of the window around its positives; infinite without positives.
        high: [query] upper end.
        scale: 1 / temperature.
        laplace: which step.
        row_sums: [query, positive] float64, added to.
        column_sums: [positive, query] float64, added to where mirrored.
        noted_query: [entry] receives the query of a score inside a window.
        noted_item: [entry] its item.
        noted_score: [entry] the score.
        noted: entries that are there already.
        limit: entries that may be there after this block.

    Returns:
        Entries that are there now; -1 where they did not fit (nothing was noted then).
    """
    height, width = block.shape
    _place(block, first_query, first_item, positives, counts, levels, excluded)
    sums = np.zeros((columns.shape[0] if mirrored else 0, width), block.dtype)
    centres, owns, changed = _columns_of(columns, first_item, width if mirrored else 0, scale)
    factors, reach = np.empty(PIECE, block.dtype), block.dtype.type(REACH) / scale
    fits = limit > noted
    for start in range(0, width, PIECE):
        stop = min(start + PIECE, width)
        mirror_low, slots = np.inf, 0
        if mirrored:
            mirror_low, slots = _reach_of(low, counts, first_item + start, first_item + stop)
        for i in range(height):
            query = first_query + i
            scores = block[i, start:stop]
            best = largest(scores)
            own, mirror = best >= low[query], best >= mirror_low
            factor, centre = factors[: stop - start], scores[0]
            if own:
                for p in range(counts[query]):
                    level = levels[query, p]
                    if p == 0 or level - centre > reach:
                        centre = level + reach
                        fill_factors_of_one(scores, centre, scale, factor)
                    own_part = block.dtype.type(own_factor(level, centre, scale))
                    row_sums[query, p] += steps_of_one(factor, own_part, laplace)
            if mirror:
                for p in range(slots):
                    if changed[p, start // PIECE]:
                        fill_factors_of_many(scores, centres[p, start:stop], scale, factor)
                    add_steps_of_many(factor, owns[p, start:stop], laplace, sums[p, start:stop])
            if fits and (own or mirror):
                for z in range(stop - start):
                    item, score = first_item + start + z, scores[z]
                    if low[query] <= score <= high[query] or (mirrored and low[item] <= score <= high[item]):
                        if noted == limit:
                            fits = False
                            break
                        noted_query[noted], noted_item[noted], noted_score[noted] = query, item, score
                        noted += 1
    for p in range(sums.shape[0]):
        for z in range(width):
            column_sums[p, first_item + z] += sums[p, z]
    return noted if fits else -1


@inlined(REORDERED)
def _take_positives_out(
    block, first_query, first_item, mirrored, positives, counts, laplace, row_weights, row_sums, column_sums, taken
):  # fmt: skip
    """Move the gradient by positives from the block to a list in float64, without the slope of each at itself.

    In a tight class this gradient nearly cancels what the positives lose for the items around them, and rows are
    nearly the same: in float32 the difference of two products would be rounding.
    """
    height, width = block.shape
    slope = block.dtype.type(0.5 if laplace else 0.25)
    for i in range(height):
        query = first_query + i
        for p in range(counts[query]):
            j = positives[query, p] - first_item
            if 0 <= j < width:
                taken[query, p] += np.float64(block[i, j]) - np.float64(slope * row_weights[query, p])
                block[i, j] = 0
                row_sums[query, p] -= slope
    if mirrored:
        for j in range(width):
            query = first_item + j
            for p in range(counts[query]):
                i = positives[query, p] - first_query
                if 0 <= i < height:
                    taken[query, p] -= np.float64(slope * row_weights[query, p])
                    column_sums[p, query] -= slope


@compiled(REORDERED)
def slope_block(
    block, first_query, first_item, mirrored, positives, counts, levels, columns, excluded, low, scale, laplace,
    row_weights, column_weights, row_sums, column_sums, taken,
):  # fmt: skip
    """Overwrite a block of similarities with their gradient, both ways where it is mirrored.

    Args:
        block: [query, item] similarities; becomes the gradient, 0 at positives.
        first_query: as in `rank_block`.
        first_item: as there.
        mirrored: as there.
        positives: as there.
        counts: as there.
        levels: as there.
        columns: as there.
        excluded: as there.
        low: [query] lower end of the window around the positives that carry a gradient; infinite without any.
        scale: as there.
        laplace: as there.
        row_weights: [query, positive] gradient by the ranks times `scale`, 0 beyond the count.
        column_weights: [positive, query] the same.
        row_sums: [query, positive] float64, the slopes are added to.
        column_sums: [positive, query] float64, added to where mirrored.
        taken: [query, positive] float64, the gradient by the positives in this block is added to.

    Returns:
        Whether any entry of the gradient can differ from 0.
    """
    height, width = block.shape
    _place(block, first_query, first_item, positives, counts, levels, excluded)
    sums = np.zeros((columns.shape[0] if mirrored else 0, width), block.dtype)
    centres, owns, changed = _columns_of(columns, first_item, width if mirrored else 0, scale)
    factors, reach = np.empty(PIECE, block.dtype), block.dtype.type(REACH) / scale
    gradient = np.empty(PIECE, block.dtype)
    touched = False
    for start in range(0, width, PIECE):
        stop = min(start + PIECE, width)
        mirror_low, slots = np.inf, 0
        if mirrored:
            mirror_low, slots = _reach_of(low, counts, first_item + start, first_item + stop)
        for i in range(height):
            query = first_query + i
            scores = block[i, start:stop]
            best = largest(scores)
            part = gradient[: stop - start]
            for z in range(stop - start):
                part[z] = 0
            factor, centre = factors[: stop - start], scores[0]
            if best >= low[query]:
                touched, filled = True, False
                for p in range(counts[query]):
                    weight, level = row_weights[query, p], levels[query, p]
                    if weight != 0:
                        if not filled or level - centre > reach:
                            centre, filled = level + reach, True
                            fill_factors_of_one(scores, centre, scale, factor)
                        own_part = block.dtype.type(own_factor(level, centre, scale))
                        row_sums[query, p] += add_slopes_of_one(factor, own_part, laplace, weight, part)
            if best >= mirror_low:
                touched = True
                here = slice(first_item + start, first_item + stop)
                for p in range(slots):
                    if changed[p, start // PIECE]:
                        fill_factors_of_many(scores, centres[p, start:stop], scale, factor)
                    add_slopes_of_many(
                        factor, owns[p, start:stop], laplace, column_weights[p, here], part, sums[p, start:stop]
                    )  # fmt: skip
            for z in range(stop - start):
                scores[z] = part[z]
    if touched:
        _take_positives_out(
            block, first_query, first_item, mirrored, positives, counts, laplace, row_weights, row_sums, column_sums,
            taken,
        )  # fmt: skip
    for p in range(sums.shape[0]):
        for z in range(width):
            column_sums[p, first_item + z] += sums[p, z]
    return touched

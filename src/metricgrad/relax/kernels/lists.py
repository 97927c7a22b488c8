"""Which items are relevant to each query, by equal labels: one compiled loop in place of twenty small operations.

`pairing.positive_lists` is the same in plain torch.
"""

import numpy as np

from metricgrad.relax.kernels.compiled import compiled

__all__ = ["lists_by_label"]


@compiled()
def lists_by_label(labels, item_labels, queries_are_items, query_is_positive):
    """Return the items [query, positive] with the label of each query, ascending, and the lengths of the lists.

    Args:
        labels: [query] whole numbers, any.
        item_labels: [item].
        queries_are_items: whether query i is item i, which is then left out of its own list.
        query_is_positive: keep it in, for a query that has another positive.
    """
    order = np.argsort(item_labels, kind="mergesort")
    ordered = item_labels[order]
    first = np.searchsorted(ordered, labels)
    last = np.searchsorted(ordered, labels, side="right")
    out = queries_are_items and not query_is_positive
    counts, width = last - first, 1
    for query in range(len(counts)):
        if out:
            counts[query] -= 1
        elif query_is_positive and counts[query] == 1:
            counts[query] = 0
        width = max(width, counts[query])
    positives = np.zeros((len(counts), width), np.int64)
    for query in range(len(counts)):
        place = 0
        for item in order[first[query] : last[query]]:
            if place < counts[query] and not (out and item == query):
                positives[query, place] = item
                place += 1
    return positives, counts

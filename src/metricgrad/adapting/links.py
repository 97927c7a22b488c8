"""Which queries hang together because they share relevant documents, directly or by others between them."""

import numpy as np

from metricgrad._qrels import Qrels

__all__ = ["components"]


def components(relevant: Qrels) -> np.ndarray:
    """The component of every query, int64 [query]: equal for queries that are linked by relevant documents.

    Cost: O(judgements) a round, and few rounds: labels jump along the links that were found.

    Example:
        >>> qrels = Qrels.of_pairs([0, 1, 1, 2], [0, 0, 1, 2], queries=3, items=3)
        >>> found = components(qrels)
        >>> bool(found[0] == found[1]), bool(found[1] == found[2])
        (True, False)
    """
    document = relevant.documents.numpy()
    query = np.repeat(np.arange(relevant.queries), relevant.offsets.diff().numpy())
    label = np.arange(relevant.queries)
    while True:
        lowest = np.full(relevant.items, relevant.queries)
        np.minimum.at(lowest, document, label[query])
        found = label.copy()
        np.minimum.at(found, query, lowest[document])
        np.minimum.at(found, label, found.copy())  # the queries that a label stands for hear of it, too
        found = np.minimum(found, found[found])
        if np.array_equal(found, label):
            return label
        label = found

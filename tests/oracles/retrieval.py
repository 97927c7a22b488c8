"""Retrieval metrics by loops over plain lists: slow, without torch, written from the definitions alone.

Every function takes `scores` and `relevance` as lists of lists [query][item] and returns one value per query, None
where the query has no relevant item.
"""

import math


def ranked(scores, gains, ties):
    """Return [(rank among all, rank among the relevant, gain)] of the relevant items of one query."""
    found = []
    if ties == "mid":
        for x, (score, gain) in enumerate(zip(scores, gains, strict=True)):
            if gain > 0:
                rank, own = 1.0, 1.0
                for z, (other, other_gain) in enumerate(zip(scores, gains, strict=True)):
                    worth = 1.0 if other > score else 0.5 if other == score and z != x else 0.0
                    rank += worth
                    own += worth if other_gain > 0 else 0.0
                found.append((rank, own, gain))
        return found
    sign = 1 if ties == "pessimistic" else -1
    order = sorted(range(len(scores)), key=lambda x: (-scores[x], sign * gains[x]))
    for place, x in enumerate(order, start=1):
        if gains[x] > 0:
            found.append((float(place), float(len(found) + 1), gains[x]))
    return found


def per_query(scores, relevance, ties, query_item, value):
    """Apply `value` to the ranked relevant items of each query."""
    values = []
    for query, (row, gains) in enumerate(zip(scores, relevance, strict=True)):
        kept = [x for x in range(len(row)) if query_item is None or x != query_item[query]]
        found = ranked([row[x] for x in kept], [float(gains[x]) for x in kept], ties)
        values.append(value(found) if found else None)
    return values


def hits(found, k):
    """How many of the relevant items have a rank of at most k."""
    return sum(1 for rank, _, _ in found if rank <= k)


def recall_at_k(scores, relevance, *, k, ties="pessimistic", query_item=None, normalizer="positives"):
    """Share of the relevant items within the first k."""

    def value(found):
        if normalizer == "positives":
            return hits(found, k) / len(found)
        return min(hits(found, k), k) / min(k, len(found))

    return per_query(scores, relevance, ties, query_item, value)


def hit_at_k(scores, relevance, *, k, ties="pessimistic", query_item=None):
    """1 if any relevant item is within the first k."""
    return per_query(scores, relevance, ties, query_item, lambda found: float(hits(found, k) > 0))


def precision_at_k(scores, relevance, *, k, ties="pessimistic", query_item=None):
    """Share of the first k places that hold a relevant item."""
    return per_query(scores, relevance, ties, query_item, lambda found: min(hits(found, k), k) / k)


def r_precision(scores, relevance, *, ties="pessimistic", query_item=None):
    """Precision at the number of relevant items."""
    return per_query(scores, relevance, ties, query_item, lambda found: hits(found, len(found)) / len(found))


def average_precision(scores, relevance, *, ties="pessimistic", query_item=None):
    """Mean precision at the relevant items."""
    return per_query(
        scores,
        relevance,
        ties,
        query_item,
        lambda found: sum(own / rank for rank, own, _ in found) / len(found),
    )


def reciprocal_rank(scores, relevance, *, ties="pessimistic", query_item=None):
    """1 / rank of the first relevant item."""
    return per_query(scores, relevance, ties, query_item, lambda found: 1 / min(rank for rank, _, _ in found))


def ndcg(scores, relevance, *, k=None, ties="pessimistic", query_item=None):
    """Discounted gain over that of the best order."""

    def value(found):
        limit = math.inf if k is None else k
        gained = sum(gain / math.log2(1 + rank) for rank, _, gain in found if rank <= limit)
        best = sorted((gain for _, _, gain in found), reverse=True)
        ideal = sum(gain / math.log2(1 + place) for place, gain in enumerate(best, start=1) if place <= limit)
        return min(gained / ideal, 1.0)

    return per_query(scores, relevance, ties, query_item, value)

"""Retrieval metrics by loops over plain lists: slow, without torch, written from the definitions alone.

Every function takes `scores` and `relevance` as lists of lists [query][item] and returns one value per query, None
where the query has no relevant item.
"""

import math


def ranked(scores, gains, ties):
    """Return [(rank among all, rank among the relevant, gain)] of the relevant items of one query, one order or mid."""
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
    return listed([gains[x] for x in order])


def listed(gains):
    """The relevant items of gains in the order of their places."""
    found = []
    for place, gain in enumerate(gains, start=1):
        if gain > 0:
            found.append((float(place), float(len(found) + 1), gain))
    return found


def arrangements(gains):
    """Every different order of some gains; each stands for equally many orders of the items."""
    if not gains:
        return [[]]
    return [
        [first, *others]
        for first in sorted(set(gains))
        for others in arrangements([*gains[: gains.index(first)], *gains[gains.index(first) + 1 :]])
    ]


def orders(scores, gains):
    """Gains by place, for every order of the items that their scores allow."""
    found = [[]]
    for score in sorted(set(scores), reverse=True):
        block = [gain for other, gain in zip(scores, gains, strict=True) if other == score]
        found = [before + order for before in found for order in arrangements(block)]
    return found


def per_query(scores, relevance, ties, query_item, value, retrieved=None):
    """Apply `value` to the ranked relevant items of each query; those not retrieved are at rank infinity."""
    values = []
    for query, (row, gains) in enumerate(zip(scores, relevance, strict=True)):
        kept = [x for x in range(len(row)) if query_item is None or x != query_item[query]]
        there = [x for x in kept if retrieved is None or retrieved[query][x]]
        missing = [(math.inf, math.inf, float(gains[x])) for x in kept if x not in there and gains[x] > 0]
        row, gains = [row[x] for x in there], [float(gains[x]) for x in there]
        if ties == "average":
            found = [listed(order) + missing for order in orders(row, gains)]
        else:
            found = [ranked(row, gains, ties) + missing]
        values.append(sum(map(value, found)) / len(found) if found[0] else None)
    return values


def hits(found, k):
    """How many of the relevant items have a rank of at most k."""
    return sum(1 for rank, _, _ in found if rank <= k)


def recall_at_k(
    scores, relevance, *, k, ties="pessimistic", query_item=None, retrieved=None, normalizer="positives"
):
    """Share of the relevant items within the first k."""

    def value(found):
        if normalizer == "positives":
            return hits(found, k) / len(found)
        return min(hits(found, k), k) / min(k, len(found))

    return per_query(scores, relevance, ties, query_item, value, retrieved)


def hit_at_k(scores, relevance, *, k, ties="pessimistic", query_item=None, retrieved=None):
    """1 if any relevant item is within the first k."""
    return per_query(scores, relevance, ties, query_item, lambda found: float(hits(found, k) > 0), retrieved)


def precision_at_k(scores, relevance, *, k, ties="pessimistic", query_item=None, retrieved=None):
    """Share of the first k places that hold a relevant item."""
    return per_query(scores, relevance, ties, query_item, lambda found: min(hits(found, k), k) / k, retrieved)


def r_precision(scores, relevance, *, ties="pessimistic", query_item=None, retrieved=None):
    """Precision at the number of relevant items."""
    return per_query(
        scores, relevance, ties, query_item, lambda found: hits(found, len(found)) / len(found), retrieved
    )


def average_precision(scores, relevance, *, k=None, ties="pessimistic", query_item=None, retrieved=None):
    """Mean precision at the relevant items, 0 beyond k."""

    def value(found):
        within = [(rank, own) for rank, own, _ in found if rank < math.inf and (k is None or rank <= k)]
        return sum(own / rank for rank, own in within) / len(found)

    return per_query(scores, relevance, ties, query_item, value, retrieved)


def average_precision_at_r(scores, relevance, *, ties="pessimistic", query_item=None, retrieved=None):
    """Mean over the first R places of the precision at those that are relevant."""

    def value(found):
        return sum(own / rank for rank, own, _ in found if rank <= len(found)) / len(found)

    return per_query(scores, relevance, ties, query_item, value, retrieved)


def reciprocal_rank(scores, relevance, *, k=None, ties="pessimistic", query_item=None, retrieved=None):
    """1 / rank of the first relevant item, 0 beyond k."""

    def value(found):
        first = min(rank for rank, _, _ in found)
        return 1 / first if k is None or first <= k else 0.0

    return per_query(scores, relevance, ties, query_item, value, retrieved)


def ndcg(scores, relevance, *, k=None, gains="linear", ties="pessimistic", query_item=None, retrieved=None):
    """Discounted gain over that of the best order."""

    def value(found):
        found = [(rank, own, gain if gains == "linear" else 2**gain - 1) for rank, own, gain in found]
        limit = math.inf if k is None else k
        gained = sum(gain / math.log2(1 + rank) for rank, _, gain in found if rank <= limit)
        best = sorted((gain for _, _, gain in found), reverse=True)
        ideal = sum(gain / math.log2(1 + place) for place, gain in enumerate(best, start=1) if place <= limit)
        return min(gained / ideal, 1.0)

    return per_query(scores, relevance, ties, query_item, value, retrieved)

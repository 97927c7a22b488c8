"""Soft ranks by loops over plain lists: slow, without torch, written from the definition alone."""

import math


def step(u, kind):
    """Return the soft comparison of one difference, already divided by the temperature."""
    if kind == "laplace":
        return 1 - math.exp(-u) / 2 if u >= 0 else math.exp(u) / 2
    return 1 / (1 + math.exp(-u)) if u >= 0 else math.exp(u) / (1 + math.exp(u))


def compare(difference, temperature, kind):
    """Return how much an item with this lead counts: softly, or exactly for temperature 0."""
    if temperature == 0:
        return 1.0 if difference > 0 else 0.5 if difference == 0 else 0.0
    return step(difference / temperature, kind)


def soft_ranks(scores, relevance, *, query_item=None, include_query=False, temperature, kind="logistic"):
    """Return (rank among all, rank among the positives) of each positive of one query, in the order of the items."""
    items = range(len(scores))
    others = [x for x in items if relevance[x] and x != query_item]
    positives = others
    if include_query == "positive" and query_item is not None and others:
        positives = sorted([*others, query_item])
    competitors = [z for z in items if z != query_item or include_query]
    found = []
    for x in positives:
        among_all, among_positives = 1.0, 1.0
        for z in competitors:
            if z != x:
                among_all += compare(scores[z] - scores[x], temperature, kind)
        for z in positives:
            if z != x:
                among_positives += compare(scores[z] - scores[x], temperature, kind)
        found.append((among_all, among_positives))
    return found

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


def slope(u, kind):
    """Return the derivative of the soft comparison."""
    v = math.exp(-abs(u))
    return v / 2 if kind == "laplace" else v / (1 + v) ** 2


def list_soft_ranks(scores, *, temperature, kind="logistic", descending=True, mask=None):
    """Return the rank of every item of one list; 1 where `mask` is False."""
    items = range(len(scores))
    mask = mask or [True for _ in items]
    ranks = []
    for i in items:
        rank = 1.0
        for j in items:
            if mask[i] and mask[j] and j != i:
                lead = scores[j] - scores[i] if descending else scores[i] - scores[j]
                rank += compare(lead, temperature, kind)
        ranks.append(rank)
    return ranks


def list_soft_ranks_gradient(scores, upstream, *, temperature, kind="logistic", descending=True, mask=None):
    """Return the gradient of the ranks of one list, weighted by `upstream`, by its scores."""
    items = range(len(scores))
    mask = mask or [True for _ in items]
    gradient = [0.0 for _ in items]
    for i in items:
        for j in items:
            if mask[i] and mask[j] and j != i:
                part = upstream[i] * slope((scores[j] - scores[i]) / temperature, kind) / temperature
                gradient[j] += part if descending else -part
                gradient[i] -= part if descending else -part
    return gradient

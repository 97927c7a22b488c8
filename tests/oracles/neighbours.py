"""kNN classification by loops over plain lists: slow, without torch, written from the definition alone."""

import math


def classify(scores, labels, *, k, weights="uniform", temperature=0.07, prior_ratio=None, exclude=None):
    """Return (label or None, neighbours, {label: probability}) of one query."""
    items = [item for item in range(len(scores)) if item != exclude]
    neighbours = sorted(items, key=lambda item: (-scores[item], item))[:k]
    votes, sums = {}, {}
    for item in neighbours:
        gap = scores[item] - scores[neighbours[0]]
        vote = 1.0 if weights == "uniform" else math.exp(gap / temperature)
        votes[labels[item]] = votes.get(labels[item], 0.0) + vote
        sums[labels[item]] = sums.get(labels[item], 0.0) + scores[item]
    if prior_ratio is not None:
        total = sum(votes.values())
        votes = {label: vote / total * prior_ratio[label] for label, vote in votes.items()}
    total = sum(votes.values())
    if total == 0:
        return None, neighbours, dict.fromkeys(votes, 0.0)
    probabilities = {label: vote / total for label, vote in votes.items()}
    best = max(probabilities.values())
    tied = [label for label, value in probabilities.items() if value >= best * (1 - 1e-12)]
    most = max(sums[label] for label in tied)
    return min(label for label in tied if sums[label] == most), neighbours, probabilities

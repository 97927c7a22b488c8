"""Metrics of classifiers by loops over plain lists: slow, without torch, written from the definitions alone."""

import math


def predicted(outputs):
    """Class ids: the first of the largest scores of each row, or the ids themselves."""
    return [row.index(max(row)) if isinstance(row, list) else int(row) for row in outputs]


def accuracy(outputs, targets):
    """Share of right predictions."""
    return sum(guess == target for guess, target in zip(predicted(outputs), targets, strict=True)) / len(
        targets
    )


def error_rate(outputs, targets):
    """Share of wrong predictions."""
    return sum(guess != target for guess, target in zip(predicted(outputs), targets, strict=True)) / len(
        targets
    )


def balanced_error(outputs, targets):
    """Mean share of wrong predictions over the classes among the targets."""
    pairs = list(zip(predicted(outputs), targets, strict=True))
    shares = []
    for label in set(targets):
        own = [guess for guess, target in pairs if target == label]
        shares.append(sum(guess != label for guess in own) / len(own))
    return sum(shares) / len(shares)


def f_beta(outputs, targets, *, beta=1.0, average="binary", positive_class=1):
    """F-measure from precision and recall."""
    pairs = list(zip(predicted(outputs), targets, strict=True))
    classes = [positive_class] if average == "binary" else sorted({label for pair in pairs for label in pair})
    counts = [
        (
            sum(guess == label == target for guess, target in pairs),
            sum(guess == label != target for guess, target in pairs),
            sum(guess != label == target for guess, target in pairs),
        )
        for label in classes
    ]
    if average == "micro":
        rights, falses, misses = zip(*counts, strict=True)
        counts = [(sum(rights), sum(falses), sum(misses))]
    values = [f_of_counts(*count, beta) for count in counts]
    if average == "weighted":
        often = [sum(target == label for target in targets) for label in classes]
        return sum(value * many for value, many in zip(values, often, strict=True)) / len(targets)
    return sum(values) / len(values)


def f_of_counts(right, false, missed, beta):
    """Weighted harmonic mean of precision and recall; 1 where there is nothing to find and nothing found."""
    if right + false + missed == 0:
        return 1.0
    if right == 0:
        return 0.0
    precision, recall = right / (right + false), right / (right + missed)
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def binary_average_precision(outputs, targets):
    """Precision at every distinct score times the recall gained there."""
    if not any(targets):
        return math.nan
    total = 0.0
    for threshold in set(outputs):
        above = [target for score, target in zip(outputs, targets, strict=True) if score >= threshold]
        here = [target for score, target in zip(outputs, targets, strict=True) if score == threshold]
        total += sum(here) / sum(targets) * sum(above) / len(above)
    return total


def roc_auc(outputs, targets):
    """Share of pairs in the right order, half for ties."""
    positives = [score for score, target in zip(outputs, targets, strict=True) if target]
    negatives = [score for score, target in zip(outputs, targets, strict=True) if not target]
    if not positives or not negatives:
        return math.nan
    won = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives)
    return won / (len(positives) * len(negatives))

"""Metrics of probabilities and of scores of several classes by loops: slow, without torch, from the definitions."""

import math
from itertools import pairwise

from tests.oracles import classification

EPS = 2.0**-52


def spread(outputs):
    """Rows of probabilities: one of class 1 becomes two."""
    return [row if isinstance(row, list) else [1 - row, row] for row in outputs]


def log_loss(outputs, targets):
    """Minus the logarithm of the probability of the true class."""
    own = [row[target] for row, target in zip(spread(outputs), targets, strict=True)]
    return sum(-math.log(min(max(p, EPS), 1 - EPS)) for p in own) / len(own)


def brier_score(outputs, targets, *, scale_by_half=None):
    """Squared distance from the true class."""
    rows = spread(outputs)
    total = sum(
        sum((p - (place == target)) ** 2 for place, p in enumerate(row))
        for row, target in zip(rows, targets, strict=True)
    )
    halved = len(rows[0]) == 2 if scale_by_half is None else scale_by_half
    return total / len(rows) / (2 if halved else 1)


def expected_calibration_error(outputs, targets, *, bins=15):
    """Gap between confidence and accuracy in every bin."""
    pairs = [
        (max(row), row.index(max(row)) == target)
        for row, target in zip(spread(outputs), targets, strict=True)
    ]
    total = 0.0
    for number in range(bins):
        inside = [pair for pair in pairs if number / bins < pair[0] <= (number + 1) / bins]
        total += abs(sum(right for _, right in inside) - sum(confidence for confidence, _ in inside))
    return total / len(pairs)


def curve(outputs, targets):
    """(true positives, false positives) at every distinct score, highest first."""
    pairs = list(zip(outputs, targets, strict=True))
    return [
        (
            sum(target for score, target in pairs if score >= threshold),
            sum(not target for score, target in pairs if score >= threshold),
        )
        for threshold in sorted(set(outputs), reverse=True)
    ]


def precision_at_recall(outputs, targets, *, min_recall):
    """Largest precision of a sufficient recall."""
    points = curve(outputs, targets)
    return max(found / (found + passed) for found, passed in points if found / sum(targets) >= min_recall)


def recall_at_precision(outputs, targets, *, min_precision):
    """Largest recall of a sufficient precision."""
    points = curve(outputs, targets)
    enough = [found for found, passed in points if found / (found + passed) >= min_precision]
    return max(enough, default=0) / sum(targets)


def partial_roc_auc(outputs, targets, *, max_fpr):
    """Trapezoids up to a false positive rate, standardised."""
    positives, negatives = sum(targets), len(targets) - sum(targets)
    points = [(0.0, 0.0), *((b / negatives, a / positives) for a, b in curve(outputs, targets))]
    area = 0.0
    for (x, y), (end, top) in pairwise(points):
        if x < end and x < max_fpr:
            stop = min(end, max_fpr)
            area += (stop - x) * (y + y + (top - y) * (stop - x) / (end - x)) / 2
    return (1 + (area - max_fpr**2 / 2) / (max_fpr - max_fpr**2 / 2)) / 2


def averaged(values, many, average):
    """Mean of those that have a value."""
    kept = [
        (value, count if average == "weighted" else 1)
        for value, count in zip(values, many, strict=True)
        if not math.isnan(value)
    ]
    return sum(value * count for value, count in kept) / sum(count for _, count in kept)


def against_the_others(metric, outputs, targets, average):
    """A binary metric of each class."""
    columns = list(zip(*outputs, strict=True))
    marks = [
        [bool(target[place]) if isinstance(target, list) else target == place for target in targets]
        for place in range(len(columns))
    ]
    values = [metric(list(column), mark) for column, mark in zip(columns, marks, strict=True)]
    return averaged(values, [sum(mark) for mark in marks], average)


def macro_average_precision(outputs, targets, *, average="macro"):
    """Average precision of each class."""
    return against_the_others(classification.binary_average_precision, outputs, targets, average)


def roc_auc_ovr(outputs, targets, *, average="macro"):
    """Area of each class against the others."""
    return against_the_others(classification.roc_auc, outputs, targets, average)


def roc_auc_ovo(outputs, targets, *, average="macro"):
    """Area of each class against each other one."""
    values, many = [], []
    for a in range(len(outputs[0])):
        for b in range(a):
            rows = [(row, target) for row, target in zip(outputs, targets, strict=True) if target in (a, b)]
            sides = [
                classification.roc_auc([row[k] for row, _ in rows], [target == k for _, target in rows])
                for k in (a, b)
            ]
            values.append(sum(sides) / 2)
            many.append(len(rows))
    return averaged(values, many, average)

"""Metrics of several labels per sample by loops: slow, without torch, from the definitions."""

from tests.oracles.classification import f_of_counts


def decided(outputs):
    """0 or 1 for every label: logits are cut at 0, probabilities at one half."""
    within = all(0 <= score <= 1 for row in outputs for score in row)
    return [[int(score > (0.5 if within else 0)) for score in row] for row in outputs]


def counts(pairs):
    """(tp, fp, fn) of pairs (predicted, there)."""
    pairs = list(pairs)
    return (
        sum(guess and mark for guess, mark in pairs),
        sum(guess and not mark for guess, mark in pairs),
        sum(mark and not guess for guess, mark in pairs),
    )


def averaged(value, outputs, targets, average):
    """Mean over labels or samples of a value of counts."""
    rows = [list(zip(*both, strict=True)) for both in zip(decided(outputs), targets, strict=True)]
    of_labels = [counts(column) for column in zip(*rows, strict=True)]
    if average == "samples":
        of_samples = [value(*counts(row)) for row in rows]
        return sum(of_samples) / len(of_samples)
    if average == "micro":
        return value(*map(sum, zip(*of_labels, strict=True)))
    weights = [tp + fn if average == "weighted" else 1 for tp, _, fn in of_labels]
    values = [value(*label) for label in of_labels]
    return sum(a * b for a, b in zip(values, weights, strict=True)) / sum(weights)


def multilabel_f_beta(outputs, targets, *, beta=1.0, average="macro"):
    """F-measure from precision and recall."""
    return averaged(lambda *label: f_of_counts(*label, beta), outputs, targets, average)


def multilabel_jaccard(outputs, targets, *, average="macro"):
    """What is right among what is predicted or there."""

    def value(tp, fp, fn):
        return tp / (tp + fp + fn) if tp + fp + fn else 1.0

    return averaged(value, outputs, targets, average)


def multilabel_precision(outputs, targets, *, average="macro"):
    """What is right among what is predicted."""

    def value(tp, fp, fn):
        return tp / (tp + fp) if tp + fp else float(fn == 0)

    return averaged(value, outputs, targets, average)


def multilabel_recall(outputs, targets, *, average="macro"):
    """What is right among what is there."""

    def value(tp, fp, fn):
        return tp / (tp + fn) if tp + fn else float(fp == 0)

    return averaged(value, outputs, targets, average)


def subset_accuracy(outputs, targets):
    """Share of samples that are right in every label."""
    pairs = list(zip(decided(outputs), targets, strict=True))
    return sum(guess == marks for guess, marks in pairs) / len(pairs)


def hamming_loss(outputs, targets):
    """Share of wrong labels."""
    pairs = [pair for both in zip(decided(outputs), targets, strict=True) for pair in zip(*both, strict=True)]
    return sum(guess != mark for guess, mark in pairs) / len(pairs)

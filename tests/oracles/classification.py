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


def counts_of_classes(outputs, targets):
    """(right, predicted, present, samples) of every class that occurs, by class."""
    pairs = list(zip(predicted(outputs), targets, strict=True))
    return {
        label: (
            sum(guess == label == target for guess, target in pairs),
            sum(guess == label for guess, _ in pairs),
            sum(target == label for _, target in pairs),
            len(pairs),
        )
        for label in sorted({label for pair in pairs for label in pair})
    }


def averaged(value, outputs, targets, average, positive_class):
    """A value of (right, predicted, present, samples), averaged; micro adds the counts of all classes."""
    counts = counts_of_classes(outputs, targets)
    if average == "binary":
        return value(*counts.get(positive_class, (0, 0, 0, len(targets))))
    if average == "micro":
        return value(*(sum(part) for part in zip(*counts.values(), strict=True)))
    if average == "weighted":
        return sum(value(*count) * count[2] for count in counts.values()) / len(targets)
    return sum(value(*count) for count in counts.values()) / len(counts)


def part(some, whole, otherwise=0.0):
    """A share of what there is."""
    return some / whole if whole else otherwise


def precision(outputs, targets, *, average="binary", positive_class=1):
    """Right among those that are taken for the class."""

    def value(right, taken, there, _samples):
        return part(right, taken, otherwise=0.0 if there else 1.0)

    return averaged(value, outputs, targets, average, positive_class)


def recall(outputs, targets, *, average="binary", positive_class=1):
    """Right among those that are of the class."""

    def value(right, taken, there, _samples):
        return part(right, there, otherwise=0.0 if taken else 1.0)

    return averaged(value, outputs, targets, average, positive_class)


def specificity(outputs, targets, *, average="binary", positive_class=1):
    """Right among those that are not of the class."""

    def value(right, taken, there, samples):
        return part(samples - taken - there + right, samples - there, otherwise=float(samples == taken))

    return averaged(value, outputs, targets, average, positive_class)


def jaccard(outputs, targets, *, average="binary", positive_class=1):
    """Right among those that are taken for the class or of it."""

    def value(right, taken, there, _samples):
        return part(right, taken + there - right, otherwise=1.0)

    return averaged(value, outputs, targets, average, positive_class)


def recalls(outputs, targets):
    """Recall of every class among the targets."""
    return [
        right / there
        for right, _taken, there, _samples in counts_of_classes(outputs, targets).values()
        if there
    ]


def balanced_accuracy(outputs, targets):
    """Mean recall."""
    found = recalls(outputs, targets)
    return sum(found) / len(found)


def g_mean(outputs, targets):
    """Geometric mean of the recalls."""
    found = recalls(outputs, targets)
    return math.prod(found) ** (1 / len(found))


def matthews_corrcoef(outputs, targets):
    """Correlation of one-hot predictions and targets, all classes together."""
    guesses = predicted(outputs)
    classes = {*guesses, *targets}
    covariances = []
    for first, second in ((guesses, targets), (guesses, guesses), (targets, targets)):
        total = 0.0
        for label in classes:
            one, two = ([float(item == label) for item in side] for side in (first, second))
            means = [sum(side) / len(side) for side in (one, two)]
            total += sum((a - means[0]) * (b - means[1]) for a, b in zip(one, two, strict=True))
        covariances.append(total)
    both, first, second = covariances
    return both / math.sqrt(first * second) if first > 1e-12 and second > 1e-12 else 0.0


def cohen_kappa(outputs, targets, *, weights=None):
    """One minus mean disagreement over that of all pairs of a prediction and a target."""

    def wrong(one, two):
        distance = abs(one - two)
        return {None: float(distance > 0), "linear": distance, "quadratic": distance**2}[weights]

    guesses = predicted(outputs)
    seen = sum(wrong(guess, target) for guess, target in zip(guesses, targets, strict=True)) / len(targets)
    chance = sum(wrong(guess, target) for guess in guesses for target in targets) / len(targets) ** 2
    return 1 - seen / chance if chance else 0.0


def expected_cost(outputs, targets, *, cost):
    """Mean cost of the decisions."""
    return sum(cost[target][guess] for guess, target in zip(predicted(outputs), targets, strict=True)) / len(
        targets
    )

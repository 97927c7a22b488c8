"""Metrics of texts by the full table of edits: slow, without torch, written from the definitions alone."""

import math


def distance(first, second):
    """Fewest insertions, deletions and substitutions that turn one sequence into the other."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for row in range(len(first) + 1):
        for column in range(len(second) + 1):
            if row == 0 or column == 0:
                table[row][column] = row + column
                continue
            changed = first[row - 1] != second[column - 1]
            table[row][column] = min(
                table[row - 1][column] + 1, table[row][column - 1] + 1, table[row - 1][column - 1] + changed
            )
    return table[-1][-1]


def edit_distance(predictions, targets, *, normalizer=None):
    """Distance of every pair, divided by the longer length where that is asked for."""
    found = []
    for prediction, target in zip(predictions, targets, strict=True):
        edits = distance(prediction, target)
        longer = max(len(prediction), len(target))
        found.append(edits if normalizer is None or longer == 0 else edits / longer)
    return found


def total_edit_distance(predictions, targets, *, normalizer=None):
    """Sum over the pairs."""
    return sum(edit_distance(predictions, targets, normalizer=normalizer))


def _rate(pairs):
    """Edits over the length of the targets."""
    length = sum(len(target) for _, target in pairs)
    return sum(distance(*pair) for pair in pairs) / length if length else math.nan


def character_error_rate(predictions, targets):
    """Of the corpus, in code points."""
    return _rate(list(zip(predictions, targets, strict=True)))


def word_edit_distance(predictions, targets):
    """Distance of every pair, in words."""
    return edit_distance([one.split() for one in predictions], [one.split() for one in targets])


def word_error_rate(predictions, targets):
    """Of the corpus, in words."""
    pairs = zip(predictions, targets, strict=True)
    return _rate([(prediction.split(), target.split()) for prediction, target in pairs])


def sequence_accuracy(predictions, targets):
    """Share of equal texts."""
    pairs = list(zip(predictions, targets, strict=True))
    return sum(prediction == target for prediction, target in pairs) / len(pairs)

"""Metrics of segmentation by loops over pixels: slow, without torch, from the definitions."""

from tests.oracles.classification import f_of_counts


def pixels(image):
    """All places of an image, whatever its dimensions."""
    return [image] if not isinstance(image, list) else [place for part in image for place in pixels(part)]


def pairs(outputs, targets, ignore_index):
    """(predicted, true) of every pixel that counts; of class scores the first of the largest decides."""
    found = []
    for scores, truth in zip(outputs, targets, strict=True):
        columns = zip(*[pixels(plane) for plane in scores], strict=True)
        guesses = [column.index(max(column)) for column in columns]
        found += [pair for pair in zip(guesses, pixels(truth), strict=True) if pair[1] != ignore_index]
    return found


def averaged(value, outputs, targets, average, ignore_index):
    """Mean over the classes of a value of (tp, fp, fn)."""
    both = pairs(outputs, targets, ignore_index)
    classes = [1] if average == "binary" else sorted({label for pair in both for label in pair})
    counts = [
        (
            sum(guess == label == truth for guess, truth in both),
            sum(guess == label != truth for guess, truth in both),
            sum(guess != label == truth for guess, truth in both),
        )
        for label in classes
    ]
    if average == "micro":
        counts = [tuple(map(sum, zip(*counts, strict=True)))]
    weights = [tp + fn if average == "weighted" else 1 for tp, _, fn in counts]
    return sum(value(*count) * weight for count, weight in zip(counts, weights, strict=True)) / sum(weights)


def mean_iou(outputs, targets, *, average="macro", ignore_index=-100):
    """Intersection over union."""
    return averaged(lambda tp, fp, fn: tp / (tp + fp + fn), outputs, targets, average, ignore_index)


def dice(outputs, targets, *, average="macro", ignore_index=-100):
    """F1."""
    return averaged(lambda *count: f_of_counts(*count, 1.0), outputs, targets, average, ignore_index)

"""What losses of class scores share: checked targets and counts, and the log probability of the class that is true."""

import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Integer, Shaped
from torch import Tensor
from torch.nn.functional import cross_entropy

from metricgrad._checks import describe, fail, require_matrix, tensor_of

__all__ = [
    "IGNORED",
    "PerClass",
    "checked_targets",
    "counted_samples",
    "counts_of_classes",
    "log_probability_of_target",
    "numbers_of_classes",
    "warn_of_probabilities",
    "widened",
]

IGNORED = -100
"""The target of a sample that has no loss, as in `torch.nn.functional.cross_entropy`."""


PerClass = Shaped[Tensor, " class"] | Sequence[float]
"""One number per class."""


def counted_samples(targets: Integer[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Return which samples have a loss: all but those whose target is -100."""
    whole = targets if targets.is_floating_point() else targets.long()  # as uint8, -100 would be class 156
    return whole != IGNORED


def widened(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return float64 as it is, anything narrower as float32."""
    return values if values.dtype == torch.float64 else values.float()


def warn_of_probabilities(caller: str, logits: Float[Tensor, "..."]) -> None:
    """Warn where logits look like probabilities: all within [0, 1], and not all equal."""
    if not logits.numel():
        return
    low, high = logits.detach().aminmax()
    if 0 <= low < high <= 1:
        warnings.warn(
            f"{caller}: all logits lie within [0, 1], so these may be probabilities passed where logits are expected; "
            "pass them before the softmax or sigmoid.",
            stacklevel=3,
        )


def checked_targets(
    caller: str,
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    classes: int | None = None,
) -> Integer[Tensor, " sample"]:
    """Return the targets as int64; there are as many classes as columns where nothing else is said.

    Raises:
        InputError: other shapes; targets that are no whole numbers, or none of the classes.
    """
    require_matrix(caller, "logits", logits, "sample, class")
    if (
        not isinstance(targets, Tensor)
        or targets.shape != logits.shape[:1]
        or targets.dtype.is_floating_point
    ):
        came = f"targets are {describe(targets)} for logits {describe(logits)}"
        raise fail(caller, came, "one class number per sample: a tensor of whole numbers [sample]")
    targets, known = targets.long(), logits.shape[1] if classes is None else classes
    wrong = counted_samples(targets) & ((targets < 0) | (targets >= known))
    if bool(wrong.any()):
        of_what = "logits" if classes is None else "costs"
        came = f"a target is {int(targets[wrong][0])} where {of_what} have {known} classes"
        raise fail(caller, came, f"numbers from 0 to {known - 1}, or {IGNORED} for a sample to ignore")
    return targets


def log_probability_of_target(
    caller: str, logits: Float[Tensor, "sample class"], targets: Integer[Tensor, " sample"]
) -> Float[Tensor, " sample"]:
    """Return log p of the true class of every sample, float32 or wider; 0 without a gradient where it is ignored.

    Raises:
        InputError: other shapes; targets that are no whole numbers, or none of the classes.
    """
    targets = checked_targets(caller, logits, targets)
    counted = counted_samples(targets)
    known = widened(logits)
    if not bool(counted.all()):
        # masked before the softmax: a sample that is ignored may hold anything, NaN included
        known = known.masked_fill(~counted.unsqueeze(1), 0)
    return -cross_entropy(known, targets, ignore_index=IGNORED, reduction="none")


def numbers_of_classes(
    caller: str, name: str, values: PerClass, logits: Float[Tensor, "sample class"]
) -> Float[Tensor, " class"]:
    """Return one number per class as float64 where the logits are.

    Raises:
        InputError: not one per class, or one that is negative or not finite.
    """
    require_matrix(caller, "logits", logits, "sample, class")
    numbers = tensor_of(caller, name, values, f"one number per class [{logits.shape[1]}]")
    numbers = numbers.to(logits.device, torch.float64)
    if numbers.shape != logits.shape[1:]:
        came = f"{name} are {describe(values)} for logits {describe(logits)}"
        raise fail(caller, came, f"one number per class [{logits.shape[1]}]")
    if not bool((numbers.isfinite() & (numbers >= 0)).all()):
        raise fail(caller, f"{name} are {numbers.tolist()}"[:120], "finite numbers >= 0")
    return numbers


def counts_of_classes(
    caller: str,
    class_counts: PerClass,
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
) -> Float[Tensor, " class"]:
    """Return how many samples each class has among those that are trained on, as float64.

    Raises:
        InputError: not one count per class, a negative one, none above 0, a target whose class was never counted.
    """
    counts = numbers_of_classes(caller, "class_counts", class_counts, logits)
    targets = checked_targets(caller, logits, targets)
    if not bool((counts > 0).any()):
        raise fail(caller, f"class_counts are {counts.tolist()}"[:120], "a class with a sample")
    missing = targets[counted_samples(targets)]
    missing = missing[counts[missing] == 0]
    if len(missing):
        came = f"a target is {int(missing[0])}, of which class_counts has none"
        raise fail(caller, came, "counts of the data that is trained on")
    return counts

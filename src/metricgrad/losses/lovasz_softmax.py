"""Lovász-softmax: the mean over classes of 1 - IoU, extended to probabilities. For mean IoU after cross-entropy."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import describe, fail, whole_number
from metricgrad.losses.class_scores import checked_targets, counted_samples, widened
from metricgrad.losses.lovasz_extension import lovasz_extension, of_images

__all__ = ["lovasz_softmax_loss"]

READS_IMAGES = True
STANDS_FOR = ("mean_iou",)
"""Metrics that it is a surrogate of."""


def lovasz_softmax_loss(
    logits: Float[Tensor, "..."],
    targets: Integer[Tensor, "..."],
    *,
    classes: Literal["present", "all"] | Sequence[int] = "present",
    per_image: bool = False,
) -> Float[Tensor, "..."]:
    """Return the mean over classes of the Lovász extension of 1 - IoU (surrogate of mean IoU).

    The error of a pixel for class c is |1[its class is c] - p_c|, p the softmax of its logits.

    Args:
        logits: class scores, [pixel, class] or [image, class, ...] with one axis or more of places.
        targets: class numbers, [pixel] or [image, ...]; -100 for a pixel to ignore.
        classes: `present`: those with a pixel among the targets; `all`; or some by number.
        per_image: one value per image, of its own pixels, instead of one for the whole batch. The two have different
            optima: mean IoU of a data set sums pixels over images, `per_image` weighs small and large objects alike.

    Returns:
        A scalar in [0, 1]; [image] with `per_image`. Lower is better.

    Raises:
        InputError: other shapes, a target that is no class, a class that logits have not, `per_image` of pixels.

    Edge cases:
        Ignored pixels are left out before anything else. No pixel: 0, attached to the graph. Of `all`, a class without
        a pixel contributes its largest probability. NaN stays NaN.

    Gradient:
        Exact where no two errors are equal; of equal ones the first pixel comes first. float32 for half precision.

    Cost:
        O(class pixel log pixel) time, memory of one class at a time beside the softmax.

    Differs from the paper:
        Nothing.

    Reference:
        [berman2018lovasz]

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 1.0]])
        >>> lovasz_softmax_loss(logits, torch.tensor([0, 1, 0]))
        tensor(0.4251)
    """
    caller = "lovasz_softmax_loss"
    if not isinstance(logits, Tensor) or logits.ndim < 2 or (per_image and logits.ndim < 3):
        raise fail(
            caller,
            f"logits are {describe(logits)}",
            "[image, class, ...]" + ("" if per_image else " or [pixel, class]"),
        )
    chosen = classes if isinstance(classes, str) else [_number(one, logits.shape[1]) for one in classes]
    if isinstance(chosen, str) and chosen not in ("present", "all"):
        raise fail(caller, f"classes is {classes!r}", "'present', 'all' or class numbers")
    return of_images(partial(_of_pixels, caller, chosen), logits, targets, per_image=per_image)


def _number(value: int, classes: int) -> int:
    number = whole_number("lovasz_softmax_loss", "a class", value, least=0)
    if number >= classes:
        raise fail("lovasz_softmax_loss", f"a class is {number}", f"one of {classes}")
    return number


def _of_pixels(caller: str, classes: str | list[int], logits: Tensor, targets: Tensor) -> Tensor:
    """The loss of all pixels as one set."""
    if logits.ndim > 2:
        if not isinstance(targets, Tensor) or targets.shape != logits.shape[:1] + logits.shape[2:]:
            came = f"targets are {describe(targets)} for logits {describe(logits)}"
            raise fail(caller, came, "one class number per pixel [image, ...]")
        logits, targets = logits.movedim(1, -1).flatten(0, -2), targets.flatten()  # [pixel, class]
    targets = checked_targets(caller, logits, targets)
    counted = counted_samples(targets)
    probabilities, targets = widened(logits[counted]).softmax(1), targets[counted]
    if classes == "present":
        classes = targets.unique().tolist()
    of_classes = [
        lovasz_extension((one.to(probabilities.dtype) - probabilities[:, number]).abs(), one)
        for number in (range(logits.shape[1]) if isinstance(classes, str) else classes)
        for one in [targets == number]
    ]
    return torch.stack(of_classes).mean() if of_classes else probabilities.sum()

"""Lovász hinge: 1 - IoU of one class, extended to hinge errors of its scores. For binary segmentation."""

from jaxtyping import Float, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad.losses.class_scores import counted_samples, widened
from metricgrad.losses.lovasz_extension import lovasz_extension, of_images

__all__ = ["lovasz_hinge_loss"]

READS_IMAGES = True
STANDS_FOR = ("jaccard",)
"""Metrics that it is a surrogate of."""


def lovasz_hinge_loss(
    label_logits: Float[Tensor, "..."], targets: Shaped[Tensor, "..."], *, per_image: bool = False
) -> Float[Tensor, "..."]:
    """Return the Lovász extension of 1 - IoU at the errors max(0, 1 - logit * (2 target - 1)) (surrogate of IoU).

    Args:
        label_logits: scores of class 1, one per pixel: above 0 the pixel is taken for it. [pixel] or [image, ...].
        targets: 0 or 1 (or bool) of the same shape; -100 for a pixel to ignore.
        per_image: one value per image, of its own pixels, instead of one for the whole batch; see
            `lovasz_softmax_loss`.

    Returns:
        A scalar >= 0; [image] with `per_image`. Lower is better; 0 where every pixel is right by a margin of 1.

    Raises:
        InputError: other shapes, a target other than 0, 1 and -100, `per_image` of pixels.

    Edge cases:
        Ignored pixels are left out before anything else. No pixel: 0, attached to the graph. No pixel of class 1: the
        largest error. NaN stays NaN.

    Gradient:
        Exact where no two errors are equal; of equal ones the first pixel comes first. 0 for pixels beyond the margin.
        float32 for half precision.

    Cost:
        O(pixel log pixel).

    Differs from the paper:
        Published code sorts raw margins and cuts them at 0 afterwards: the same value.

    Reference:
        [yu2015lovasz], [berman2018lovasz]

    Example:
        >>> import torch
        >>> lovasz_hinge_loss(torch.tensor([0.3, -2.0, 0.7]), torch.tensor([0, 0, 0]))
        tensor(1.7000)
    """
    caller = "lovasz_hinge_loss"
    if (
        not isinstance(targets, Tensor)
        or targets.shape != label_logits.shape
        or (per_image and label_logits.ndim < 2)
    ):
        came = f"targets are {describe(targets)} for label_logits {describe(label_logits)}"
        raise fail(caller, came, "one target per score" + (", [image, ...]" if per_image else ""))
    if not bool(((targets == 0) | (targets == 1) | ~counted_samples(targets)).all()):
        raise fail(caller, "a target is neither 0 nor 1", "0, 1, or -100 for a pixel to ignore")
    return of_images(_of_pixels, label_logits, targets, per_image=per_image)


def _of_pixels(scores: Tensor, targets: Tensor) -> Tensor:
    """The loss of all pixels as one set."""
    counted = counted_samples(targets)
    wide, positive = widened(scores[counted]), targets[counted] == 1
    return lovasz_extension((1 - wide.where(positive, -wide)).clamp_min(0), positive)

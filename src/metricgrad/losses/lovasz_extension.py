"""The Lovász extension of the Jaccard loss: from whole sets of wrong pixels to errors that are real numbers.

The Jaccard loss of a set of wrong pixels is 1 - IoU. Its extension to errors of any size is convex, piecewise linear
and equal to it where every error is 0 or 1. Two losses use it: one with errors of a softmax, one with hinge errors.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["lovasz_extension", "of_images"]


def lovasz_extension(errors: Float[Tensor, " pixel"], positives: Bool[Tensor, " pixel"]) -> Float[Tensor, ""]:
    """Return sum_i m_(i) (D_i - D_(i-1)) with the errors m sorted, largest first (exact at errors of 0 and 1).

        D_i = 1 - (P - positives among the first i) / (P + negatives among the first i)      P: all positives

    Args:
        errors: >= 0.
        positives: which pixels are of the class.

    Returns:
        The extension; of errors 0 and 1 it is 1 - IoU.

    Edge cases:
        No positive: the largest error. No pixel: 0, attached to the graph. Ties: one value; the gradient follows the
        order of the pixels. NaN stays NaN.

    Gradient:
        Exact but for ties: the differences of D, which are constants between two orders.

    Cost:
        O(pixel log pixel) time, O(pixel) memory. Counts are whole numbers, whatever the precision of the errors.

    Reference:
        [berman2018lovasz]

    Example:
        >>> lovasz_extension(torch.tensor([0.9, 0.3, 0.7, 0.2]), torch.tensor([False, True, True, False]))
        tensor(0.6333)
    """
    ordered, order = errors.sort(descending=True, stable=True)
    positive = positives[order].long()
    all_positives = positive.sum()
    both = all_positives - positive.cumsum(0)
    either = all_positives + (1 - positive).cumsum(0)
    jaccard = 1 - both.double() / either
    steps = jaccard.diff(prepend=jaccard.new_zeros(1))
    return (ordered * steps.to(errors.dtype)).sum()


def of_images(
    loss: Callable[[Tensor, Tensor], Tensor], values: Tensor, targets: Tensor, *, per_image: bool
) -> Tensor:
    """Return a loss of all pixels as one set, or of the pixels of every image [image]."""
    if not per_image:
        return loss(values, targets)
    found = [loss(values[[image]], targets[[image]]) for image in range(len(values))]
    return torch.stack(found) if found else values.flatten(1).sum(1)

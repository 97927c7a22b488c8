"""Focal loss: cross-entropy in which samples that are already right lose their weight. A control for imbalance.

Most samples of a frequent class are soon right. Their weight falls with the probability of their class, so that the
rare and difficult ones decide.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, positive_number
from metricgrad._safe import or_one
from metricgrad.losses.class_scores import (
    PerClass,
    counted_samples,
    log_probability_of_target,
    numbers_of_classes,
)

__all__ = ["focal_loss"]

SPACE = {"gamma": (0.5, 1.0, 2.0, 3.0)}
"""Values that tries draw from."""


def focal_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    gamma: Number = 2.0,
    class_weights: PerClass | None = None,
) -> Float[Tensor, " sample"]:
    """Return -w_y (1 - p)^gamma log p per sample, p the probability of its target (surrogate).

    Args:
        logits: unnormalised class scores; p is their softmax. Two columns 0 and z give the loss of one score z.
        targets: class numbers from 0; -100 for a sample to ignore.
        gamma: >= 0; 0 is cross-entropy.
        class_weights: w, >= 0; None for 1 each.

    Returns:
        One value per sample, >= 0, lower is better.

    Raises:
        InputError: gamma < 0; not one weight per class, or a negative one; other shapes; a target that is no class.

    Edge cases:
        An ignored sample has 0 and zero gradient: average with `mean_valid(loss, targets != -100)`. A batch without
        samples gives an empty loss. NaN stays NaN.

    Gradient:
        Exact; it vanishes as p goes to 1. float32 for half precision.

    Cost:
        O(sample class), as cross-entropy.

    Differs from the paper:
        The paper has one sigmoid per class; this is the form for one class per sample. Its alpha is `class_weights`.

    Reference:
        [lin2017focal] equation 5.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> focal_loss(logits, torch.tensor([0, 0]))
        tensor([0.0018, 1.6501])
    """
    power = positive_number("focal_loss", "gamma", gamma, zero=True)
    log_p = log_probability_of_target("focal_loss", logits, targets)
    missing = -torch.expm1(log_p)  # 1 - p
    # x^gamma has no slope at 0 for gamma < 1, where the loss is 0: the base is 1 there, times log p = 0
    losses = -or_one(missing).pow(power) * log_p
    if class_weights is None:
        return losses
    weights = numbers_of_classes("focal_loss", "class_weights", class_weights, logits).to(log_p.dtype)
    return losses * weights[targets.long().where(counted_samples(targets), 0)]

"""Class-weighted cross-entropy: every class counts as much as its samples are rare. A control for imbalanced classes.

It is what most people try first against imbalance, so a method for imbalanced data should do better than it.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, fail, finite_number
from metricgrad.losses.class_scores import (
    PerClass,
    counted_samples,
    counts_of_classes,
    log_probability_of_target,
)

__all__ = ["class_weighted_cross_entropy_loss"]

STANDS_FOR = ("balanced_accuracy", "balanced_error")
"""Metrics that it is a surrogate of."""

SPACE = {"beta": (0.99, 0.999, 1.0)}
"""Values that tries draw from."""


def class_weighted_cross_entropy_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    class_counts: PerClass,
    beta: Number = 1.0,
) -> Float[Tensor, " sample"]:
    """Return w_y times cross-entropy per sample, w the weight of the target's class (surrogate).

    w_c is proportional to 1 / E_c with E_c = (1 - beta^n_c) / (1 - beta), the effective number of samples. beta 1 is
    E_c = n_c: inverse frequency. beta 0 is cross-entropy. The weights are scaled so that their mean over the samples
    that were counted is 1: with beta 1, w_c = N / (C n_c) for N samples of C classes.

    Args:
        logits: unnormalised class scores.
        targets: class numbers from 0; -100 for a sample to ignore.
        class_counts: n, samples of each class in the data that is trained on; `tune` counts them in fit.
        beta: in 0 to 1.

    Returns:
        One value per sample, >= 0, lower is better.

    Raises:
        InputError: beta outside 0 to 1; not one count per class, a negative one, a target whose class has count 0;
            other shapes; a target that is no class.

    Edge cases:
        An ignored sample has 0 and zero gradient: average with `mean_valid(loss, targets != -100)`. A class with count
        0 takes no part in the weights. A batch without samples gives an empty loss. NaN stays NaN.

    Gradient:
        Exact; float32 for half precision.

    Cost:
        O(sample class), as cross-entropy.

    Differs from the paper:
        [cui2019effective] scales the weights to the sum C over classes; PyTorch's `weight=` divides a batch by the
        weights in it. Here a batch is divided by its samples, so that every sample weighs the same in every batch.

    Reference:
        [cui2019effective]

    Example:
        >>> logits = torch.zeros(2, 2)
        >>> class_weighted_cross_entropy_loss(logits, torch.tensor([0, 1]), class_counts=[90, 10])
        tensor([0.3851, 3.4657])
    """
    caller = "class_weighted_cross_entropy_loss"
    share = finite_number(caller, "beta", beta)
    if not 0 <= share <= 1:
        raise fail(caller, f"beta is {beta!r}", "a number from 0 to 1")
    counts = counts_of_classes(caller, class_counts, logits, targets)
    log_p = log_probability_of_target(caller, logits, targets)
    present = counts > 0
    each = torch.where(present, 1 / _effective(counts.where(present, 1), share), 0)
    weights = each * counts.sum() / (each * counts).sum()  # [class]
    return -log_p * weights.to(log_p.dtype)[targets.long().where(counted_samples(targets), 0)]


def _effective(counts: Float[Tensor, " class"], beta: float) -> Float[Tensor, " class"]:
    """Return the effective number of samples, (1 - beta^n) / (1 - beta); n for beta 1."""
    if beta == 1:
        return counts
    return -torch.expm1(torch.xlogy(counts, beta)) / (1 - beta)

"""Symmetric cross-entropy: cross-entropy beside its reverse, in which labels and probabilities have changed places.

Cross-entropy learns fast and learns wrong labels, too; its reverse learns slowly and is not bent by them. The sum is
for noisy labels where `mean_absolute_error_loss` alone does not learn.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, fail, finite_number, positive_number
from metricgrad.losses.class_scores import log_probability_of_target

__all__ = ["negative_number", "symmetric_cross_entropy_loss"]

STANDS_FOR = ("accuracy", "error_rate")
"""Metrics that it is a surrogate of."""

SPACE = {"alpha": (0.1, 1.0, 6.0), "beta": (0.1, 1.0)}
"""Values that tries draw from."""


def symmetric_cross_entropy_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    alpha: Number = 0.1,
    beta: Number = 1.0,
    log_of_zero: Number = -4.0,
) -> Float[Tensor, " sample"]:
    """Return -alpha log p - beta A (1 - p) per sample, p the probability of its target (surrogate).

    The second part is the reverse cross-entropy -sum_k p_k log q_k, q the label as a distribution, where log 0 is A.
    With A = -2 it is the mean absolute error.

    Args:
        logits: unnormalised class scores; p is their softmax.
        targets: class numbers from 0; -100 for a sample to ignore.
        alpha: >= 0, weight of cross-entropy. The smaller, the less are wrong labels learned.
        beta: >= 0, weight of the reverse.
        log_of_zero: A, below 0.

    Returns:
        One value per sample, >= 0, lower is better. The reverse parts of all labels of a sample add up to
        -A (K - 1) for K classes.

    Raises:
        InputError: alpha or beta below 0; A not below 0; other shapes; a target that is no class.

    Edge cases:
        An ignored sample has 0 and zero gradient: average with `mean_valid(loss, targets != -100)`. A batch without
        samples gives an empty loss. With alpha > 0 a target whose logit is -inf has an infinite loss. NaN stays NaN.

    Gradient:
        Exact: alpha - A beta p times that of cross-entropy. float32 for half precision.

    Cost:
        O(sample class), as cross-entropy.

    Differs from the paper:
        Nothing. alpha 0.1, beta 1 and A = -4 are its settings for CIFAR-10; for CIFAR-100 alpha is 6 and beta 0.1. Code
        that circulates sets 0 in the label to 1e-4, which makes A = -9.21: a larger beta.

    Reference:
        [wang2019symmetric]

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> symmetric_cross_entropy_loss(logits, torch.tensor([0, 0]))
        tensor([0.4895, 3.7359])
    """
    caller = "symmetric_cross_entropy_loss"
    forward, backward = (
        positive_number(caller, name, value, zero=True) for name, value in (("alpha", alpha), ("beta", beta))
    )
    zero = negative_number(caller, "log_of_zero", log_of_zero)
    log_p = log_probability_of_target(caller, logits, targets)
    reverse = zero * torch.expm1(log_p)
    # 0 times an infinite cross-entropy is no number
    return backward * reverse if forward == 0 else backward * reverse - forward * log_p


def negative_number(caller: str, name: str, value: Number) -> float:
    """Return a setting as a float; InputError unless it is below 0."""
    number = finite_number(caller, name, value, "a finite number < 0")
    if number >= 0:
        raise fail(caller, f"{name} is {value!r}", "a finite number < 0")
    return number

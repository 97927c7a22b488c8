"""Active and passive: normalised cross-entropy beside a loss that only lowers the other classes, both robust to noise.

Each part has the same sum over all labels of a sample whatever the model says, so labels that are wrong at random leave
its minimum where it was. One alone learns too little; together they help each other.
"""

from typing import Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, fail, positive_number
from metricgrad.losses.class_scores import checked_targets, counted_samples, widened
from metricgrad.losses.symmetric_cross_entropy import negative_number

__all__ = ["active_passive_loss"]

STANDS_FOR = ("accuracy", "error_rate")
"""Metrics that it is a surrogate of."""

SPACE = {"alpha": (1.0, 10.0), "beta": (0.1, 1.0, 10.0)}
"""Values that tries draw from."""


def active_passive_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    alpha: Number = 1.0,
    beta: Number = 1.0,
    passive: Literal["mean_absolute_error", "reverse_cross_entropy"] = "reverse_cross_entropy",
    log_of_zero: Number = -4.0,
) -> Float[Tensor, " sample"]:
    """Return alpha log p_y / sum_k log p_k + beta L(p_y) per sample, p the softmax (surrogate).

    The first part is cross-entropy over the sum of the cross-entropies of all labels. L is 2 (1 - p_y), the mean
    absolute error, or -A (1 - p_y), the reverse cross-entropy.

    Args:
        logits: unnormalised class scores; p is their softmax.
        targets: class numbers from 0; -100 for a sample to ignore.
        alpha: >= 0, weight of the normalised cross-entropy.
        beta: >= 0, weight of the passive loss.
        passive: L. The two differ by the factor -A / 2 alone.
        log_of_zero: A, below 0; of the reverse cross-entropy.

    Returns:
        One value per sample in 0 to alpha + beta max L, lower is better. Over the labels of a sample they add up to
        alpha + beta (K - 1) max L for K classes.

    Raises:
        InputError: alpha or beta below 0; A not below 0; unknown `passive`; other shapes; a target that is no class.

    Edge cases:
        An ignored sample has 0 and zero gradient: average with `mean_valid(loss, targets != -100)`. A batch without
        samples gives an empty loss. A logit of -inf removes its class; where it is that of the target, the first part
        is its limit, 1, without a gradient. With one class it is 0. NaN stays NaN.

    Gradient:
        Exact. That of the first part vanishes as 1 / sum_k log p_k where the model is sure. float32 for half precision.

    Cost:
        O(sample class), as cross-entropy.

    Differs from the paper:
        Nothing. alpha 1 and beta 1 are what its code has for CIFAR-10; for CIFAR-100 alpha is 10 there. That code drops
        the factor 2 of the mean absolute error and sets 0 in the label to 1e-4, which makes A = -9.21. The paper's
        normalised focal loss is not built.

    Reference:
        [ma2020normalized]

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> active_passive_loss(logits, torch.tensor([0, 0]))
        tensor([0.5331, 4.4669])
    """
    caller = "active_passive_loss"
    active, other = (
        positive_number(caller, name, value, zero=True) for name, value in (("alpha", alpha), ("beta", beta))
    )
    zero = negative_number(caller, "log_of_zero", log_of_zero)
    if passive not in ("mean_absolute_error", "reverse_cross_entropy"):
        raise fail(caller, f"passive is {passive!r}", "'mean_absolute_error' or 'reverse_cross_entropy'")
    targets = checked_targets(caller, logits, targets)
    counted = counted_samples(targets)
    # masked before the softmax: a sample that is ignored may hold anything
    log_p = widened(logits).masked_fill(~counted.unsqueeze(1), 0).log_softmax(1)
    of_target = log_p.gather(1, targets.where(counted, 0).unsqueeze(1)).squeeze(1)
    largest = 2.0 if passive == "mean_absolute_error" else -zero
    losses = active * _normalised(log_p, of_target) - other * largest * torch.expm1(of_target)
    return losses.masked_fill(~counted, 0)


def _normalised(log_p: Tensor, of_target: Tensor) -> Tensor:
    """Return the share of the target's log probability in the sum of all, of the classes that are not removed."""
    removed = of_target == -torch.inf
    total = log_p.masked_fill(log_p == -torch.inf, 0).sum(1)
    known = ~removed & (total != 0)  # the sum is 0 where one class is left, and so is the loss
    shares = torch.where(known, of_target, 0) / torch.where(known, total, 1)
    return torch.where(removed, 1, shares)

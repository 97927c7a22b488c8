"""Guided complement entropy: one loss instead of cross-entropy, which levels the wrong classes where it is right.

For training from scratch, or where labels are noisy. Poor after training: a confident mistake, and a sample whose
wrong probability is all on one class, have almost no gradient. Nothing is claimed here of robustness against attacks.
"""

from functools import partial

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, fail, positive_number
from metricgrad.losses.class_scores import checked_targets, counted_samples, widened
from metricgrad.losses.complement_entropy import without_target
from metricgrad.losses.entropy_within import (
    ClassMask,
    Normalizer,
    allowed_classes,
    by_rows,
    negative_entropy_within,
    scale_of_entropy,
)

__all__ = ["guided_complement_entropy_loss"]

SPACE = {"guide_exponent": (0.2, 1 / 3, 0.5)}
"""Values that tries draw from."""


def guided_complement_entropy_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    guide_exponent: Number = 1 / 3,
    normalizer: Normalizer = "log_support",
    class_mask: ClassMask | None = None,
) -> Float[Tensor, " sample"]:
    """Return -c p^guide_exponent H(q) per sample: p of its target, q the softmax over all other classes (surrogate).

    Args:
        logits: unnormalised class scores of at least three classes.
        targets: class numbers from 0; -100 for a sample to ignore.
        guide_exponent: >= 0; with 0 the score of the target has no gradient, and the loss is complement entropy.
        normalizer: c for a sample of K classes: "log_support" 1 / log(K - 1), "support" 1 / (K - 1), "released"
            1 / log K, "none" 1.
        class_mask: [class] or [sample, class], True for the classes that a sample may have; K counts these alone.

    Returns:
        One value per sample, lower is better: negative by design, with "log_support" from -1, where the target has
        nearly all probability and the wrong classes are level, to 0.

    Raises:
        InputError: fewer than three classes (the loss would be constant); guide_exponent < 0; an unknown normalizer;
            other shapes; a target that is no class, or that `class_mask` leaves out.

    Edge cases:
        A sample to which the mask leaves two classes has 0 and zero gradient. So has an ignored one: average with
        `mean_valid(loss, targets != -100)`. A batch without samples gives an empty loss. A logit of -inf removes its
        class; of the target, it makes p 0. NaN stays NaN.

    Gradient:
        Exact, p^guide_exponent included, and computed from log p. It vanishes where p does: 3e-4 at p = 2e-9, where
        cross-entropy has about 1. float32 for half precision.

    Cost:
        O(sample class), a few times cross-entropy; beyond 256 MB in parts, which are recomputed in the backward pass.

    Differs from the paper:
        Nothing, by what is reported of its normalizer. The published code divides by log K, with K fixed at 10, and
        adds small constants.

    Reference:
        [chen2019guided]

    Example:
        >>> logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
        >>> guided_complement_entropy_loss(logits, torch.tensor([0, 0, 0]))
        tensor([-0.9999, -0.6934, -0.0981])
    """
    caller = "guided_complement_entropy_loss"
    exponent = positive_number(caller, "guide_exponent", guide_exponent, zero=True)
    targets = checked_targets(caller, logits, targets)
    if logits.shape[1] < 3:
        raise fail(
            caller, f"logits have {logits.shape[1]} classes", "at least three: with two the loss is constant"
        )
    allowed = allowed_classes(caller, class_mask, logits, targets)
    return by_rows(partial(_of_rows, caller, normalizer, exponent), logits, targets, allowed, passes=2)


def _of_rows(
    caller: str, normalizer: Normalizer, exponent: float, logits: Tensor, targets: Tensor, allowed: Tensor
) -> Tensor:
    """Return the losses of some samples."""
    logits = widened(logits)
    level, count = negative_entropy_within(logits, without_target(allowed, targets))
    counted = counted_samples(targets)
    kept = torch.where(allowed, logits, torch.where(counted, -torch.inf, 0.0).unsqueeze(1))
    log_p = kept.log_softmax(1).gather(1, targets.where(counted, 0).unsqueeze(1)).squeeze(1)
    guide = (exponent * log_p).exp() if exponent else torch.ones_like(log_p)
    scale = scale_of_entropy(caller, normalizer, count, (count + 1).double().log()).to(level)
    return (guide * level * scale).masked_fill(~counted, 0)

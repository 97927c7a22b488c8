"""Complement cross-entropy: cross-entropy that also levels the wrong classes, in one loss and one step.

The form of complement entropy to begin with: one pass, one optimiser, adaptive ones too. For at least three classes
whose wrong ones say nothing of the right one.
"""

import warnings

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, finite_number
from metricgrad.losses.class_scores import log_probability_of_target
from metricgrad.losses.complement_entropy import named_complement_entropy
from metricgrad.losses.entropy_within import ClassMask, Normalizer, allowed_classes

__all__ = ["complement_cross_entropy_loss"]

SPACE = {"balance": (0.3, 1.0, 3.0), "normalizer": ("support", "log_support")}
"""Values that tries draw from."""


def complement_cross_entropy_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    balance: Number = 1.0,
    normalizer: Normalizer = "support",
    class_mask: ClassMask | None = None,
) -> Float[Tensor, " sample"]:
    """Return -log p - balance * c H(q) per sample: p of its target, q the softmax over all other classes (surrogate).

    Args:
        logits: unnormalised class scores of at least two classes.
        targets: class numbers from 0; -100 for a sample to ignore.
        balance: how much complement entropy counts; 0 is cross-entropy. A negative one punishes level wrong classes,
            which is warned of.
        normalizer: c, as of `complement_entropy_loss`.
        class_mask: [class] or [sample, class], True for the classes that a sample may have; others count nowhere.

    Returns:
        One value per sample, lower is better; with "support" and `balance` >= 0 at least -balance log(K - 1) / (K - 1)
        for K classes.

    Raises:
        InputError: balance that is not finite; fewer than two classes; an unknown normalizer; other shapes; a target
            that is no class, or that `class_mask` leaves out.

    Edge cases:
        With two classes it is cross-entropy, which is warned of. An ignored sample has 0 and zero gradient: average
        with `mean_valid(loss, targets != -100)`. A batch without samples gives an empty loss. A logit of -inf removes
        its class. NaN stays NaN.

    Gradient:
        Exact: that of cross-entropy and balance times that of `complement_entropy_loss`. float32 for half precision.

    Cost:
        O(sample class), a few times cross-entropy; beyond 256 MB in parts, which are recomputed in the backward pass.

    Differs from the paper:
        Nothing, by what is reported of it. The published code has the opposite sign and divides by K: by default it
        punishes level wrong classes. That is `balance=-1, normalizer="released"` here.

    Reference:
        [kim2021complement]

    Example:
        >>> logits = torch.tensor([[2.0, 0.0, 0.0], [2.0, 0.0, 3.0]])
        >>> complement_cross_entropy_loss(logits, torch.tensor([0, 0]))
        tensor([-0.1070,  1.2536])
    """
    caller = "complement_cross_entropy_loss"
    weight = finite_number(caller, "balance", balance)
    if weight < 0:
        warnings.warn(f"{caller}: balance is {weight:g}, which punishes level wrong classes.", stacklevel=2)
    level = named_complement_entropy(caller, logits, targets, normalizer, class_mask)
    if class_mask is not None:
        allowed = allowed_classes(caller, class_mask, logits, targets.long())
        logits = logits.masked_fill(~allowed, -torch.inf)
    return weight * level - log_probability_of_target(caller, logits, targets)

"""Complement entropy: the probabilities of the wrong classes should be level among themselves.

A second objective beside cross-entropy, for at least three classes whose wrong ones say nothing of the right one. It
leaves the score of the right class alone, so that it trains no classifier by itself: `alternating:complement_entropy`
is both in two steps, `complement_cross_entropy_loss` in one. Not where wrong classes are ordered by meaning: see
`hierarchical_complement_entropy_loss`.
"""

import warnings
from functools import partial

from jaxtyping import Bool, Float, Integer
from torch import Tensor

from metricgrad._checks import fail
from metricgrad.losses.class_scores import checked_targets, counted_samples, widened
from metricgrad.losses.entropy_within import (
    ClassMask,
    Normalizer,
    allowed_classes,
    by_rows,
    negative_entropy_within,
    scale_of_entropy,
)

__all__ = ["complement_entropy_loss", "named_complement_entropy", "without_target"]


def complement_entropy_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    normalizer: Normalizer = "support",
    class_mask: ClassMask | None = None,
) -> Float[Tensor, " sample"]:
    """Return -c H(q) per sample, q the softmax over all classes but its target, H in nats (exact; negative by design).

    H(q) is to be large, so the loss is its negative: values below 0 are right. Normalizer "none" gives -H(q) itself.

    Args:
        logits: unnormalised class scores of at least two classes.
        targets: class numbers from 0; -100 for a sample to ignore.
        normalizer: c for a sample of K classes: "support" 1 / (K - 1), "log_support" 1 / log(K - 1), "released" 1 / K,
            "none" 1.
        class_mask: [class] or [sample, class], True for the classes that a sample may have; K counts these alone.

    Returns:
        One value per sample, lower is better: with "support" from -log(K - 1) / (K - 1), where all wrong classes are
        equally probable, to 0, where one of them has all; with "log_support" from -1.

    Raises:
        InputError: fewer than two classes; an unknown normalizer; other shapes; a target that is no class, or that
            `class_mask` leaves out.

    Edge cases:
        With two classes the loss is always 0, which is warned of; so it is for a sample to which the mask leaves two.
        An ignored sample has 0 and zero gradient, whatever its logits: average with
        `mean_valid(loss, targets != -100)`.
        A batch without samples gives an empty loss. A logit of -inf removes its class. NaN among the wrong classes
        stays NaN; the logit of the target is not read.

    Gradient:
        Exact: c q_j (log q_j + H) for a wrong class, 0 to the last bit for the target. The same at any margin of the
        target. float32 for half precision.

    Cost:
        O(sample class), a few times cross-entropy; beyond 256 MB in parts, which are recomputed in the backward pass.

    Differs from the paper:
        Nothing, by what is reported of its normalizer. The published code divides by K, fixed at 10; "released" is that
        with the K of the logits. Its small constants in division and logarithm are left out: in float32 they turn the
        sign of the gradient of the target once its margin passes 16.

    Reference:
        [chen2019complement]

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0, 0.0], [9.0, 0.0, 3.0]])
        >>> complement_entropy_loss(logits, torch.tensor([0, 0]))
        tensor([-0.3466, -0.0954])
        >>> -complement_entropy_loss(logits, torch.tensor([0, 0]), normalizer="none")  # H(q)
        tensor([0.6931, 0.1909])
    """
    return named_complement_entropy("complement_entropy_loss", logits, targets, normalizer, class_mask)


def named_complement_entropy(
    caller: str,
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    normalizer: Normalizer,
    class_mask: ClassMask | None,
) -> Float[Tensor, " sample"]:
    """Return the loss under the name of the loss that the user called."""
    targets = checked_targets(caller, logits, targets)
    classes = logits.shape[1]
    if classes < 2:
        raise fail(caller, "logits have one class", "at least two, and three for a loss that is not 0")
    if classes == 2:
        warnings.warn(
            f"{caller}: there are two classes, so one wrong class, whose entropy is always 0.", stacklevel=3
        )
    allowed = allowed_classes(caller, class_mask, logits, targets)
    return by_rows(partial(_of_rows, caller, normalizer), logits, targets, allowed)


def without_target(
    allowed: Bool[Tensor, "sample class"], targets: Integer[Tensor, " sample"]
) -> Bool[Tensor, "sample class"]:
    """Return the allowed classes of each sample but its target."""
    known = targets.where(counted_samples(targets), 0).unsqueeze(1)
    return allowed.scatter(1, known, False)


def _of_rows(caller: str, normalizer: Normalizer, logits: Tensor, targets: Tensor, allowed: Tensor) -> Tensor:
    """Return the losses of some samples."""
    level, count = negative_entropy_within(widened(logits), without_target(allowed, targets))
    return level * scale_of_entropy(caller, normalizer, count, count + 1).to(level)

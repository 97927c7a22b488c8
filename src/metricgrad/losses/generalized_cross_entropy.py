"""Generalised cross-entropy: between cross-entropy and mean absolute error, for labels of which some are wrong.

Cross-entropy gives the largest weight to the samples that fit worst, and among noisy labels these are the wrong ones.
Here that weight is multiplied by a power of the probability of the label. Not for clean, hard data: right but hard
samples lose weight as well.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, fail, finite_number
from metricgrad.losses.class_scores import log_probability_of_target

__all__ = ["generalized_cross_entropy_loss"]

SPACE = {"exponent": (0.3, 0.5, 0.7, 0.9)}
"""Values that tries draw from."""


def generalized_cross_entropy_loss(
    logits: Float[Tensor, "sample class"], targets: Integer[Tensor, " sample"], *, exponent: Number = 0.7
) -> Float[Tensor, " sample"]:
    """Return (1 - p^exponent) / exponent per sample, p the probability of its target (surrogate).

    exponent 0 is cross-entropy, -log p; exponent 1 is 1 - p, half of the mean absolute error of the probabilities.

    Args:
        logits: unnormalised class scores; p is their softmax.
        targets: class numbers from 0; -100 for a sample to ignore.
        exponent: in 0 to 1; q. The larger, the less weight has a sample whose label is improbable.

    Returns:
        One value per sample in 0 to 1 / exponent, lower is better.

    Raises:
        InputError: exponent outside 0 to 1; other shapes; a target that is no class.

    Edge cases:
        An ignored sample has 0 and zero gradient, whatever its logits: average with
        `mean_valid(loss, targets != -100)`. A batch without samples gives an empty loss. A logit of -inf removes its
        class; NaN stays NaN.

    Gradient:
        Exact: p^exponent times that of cross-entropy, so it vanishes where the label is very improbable (start from a
        model trained with cross-entropy). Computed from log p, finite at p = 0 and right for exponents down to 1e-12,
        below which the loss is -log p. float32 for half precision.

    Cost:
        O(sample class), as cross-entropy.

    Differs from the paper:
        Nothing. Its truncated form is not built.

    Reference:
        [zhang2018generalized] equations 6 and 7.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> generalized_cross_entropy_loss(logits, torch.tensor([0, 0]))
        tensor([0.1215, 1.1062])
    """
    power = finite_number("generalized_cross_entropy_loss", "exponent", exponent)
    if not 0 <= power <= 1:
        raise fail("generalized_cross_entropy_loss", f"exponent is {exponent!r}", "a number from 0 to 1")
    log_p = log_probability_of_target("generalized_cross_entropy_loss", logits, targets)
    return -log_p if power < 1e-12 else -torch.expm1(power * log_p) / power

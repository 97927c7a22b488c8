"""Generalised cross-entropy: between cross-entropy and mean absolute error, for labels of which some are wrong.

Cross-entropy gives the largest weight to the samples that fit worst, and among noisy labels these are the wrong ones.
Here that weight is multiplied by a power of the probability of the label. Not for clean, hard data: right but hard
samples lose weight as well. The truncated form leaves the least probable labels out altogether.
"""

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, fail, finite_number
from metricgrad.losses.class_scores import counted_samples, log_probability_of_target

__all__ = ["generalized_cross_entropy_loss"]

STANDS_FOR = ("accuracy", "error_rate")
"""Metrics that it is a surrogate of."""

SPACE = {"exponent": (0.3, 0.5, 0.7, 0.9)}
"""Values that tries draw from."""


def generalized_cross_entropy_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    exponent: Number = 0.7,
    cutoff: Number | None = None,
    subtract_constant: bool = False,
) -> Float[Tensor, " sample"]:
    """Return (1 - p^exponent) / exponent per sample, p the probability of its target (surrogate).

    exponent 0 is cross-entropy, -log p; exponent 1 is 1 - p, half of the mean absolute error of the probabilities. With
    a cutoff k the loss of a sample with p <= k is that at p = k, a constant.

    Args:
        logits: unnormalised class scores; p is their softmax.
        targets: class numbers from 0; -100 for a sample to ignore.
        exponent: in 0 to 1; q. The larger, the less weight has a sample whose label is improbable.
        cutoff: None, or k between 0 and 1: samples with p <= k have no gradient. 0.5 is usual. Leave it off for the
            first third of training: at the start p is small everywhere.
        subtract_constant: with a cutoff, subtract the loss at k from every sample: 0 where it is cut off, below 0
            elsewhere. The gradient is the same.

    Returns:
        One value per sample in 0 to 1 / exponent, with `subtract_constant` at most 0; lower is better.

    Raises:
        InputError: exponent outside 0 to 1; cutoff not between 0 and 1; `subtract_constant` without a cutoff; other
            shapes; a target that is no class.

    Edge cases:
        An ignored sample has 0 and zero gradient, whatever its logits: average with
        `mean_valid(loss, targets != -100)`. A batch without samples gives an empty loss. A logit of -inf removes its
        class; NaN stays NaN.

    Gradient:
        Exact: p^exponent times that of cross-entropy, so it vanishes where the label is very improbable (start from a
        model trained with cross-entropy). 0 at and below the cutoff. Computed from log p, finite at p = 0 and right for
        exponents down to 1e-12, below which the loss is -log p. float32 for half precision.

    Cost:
        O(sample class), as cross-entropy.

    Differs from the paper:
        The truncated form decides at every step which samples it cuts off; the paper keeps such a choice for several
        epochs. A third party's code subtracts the constant; that is `subtract_constant`.

    Reference:
        [zhang2018generalized] equations 6 and 7, and section 3.3 for the truncated form.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> generalized_cross_entropy_loss(logits, torch.tensor([0, 0]))
        tensor([0.1215, 1.1062])
    """
    caller = "generalized_cross_entropy_loss"
    power = finite_number(caller, "exponent", exponent)
    if not 0 <= power <= 1:
        raise fail(caller, f"exponent is {exponent!r}", "a number from 0 to 1")
    log_p = log_probability_of_target(caller, logits, targets)
    if cutoff is None:
        if subtract_constant:
            raise fail(
                caller, "subtract_constant came without a cutoff", "a cutoff, whose loss is subtracted"
            )
        return _of_log(log_p, power)
    share = finite_number(caller, "cutoff", cutoff)
    if not 0 < share < 1:
        raise fail(caller, f"cutoff is {cutoff!r}", "a number between 0 and 1")
    lowest = log_p.new_tensor(math.log(share))
    losses = _of_log(torch.where(log_p <= lowest, lowest, log_p), power)
    if not subtract_constant:
        return losses
    return (losses - _of_log(lowest, power)).masked_fill(~counted_samples(targets), 0)


def _of_log(log_p: Tensor, power: float) -> Tensor:
    """Return (1 - p^power) / power."""
    return -log_p if power < 1e-12 else -torch.expm1(power * log_p) / power

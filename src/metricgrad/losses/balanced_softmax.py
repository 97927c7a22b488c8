"""Balanced softmax: cross-entropy of logits to which the log share of each class is added (logit adjustment).

The network learns scores as if all classes were equally frequent, because the added term explains the frequencies. The
largest score then decides for balanced accuracy instead of accuracy, and a decision rule finds its cuts more easily for
rare classes.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, positive_number
from metricgrad.losses.class_scores import PerClass, counts_of_classes, log_probability_of_target, widened

__all__ = ["balanced_softmax_loss"]

STANDS_FOR = ("balanced_accuracy", "balanced_error")
"""Metrics that it is a surrogate of."""

SPACE = {"tau": (0.5, 1.0, 1.5)}
"""Values that tries draw from."""


def balanced_softmax_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    class_counts: PerClass,
    tau: Number = 1.0,
) -> Float[Tensor, " sample"]:
    """Return -log softmax(logits + tau log(n / sum n)) of the target per sample (surrogate of balanced accuracy).

    tau 1 is balanced softmax, tau 0 is cross-entropy. The adjustment belongs to training alone: the model is used with
    its logits as they are.

    Args:
        logits: unnormalised class scores.
        targets: class numbers from 0; -100 for a sample to ignore.
        class_counts: n, samples of each class in the data that is trained on; `tune` counts them in fit.
        tau: >= 0, strength of the adjustment.

    Returns:
        One value per sample, >= 0, lower is better.

    Raises:
        InputError: tau < 0; not one count per class, a negative one, a target whose class has count 0; other shapes; a
            target that is no class.

    Edge cases:
        An ignored sample has 0 and zero gradient: average with `mean_valid(loss, targets != -100)`. A class with count
        0 has no part in the softmax where tau > 0: its logit gets no gradient. A batch without samples gives an empty
        loss. NaN stays NaN.

    Gradient:
        Exact; float32 for half precision.

    Cost:
        O(sample class), as cross-entropy.

    Differs from the paper:
        Nothing: with tau 1 it is that of [ren2020balanced], with any tau that of [menon2021longtail].

    Reference:
        [ren2020balanced], [menon2021longtail]

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> balanced_softmax_loss(logits, torch.tensor([0, 1]), class_counts=[90, 10])
        tensor([0.0149, 0.7966])
    """
    caller = "balanced_softmax_loss"
    tau = positive_number(caller, "tau", tau, zero=True)
    counts = counts_of_classes(caller, class_counts, logits, targets)
    wide = widened(logits)
    adjustment = torch.xlogy(tau, counts / counts.sum()).to(
        wide.dtype
    )  # [class]; 0 for tau 0 even of no sample
    return -log_probability_of_target(caller, wide + adjustment, targets)

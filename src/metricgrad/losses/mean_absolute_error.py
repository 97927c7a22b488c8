"""Mean absolute error of the probabilities: a loss that wrong labels do not bend, and that learns slowly.

Its losses of all labels of a sample add up to the same number for every model, so that labels which are wrong at random
leave its minimum where it was. The price is a small gradient where the label is improbable: `generalized_cross_entropy`
lies between it and cross-entropy.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad.losses.class_scores import log_probability_of_target

__all__ = ["mean_absolute_error_loss"]

STANDS_FOR = ("accuracy", "error_rate")
"""Metrics that it is a surrogate of."""

SPACE: dict[str, tuple[float, ...]] = {}
"""It has no settings."""


def mean_absolute_error_loss(
    logits: Float[Tensor, "sample class"], targets: Integer[Tensor, " sample"]
) -> Float[Tensor, " sample"]:
    """Return sum_k |1[k = y] - p_k| = 2 (1 - p_y) per sample, p the softmax (surrogate).

    Under labels that are exchanged for another one uniformly with rate r below (K - 1) / K, K classes, the mean loss is
    (1 - r K / (K - 1)) times that under the right labels, plus 2 r: it has the same minimum.

    Args:
        logits: unnormalised class scores; p is their softmax.
        targets: class numbers from 0; -100 for a sample to ignore.

    Returns:
        One value per sample in 0 to 2, lower is better; over the labels of a sample they add up to 2 K - 2.

    Raises:
        InputError: other shapes; a target that is no class.

    Edge cases:
        An ignored sample has 0 and zero gradient: average with `mean_valid(loss, targets != -100)`. A batch without
        samples gives an empty loss. A logit of -inf removes its class; NaN stays NaN.

    Gradient:
        Exact: 2 p_y times that of cross-entropy, so it vanishes where the label is very improbable. Start from a model
        trained with cross-entropy. float32 for half precision.

    Cost:
        O(sample class), as cross-entropy.

    Differs from the paper:
        Nothing.

    Reference:
        [ghosh2017robust]

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> mean_absolute_error_loss(logits, torch.tensor([0, 0]))
        tensor([0.2384, 1.7616])
    """
    return -2 * torch.expm1(log_probability_of_target("mean_absolute_error_loss", logits, targets))

"""The proxy loss of the binary tasks: cross-entropy of one score, or of the difference of two."""

from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from metricgrad._checks import describe, fail
from metricgrad._columns import logit_of_class_1, one_column

__all__ = ["binary_cross_entropy"]


def binary_cross_entropy(
    outputs: Float[Tensor, "sample"] | Float[Tensor, "sample 1"] | Float[Tensor, "sample 2"],
    targets: Shaped[Tensor, "sample"] | Shaped[Tensor, "sample 1"],
) -> Float[Tensor, "sample"]:
    """Return the negative log-likelihood of every target under a logit (exact).

    loss[i] = log(1 + exp(-s[i])) where the target is 1, log(1 + exp(s[i])) where it is 0.

    Args:
        outputs: s, the logit of the positive class; of two columns s is the second minus the first (of probabilities
            the difference of their logarithms), and the loss is the cross-entropy of two classes.
        targets: 0 or 1 (or bool).

    Returns:
        One value per sample, in nats, >= 0; lower is better.

    Raises:
        InputError: shapes that do not fit.

    Edge cases:
        Any finite logit has a finite loss: nothing is exponentiated that could overflow. Targets between 0 and 1
        are taken as probabilities. No sample: an empty tensor.

    Gradient:
        Exact: sigma(s) - target; it vanishes where the model is sure and right.

    Cost:
        O(sample).

    Example:
        >>> import torch
        >>> binary_cross_entropy(torch.tensor([0.0, 2.0, 2.0]), torch.tensor([1, 1, 0]))
        tensor([0.6931, 0.1269, 2.1269])
    """
    logits, truths = logit_of_class_1(outputs), one_column(targets)
    if logits is None or truths.shape != logits.shape:
        raise fail(
            "binary_cross_entropy",
            f"outputs are {describe(outputs)} and targets are {describe(targets)}",
            "logits [sample] or [sample, 2], and one target per sample",
        )
    return binary_cross_entropy_with_logits(logits, truths.to(logits.dtype), reduction="none")

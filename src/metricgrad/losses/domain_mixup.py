"""Soft domain labels: a discriminator of two domains that sees mixtures and is told how much of each they hold.

Used adversarially, as a regulariser, it draws the embeddings of labelled and of unlabelled data together: mix the
embeddings of both with random shares (Beta(2, 2) in the released code), give the discriminator
`relax.reverse_gradient(mixed, scale=0.1)`, and add this loss to that of the labelled data. Choose the model by held-out
*labelled* data only.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from metricgrad._checks import Number, describe, fail, tensor_of
from metricgrad.losses.class_scores import widened

__all__ = ["domain_mixup_loss"]


def domain_mixup_loss(
    scores: Float[Tensor, " sample"], targets: Float[Tensor, "..."] | Number
) -> Float[Tensor, " sample"]:
    """Return softplus(score) - share * score per sample: cross-entropy with a soft label (surrogate).

    Args:
        scores: logits of the discriminator, large for the source domain.
        targets: the share of the source in each mixture, in [0, 1], or one for all. 0 and 1 are plain domain labels.

    Returns:
        One value per sample, >= 0, lower is better; the least at sigmoid(score) = share.

    Raises:
        InputError: a share outside of [0, 1], another number of them than scores.

    Edge cases:
        No sample: an empty loss. NaN scores stay NaN. Finite for any finite score.

    Gradient:
        sigmoid(score) - share. float32 for half precision.

    Cost:
        O(sample).

    Differs from the paper:
        The released code rounds shares and moves them away from 0.5; and its adversarial script turns them into whole
        numbers, so that every mixture is told to be all target. Shares are used as they are here.

    Reference:
        [xu2020adversarial]

    Example:
        >>> import torch
        >>> domain_mixup_loss(torch.tensor([0.0, 2.0]), torch.tensor([0.5, 0.75]))
        tensor([0.6931, 0.6269])
    """
    caller = "domain_mixup_loss"
    if not isinstance(scores, Tensor) or scores.ndim != 1 or not scores.is_floating_point():
        raise fail(caller, f"scores are {describe(scores)}", "one logit per sample [sample]")
    shares = tensor_of(caller, "targets", targets, "one share per sample, or one for all")
    if shares.ndim and shares.shape != scores.shape:
        raise fail(
            caller,
            f"targets are {describe(targets)} for scores {describe(scores)}",
            "one share per sample, or one for all",
        )
    known = widened(scores)
    shares = shares.to(known.device, known.dtype)
    if not bool(((shares >= 0) & (shares <= 1)).all()):
        raise fail(caller, "a share of the source is outside of 0 to 1", "numbers from 0 to 1")
    return softplus(known) - shares * known

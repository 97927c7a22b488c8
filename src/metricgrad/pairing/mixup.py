"""Mixup: a network is trained on mixtures of two samples, and told how much of each they hold.

A regulariser for small sets of labelled data. The labels of a mixture are two, each with its share, so that it suits
losses of one label per sample. It does not suit metrics of pairs (recall@k, average precision of a retrieval): whether
two mixtures belong together is no yes or no. Those have `SiMix`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor

from metricgrad._checks import Number, describe, fail, finite_number

__all__ = ["MixedBatch", "mixed_loss", "mixup_batch"]

IGNORED = -100
"""The label of what has no loss."""


class MixedBatch(NamedTuple):
    """A batch of mixtures: `mix` of each sample, 1 - `mix` of another one.

    Attributes:
        inputs: the mixtures.
        targets: labels of the first parts.
        targets_other: labels of the other parts.
        mix: share of the first parts, in [0, 1].
    """

    inputs: Any
    targets: Tensor
    targets_other: Tensor
    mix: float


def mixup_batch(
    inputs: Float[Tensor, "sample ..."],
    targets: Shaped[Tensor, "sample ..."],
    *,
    alpha: Number = 0.2,
    generator: Generator | None = None,
) -> MixedBatch:
    """Return mix * x_i + (1 - mix) * x_j with j a random order of the batch and one mix from Beta(alpha, alpha).

    Args:
        inputs: of floating point.
        targets: class numbers, one per sample or more; -100 for what to ignore.
        alpha: the larger, the closer is mix to 1/2; 0 or less leaves the batch as it is (mix 1).
        generator: where random numbers come from; None for the global one of torch.

    Returns:
        The mixtures and both their labels, for `mixed_loss`.

    Raises:
        InputError: inputs that are no tensor of floating point, another number of targets.

    Edge cases:
        A single sample is mixed with itself. No sample: an empty batch.

    Gradient:
        Through the mixtures, exact.

    Cost:
        One pass over the inputs.

    Reference:
        [zhang2018mixup]

    Example:
        >>> inputs, targets = torch.eye(3), torch.tensor([0, 1, 2])
        >>> mixed = mixup_batch(inputs, targets, alpha=1.0, generator=torch.Generator().manual_seed(0))
        >>> mixed.inputs.sum(1), mixed.targets_other
        (tensor([1., 1., 1.]), tensor([2, 0, 1]))
    """
    caller = "mixup_batch"
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        raise fail(caller, f"inputs are {describe(inputs)}", "a tensor of floating point [sample, ...]")
    if not isinstance(targets, Tensor) or targets.shape[:1] != inputs.shape[:1]:
        raise fail(
            caller, f"targets are {describe(targets)} for inputs {describe(inputs)}", "labels of every sample"
        )
    width = finite_number(caller, "alpha", alpha)
    order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
    mix = 1.0 if width <= 0 else _share(width, generator)
    other = targets[order.to(targets.device)]
    if mix == 1.0:
        return MixedBatch(inputs, targets, other, mix)
    return MixedBatch(torch.lerp(inputs[order], inputs, mix), targets, other, mix)


def mixed_loss(
    loss: Callable[[Any, Tensor], Tensor],
    outputs: Any,
    targets: Shaped[Tensor, "sample ..."],
    targets_other: Shaped[Tensor, "sample ..."],
    *,
    mix: Number,
) -> Float[Tensor, ""]:
    """Return mix * loss(outputs, targets) + (1 - mix) * loss(outputs, targets_other), for any loss.

    With cross-entropy this is cross-entropy with the mixed label. Of a loss that is not linear in the label it is the
    form that is meant; one with a mixed label would be another.

    Args:
        loss: `(outputs, targets) -> Tensor`, a scalar or one value per sample (then averaged; class numbers of -100
            are left out of that average).
        outputs: of the network for the mixtures.
        targets: labels of the first parts.
        targets_other: labels of the other parts.
        mix: share of the first parts, in [0, 1].

    Returns:
        A scalar.

    Raises:
        InputError: mix outside of 0 to 1.

    Edge cases:
        A label to ignore drops its own term, not the sample. With mix 0 or 1 the other term is not computed, so that
        it cannot spoil the value.

    Gradient:
        That of the loss.

    Cost:
        Two calls of the loss.

    Reference:
        [zhang2018mixup]

    Example:
        >>> logits = torch.tensor([[1.0, 0.0, -1.0]])
        >>> cross_entropy = torch.nn.functional.cross_entropy
        >>> mixed_loss(cross_entropy, logits, torch.tensor([0]), torch.tensor([2]), mix=0.3)
        tensor(1.8076)
    """
    share = finite_number("mixed_loss", "mix", mix)
    if not 0 <= share <= 1:
        raise fail("mixed_loss", f"mix is {mix!r}", "a number from 0 to 1")
    terms = [(share, targets), (1 - share, targets_other)]
    found = [weight * _mean(loss(outputs, labels), labels) for weight, labels in terms if weight]
    return torch.stack(found).sum()


def _share(alpha: float, generator: Generator | None) -> float:
    """A draw from Beta(alpha, alpha); torch has none that takes a generator."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _mean(losses: Tensor, labels: Tensor) -> Tensor:
    if losses.ndim == 0:
        return losses
    counted = labels.long() != IGNORED
    counted = counted if counted.ndim == losses.ndim else counted.flatten(1).any(1)
    return losses[counted].sum() / max(1, int(counted.sum()))

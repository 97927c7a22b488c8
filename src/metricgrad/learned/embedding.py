"""Learned surrogate (LS): an embedding whose Euclidean distance reproduces the metric."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from metricgrad._checks import fail, positive_number
from metricgrad._safe import share, smooth_norm

__all__ = ["Fit", "LearnedSurrogate"]


class Fit(NamedTuple):
    """What a surrogate step minimises.

    Attributes:
        objective: fit + gradient_penalty_weight * penalty, scalar.
        fit: mean squared difference between estimate and scaled error, scalar.
        penalty: mean squared difference between the length of the gradient and 1, scalar.
        gradient_norm: mean length of the gradient of the estimate on the prediction side, without gradient; NaN where
            the penalty has no weight.
    """

    objective: Tensor
    fit: Tensor
    penalty: Tensor
    gradient_norm: Tensor


class LearnedSurrogate(nn.Module):
    """The distance between the embeddings of prediction and target, as an estimate of any per-sample error (surrogate).

    e_hat(z, y) = sqrt(|h(z) - h(y)|^2 + epsilon^2) - epsilon,
    fit = mean (e_hat - metric_scale e)^2, penalty = mean over z != y of (|grad_z e_hat| - 1)^2.

    Args:
        encoder: h, maps points of the comparison space [sample, ...] to embeddings [sample, dim]; piecewise linear or
            smooth, without batch normalisation or dropout.
        epsilon: rounds the tip of the distance, >= 0: at z = y value and gradient are 0.
        metric_scale: units of e_hat in a unit of the metric, > 0.
        gradient_penalty_weight: >= 0; 0 leaves the penalty out (and its double backward).
        one_sided: only lengths above 1 are penalised: for metrics that saturate.
        loss_power: the model minimises e_hat (1) or its square (2).

    Raises:
        InputError: a setting out of range.

    Edge cases:
        z = y: 0, exactly, with gradient 0; such a pair has no penalty. No pair with z != y: penalty 0. No pair: 0.

    Gradient: exact. e_hat is symmetric. The last bias of h cancels, its gradient is 0.

    Cost: two passes of h a pair, and about three times that for the penalty (double backward).

    Differs from the paper: the papers' networks, weights and points of the penalty are not published; these are ours.

    Reference:
        [patel2020learning]

    Example:
        >>> surrogate = LearnedSurrogate(nn.Linear(2, 2, bias=False))
        >>> z, y = torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)
        >>> torch.nn.init.eye_(surrogate.encoder.weight).shape
        torch.Size([2, 2])
        >>> round(surrogate(z, y).item(), 4), surrogate(z, z).item()
        (5.0, 0.0)
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        epsilon: float = 1e-6,
        metric_scale: float = 1.0,
        gradient_penalty_weight: float = 1.0,
        one_sided: bool = False,
        loss_power: int = 1,
    ) -> None:
        super().__init__()
        caller = type(self).__name__
        self.encoder = encoder
        self.epsilon = positive_number(caller, "epsilon", epsilon, zero=True)
        self.metric_scale = positive_number(caller, "metric_scale", metric_scale)
        self.gradient_penalty_weight = positive_number(
            caller, "gradient_penalty_weight", gradient_penalty_weight, zero=True
        )
        if loss_power not in (1, 2):
            raise fail(caller, f"loss_power is {loss_power!r}", "1 or 2")
        self.one_sided, self.loss_power = bool(one_sided), loss_power

    def forward(
        self, z: Float[Tensor, "sample *point"], y: Float[Tensor, "sample *point"]
    ) -> Float[Tensor, "sample"]:
        """Return e_hat of every pair, in units of metric_scale * metric."""
        # Two passes of equal shape: the same point gets the same embedding to the last bit.
        return smooth_norm(self.encoder(z) - self.encoder(y), self.epsilon) - self.epsilon

    def estimate(
        self, z: Float[Tensor, "sample *point"], y: Float[Tensor, "sample *point"]
    ) -> Float[Tensor, "sample"]:
        """Return the estimated error of every pair in units of the metric, without gradient."""
        with torch.no_grad():
            return self(z, y) / self.metric_scale

    def fit(
        self,
        z: Float[Tensor, "sample *point"],
        y: Float[Tensor, "sample *point"],
        errors: Float[Tensor, "sample"],
    ) -> Fit:
        """Return what a surrogate step minimises; no gradient reaches z, y or the errors.

        Args:
            z: predictions in the comparison space.
            y: targets there.
            errors: the metric of every pair, as an error >= 0.
        """
        moving = z.detach().requires_grad_()
        estimates = self(moving, y.detach())
        fit = self._mean_fit(estimates, errors.detach().to(estimates))
        if self.gradient_penalty_weight == 0:
            return Fit(fit, fit, fit.new_zeros(()), fit.new_full((), math.nan))  # the length was not computed
        penalty, norm = self._penalty(moving, y, estimates)
        return Fit(fit + self.gradient_penalty_weight * penalty, fit, penalty, norm)

    def loss(self, estimates: Float[Tensor, "sample"]) -> Float[Tensor, "sample"]:
        """Return what a model step minimises for every pair: the estimate, or its square."""
        return estimates if self.loss_power == 1 else estimates.square()

    def model_loss(
        self, estimates: Float[Tensor, "sample"], errors: Float[Tensor, "sample"]
    ) -> tuple[Float[Tensor, ""], float]:
        """Return what a model step minimises, and the share of the samples that count in it.

        Args:
            estimates: e_hat of every sample.
            errors: the metric of every sample, as an error >= 0; a plain surrogate does not ask for it.
        """
        losses = self.loss(estimates)
        return losses.sum() / len(losses), 1.0

    def _mean_fit(self, estimates: Tensor, errors: Tensor) -> Tensor:
        return (estimates - self.metric_scale * errors).square().sum() / max(1, len(errors))

    def _penalty(self, moving: Tensor, y: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = torch.autograd.grad(estimates.sum(), moving, create_graph=True)
        different: Bool[Tensor, "sample"] = (moving != y).flatten(1).any(1)
        norms = smooth_norm(gradient.flatten(1), 1e-12)
        excess = norms - 1
        excess = excess.clamp_min(0) if self.one_sided else excess
        pairs = different.sum()
        return share((excess.square() * different).sum(), pairs), share(
            (norms.detach() * different).sum(), pairs
        )

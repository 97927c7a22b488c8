"""Filtered surrogate (FEDS): samples on which the surrogate is wrong get little or no weight."""

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import fail, finite_number
from metricgrad.learned.embedding import LearnedSurrogate

__all__ = ["FilteredSurrogate", "filtered_mean", "ramp_filter"]

FilterOn = Literal["model", "surrogate", "both"]


def ramp_filter(
    misses: Float[Tensor, "sample"], *, full_below: float, zero_above: float
) -> Float[Tensor, "sample"]:
    """Weight of every sample: 1 where the surrogate misses by little, 0 where by much, a ramp between.

    w = clip((zero_above - miss) / (zero_above - full_below), 0, 1), and at the ends exactly 1 and 0: a miss that
    equals an end up to rounding (4 units in the last place of its type) is at that end.

    Args:
        misses: |estimate - metric| of every sample, in units of the metric; NaN (no metric) has weight 0.
        full_below: a, >= 0.
        zero_above: b > a.

    Raises:
        InputError: not 0 <= full_below < zero_above.

    Gradient: that of the misses; detach them to have none.

    Reference:
        [patel2021feds]; the formula and its thresholds are ours, the paper names a ramp.

    Example:
        >>> ramp_filter(torch.tensor([0.5, 1.5, 2.5]), full_below=1.0, zero_above=2.0).tolist()
        [1.0, 0.5, 0.0]
    """
    full_below = finite_number("ramp_filter", "full_below", full_below)
    zero_above = finite_number("ramp_filter", "zero_above", zero_above)
    if not 0 <= full_below < zero_above:
        came = f"full_below is {full_below!r} and zero_above {zero_above!r}"
        raise fail("ramp_filter", came, "0 <= full_below < zero_above, in units of the metric")
    weights = ((zero_above - misses) / (zero_above - full_below)).clamp(0, 1)
    rounding = 4 * torch.finfo(weights.dtype).eps
    weights = torch.where(misses <= full_below * (1 + rounding), 1, weights)
    weights = torch.where(misses >= zero_above * (1 - rounding), 0, weights)
    return weights.nan_to_num(0.0)


def filtered_mean(values: Float[Tensor, "sample"], weights: Float[Tensor, "sample"]) -> Float[Tensor, ""]:
    """Return sum w v / max(1, sum w): a sample alone does not grow because all others were dropped.

    Example:
        >>> filtered_mean(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.5, 0.0])).item()
        1.3333333730697632
    """
    return (weights * values).sum() / weights.sum().clamp_min(1)


class FilteredSurrogate(LearnedSurrogate):
    """A learned surrogate whose model step listens only to samples on which the estimate is near the metric.

    Args:
        encoder: h, as for `LearnedSurrogate`.
        full_below: misses up to this have full weight (a), in units of the metric.
        zero_above: misses from this on have none (b).
        filter_on: which step is weighted: `model`, `surrogate` or `both`.
        filter_gradient: let the gradient pass through the weights. Then the model is paid for making the surrogate
            wrong, so that a sample drops out; for experiments only.
        **settings: of `LearnedSurrogate`.

    Raises:
        InputError: a setting out of range.

    Reference:
        [patel2021feds]

    Example:
        >>> surrogate = FilteredSurrogate(nn.Identity(), full_below=0.25, zero_above=1.0)
        >>> estimates = torch.tensor([1.0, 1.0])
        >>> surrogate.weights(estimates, torch.tensor([1.0, 3.0])).tolist()
        [1.0, 0.0]
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        full_below: float = 0.25,
        zero_above: float = 1.0,
        filter_on: FilterOn = "model",
        filter_gradient: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(encoder, **settings)
        if filter_on not in get_args(FilterOn):
            raise fail("FilteredSurrogate", f"filter_on is {filter_on!r}", "'model', 'surrogate' or 'both'")
        ramp_filter(torch.zeros(1), full_below=full_below, zero_above=zero_above)  # checks them
        self.full_below, self.zero_above = float(full_below), float(zero_above)
        self.filter_on, self.filter_gradient = filter_on, bool(filter_gradient)

    def weights(
        self, estimates: Float[Tensor, "sample"], errors: Float[Tensor, "sample"]
    ) -> Float[Tensor, "sample"]:
        """Return the weight of every sample from e_hat (scaled) and its error in units of the metric."""
        estimates = estimates if self.filter_gradient else estimates.detach()
        scaled = self.metric_scale * errors.to(estimates)
        misses = (estimates - scaled).abs() / self.metric_scale
        # a difference is off by the rounding of what it is of
        rounding = torch.finfo(misses.dtype).eps * (estimates.abs() + scaled.abs()) / self.metric_scale
        misses = torch.where((misses - self.zero_above).abs() <= rounding, self.zero_above, misses)
        return ramp_filter(misses, full_below=self.full_below, zero_above=self.zero_above)

    def model_loss(
        self, estimates: Float[Tensor, "sample"], errors: Float[Tensor, "sample"]
    ) -> tuple[Float[Tensor, ""], float]:
        """Return the filtered mean over the samples, and the share of those that have weight."""
        if self.filter_on == "surrogate":
            return super().model_loss(estimates, errors)
        weights = self.weights(estimates, errors)
        return filtered_mean(self.loss(estimates), weights), float((weights > 0).float().mean())

    def _mean_fit(self, estimates: Tensor, errors: Tensor) -> Tensor:
        if self.filter_on == "model":
            return super()._mean_fit(estimates, errors)
        squares = (estimates - self.metric_scale * errors).square()
        return filtered_mean(squares, self.weights(estimates, errors))

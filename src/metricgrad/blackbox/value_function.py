"""What a learned value function is taught with, and how its gradient stands beside that of the loss.

Observations of the metric are few, along trajectories of fine-tuning. Between them values are interpolated, with a
variance that grows with the distance from the next observation.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from metricgrad._checks import Number, fail, finite_number, positive_number

__all__ = [
    "LEAST_VARIANCE",
    "Interpolated",
    "clear_pairs",
    "combined_direction",
    "interpolated_values",
    "loss_of_pairs",
    "value_loss",
]

LEAST_VARIANCE = 1e-8
"""No observation is believed more than this: the variance of a metric that came out equal in all resamples is 0."""

_LEAST_LENGTH = 1e-12


class Interpolated(NamedTuple):
    """Values of the metric between observations.

    Attributes:
        values: per asked time.
        variances: of them.
    """

    values: Tensor
    variances: Tensor


def interpolated_values(
    times: Float[Tensor, " observation"],
    observed: Float[Tensor, " observation"],
    variances: Float[Tensor, " observation"],
    query_times: Float[Tensor, " query"],
    variance_per_step: Number = 1e-4,
) -> Interpolated:
    """Return the metric between its observations along one trajectory, and how sure that is (exact).

    Value and variance are linear between two observations and constant beyond the first and the last one; to the
    variance `variance_per_step` times the distance to the nearest observation is added.

    Args:
        times: steps at which the metric was observed, in any order, all different.
        observed: its values; NaN or infinite where it failed.
        variances: of the observations, >= 0.
        query_times: steps at which values are wanted.
        variance_per_step: >= 0.

    Raises:
        InputError: other lengths, no observation with a value, two at one time, a negative variance.

    Edge cases:
        A failed observation is left out. One observation gives its value everywhere.

    Gradient:
        Exact in `observed` and `variances`.

    Cost:
        O((observation + query) log observation).

    Differs from the paper:
        The paper's body was not available; that it interpolates values with variances is known, this formula is ours.

    Reference:
        [huang2021metricopt]

    Example:
        >>> known = torch.tensor([0.0, 10.0]), torch.tensor([0.5, 0.7]), torch.tensor([0.01, 0.01])
        >>> [one.item() for one in interpolated_values(*known, torch.tensor([5.0]), 1e-3)]
        [0.60000..., 0.01500...]
    """
    growth = positive_number("interpolated_values", "variance_per_step", variance_per_step, zero=True)
    if not times.shape == observed.shape == variances.shape:
        raise fail(
            "interpolated_values",
            f"{len(times)} times, {len(observed)} values and {len(variances)} variances",
            "one of each per observation",
        )
    usable = (observed.isfinite() & variances.isfinite()).nonzero()[:, 0]
    usable = usable[times[usable].argsort()]
    at, value, variance = times[usable], observed[usable], variances[usable]
    if not len(at) or bool((at.diff() <= 0).any()) or bool((variance < 0).any()):
        raise fail(
            "interpolated_values",
            f"observations at {times.tolist()} with the variances {variances.tolist()}",
            "at least one with a value, all at different times, variances >= 0",
        )
    right = torch.searchsorted(at, query_times).clamp(max=len(at) - 1)
    left = (right - 1).clamp(min=0)
    gap = torch.where(right > left, at[right] - at[left], 1.0)
    part = ((query_times - at[left]) / gap).clamp(0, 1)
    near = torch.minimum((query_times - at[left]).abs(), (at[right] - query_times).abs())
    return Interpolated(
        torch.lerp(value[left], value[right], part),
        torch.lerp(variance[left], variance[right], part) + growth * near,
    )


def clear_pairs(
    values: Float[Tensor, " point"], variances: Float[Tensor, " point"]
) -> Bool[Tensor, "better worse"]:
    """Which point is clearly better than which: M_i - M_j > 2 sqrt(v_i + v_j).

    Example:
        >>> clear_pairs(torch.tensor([0.9, 0.1]), torch.tensor([0.01, 0.01])).tolist()
        [[False, True], [False, False]]
    """
    spread = (variances[:, None] + variances).clamp(min=LEAST_VARIANCE).sqrt()
    return values[:, None] - values > 2 * spread


def value_loss(
    predictions: Float[Tensor, " point"],
    values: Float[Tensor, " point"],
    variances: Float[Tensor, " point"],
    pair_weight: Number = 0.5,
) -> Float[Tensor, ""]:
    """Return how badly predictions tell the values and their clear order (exact).

        sum_t w_t (f_t - M_t)^2 / sum_t w_t + pair_weight * mean log(1 + exp(f_j - f_i)),    w = 1 / v

    The mean is over the pairs of `clear_pairs`, i the better one.

    Args:
        predictions: f.
        values: M.
        variances: v >= 0, held at `LEAST_VARIANCE` or above.
        pair_weight: >= 0.

    Raises:
        InputError: no point, other lengths, pair_weight < 0.

    Edge cases:
        Without a clear pair the second part is 0. Variances of 0 count as `LEAST_VARIANCE`, so that equal observations
        do not become NaN.

    Gradient:
        Exact in the predictions; none in values and variances.

    Cost:
        O(point^2).

    Reference:
        [huang2021metricopt]; the loss is ours.

    Example:
        >>> value_loss(torch.tensor([0.9, 0.1]), torch.tensor([0.9, 0.1]), torch.full((2,), 0.01))
        tensor(0.1856)
    """
    weight = positive_number("value_loss", "pair_weight", pair_weight, zero=True)
    if not predictions.shape == values.shape == variances.shape or not len(values):
        raise fail(
            "value_loss",
            f"{len(predictions)} predictions, {len(values)} values and {len(variances)} variances",
            "one of each per point, at least one point",
        )
    better, worse = clear_pairs(values.detach(), variances.detach()).nonzero(as_tuple=True)
    return loss_of_pairs(predictions, values, variances, better, worse, weight)


def loss_of_pairs(
    predictions: Float[Tensor, " point"],
    values: Float[Tensor, " point"],
    variances: Float[Tensor, " point"],
    better: Int[Tensor, " pair"],
    worse: Int[Tensor, " pair"],
    pair_weight: float,
) -> Float[Tensor, ""]:
    """`value_loss` with the pairs that are given: found once for many steps, or drawn where there are too many."""
    values, variances = values.detach(), variances.detach().clamp(min=LEAST_VARIANCE)
    trust = variances.min() / variances  # 1 / v, scaled: it stays finite in float32
    fit = (trust * (predictions - values).square()).sum() / trust.sum()
    if not len(better) or pair_weight == 0:
        return fit
    return fit + pair_weight * F.softplus(predictions[worse] - predictions[better]).mean()


def combined_direction(
    loss_gradient: Float[Tensor, " number"],
    value_gradient: Float[Tensor, " number"],
    weight: Number = 0.5,
    confidence: Number = 1.0,
) -> Float[Tensor, " number"]:
    """Return gL / ||gL|| - weight * confidence * gf / ||gf||, a descent direction (exact).

    Args:
        loss_gradient: gL, of a loss that is to fall.
        value_gradient: gf, of a value that is to rise: of a value function, or `evolution_gradient`.
        weight: lambda >= 0.
        confidence: in [0, 1]; with 0 only the loss counts.

    Raises:
        InputError: other lengths, weight < 0, confidence outside [0, 1].

    Edge cases:
        A gradient shorter than 1e-12 contributes 0.

    Reference:
        [huang2021metricopt]; the rule is ours.

    Example:
        >>> combined_direction(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 5.0]))
        tensor([ 1.0000, -0.5000])
    """
    share = positive_number("combined_direction", "weight", weight, zero=True)
    sure = finite_number("combined_direction", "confidence", confidence)
    if not 0 <= sure <= 1:
        raise fail("combined_direction", f"confidence is {confidence!r}", "a number in [0, 1]")
    if loss_gradient.shape != value_gradient.shape:
        raise fail(
            "combined_direction",
            f"the gradients have {len(loss_gradient)} and {len(value_gradient)} numbers",
            "the same numbers",
        )
    return _unit(loss_gradient) - share * sure * _unit(value_gradient)


def _unit(vector: Tensor) -> Tensor:
    length = vector.norm()
    return torch.zeros_like(vector) if length < _LEAST_LENGTH else vector / length

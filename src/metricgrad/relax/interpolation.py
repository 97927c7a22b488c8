"""Interpolation: from the values at a few corners of a cube to a smooth value at any point between them.

A metric of comparisons is known at the corners {-1, 1}^n alone. Its value at a point between is the mean of known
values, the nearer the corner the larger its weight.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, describe, fail, nearest, positive_number
from metricgrad._safe import smooth_norm

__all__ = ["Weighting", "anchor_weights", "interpolate"]

Weighting = Literal["inverse_distance", "softmax"]


def interpolate(
    u: Float[Tensor, "*block n"],
    anchors: Float[Tensor, "*block anchor n"],
    anchor_values: Float[Tensor, "*block anchor"],
    *,
    weighting: Weighting = "inverse_distance",
    power: Number = 1.0,
    weight_temperature: Number = 1.0,
    delta: Number = 1e-6,
) -> Float[Tensor, "*block"]:
    """Return the mean of the values at the anchors, weighted by their nearness to u (surrogate).

    With r the distance sqrt(|u - b|^2 + delta^2), an anchor weighs r^-power (`inverse_distance`) or
    exp(-r / weight_temperature) (`softmax`), and all weights together are 1.

    Args:
        u: points, each of n numbers; any block dimensions before them.
        anchors: b, the points whose value is known. No gradient reaches them.
        anchor_values: the value at each anchor; NaN leaves an anchor out. No gradient reaches them.
        weighting: `inverse_distance` or `softmax`.
        power: > 0; of the inverse distance. The larger, the more the nearest anchors decide.
        weight_temperature: > 0, in units of distance; of the softmax.
        delta: > 0; keeps the distance from 0.

    Returns:
        One value per block, within the range of its anchor values.

    Raises:
        InputError: shapes that do not fit, a setting out of its range, a block whose anchor values are all NaN.

    Edge cases:
        On an anchor the value is that of the anchor up to about delta sqrt(n), and the gradient is finite. With one
        anchor, or equal values, the gradient is 0. Equal anchors count as often as they come.

    Gradient:
        -sum_i w_i (m_i - M) h_i (u - b_i), with h = power / r^2 or 1 / (weight_temperature r), by automatic
        differentiation. float32 for half precision.

    Cost:
        O(block anchor n) time and memory.

    Differs from the paper:
        The classification programs published with it compute this gradient by hand and subtract the second term where
        it must be added; theirs is not the gradient of the value.

    Reference:
        [liu2020uniloss]

    Example:
        >>> u = torch.tensor([0.0])
        >>> interpolate(u, torch.tensor([[1.0], [-1.0]]), torch.tensor([1.0, 0.0]))
        tensor(0.5000)
    """
    weights = anchor_weights(
        u,
        anchors,
        anchor_values,
        weighting=weighting,
        power=power,
        weight_temperature=weight_temperature,
        delta=delta,
    )
    return (weights * anchor_values.detach().nan_to_num(0.0).to(weights.dtype)).sum(-1)


def anchor_weights(
    u: Float[Tensor, "*block n"],
    anchors: Float[Tensor, "*block anchor n"],
    anchor_values: Float[Tensor, "*block anchor"],
    *,
    weighting: Weighting,
    power: Number,
    weight_temperature: Number,
    delta: Number,
) -> Float[Tensor, "*block anchor"]:
    """Return the weight of every anchor, differentiable in u; 0 where the value is NaN. As `interpolate`."""
    known = get_args(Weighting)
    if weighting not in known:
        raise fail(
            "interpolate",
            f"weighting is {weighting!r}",
            " or ".join(map(repr, known)),
            nearest(weighting, known),
        )
    exponent = positive_number("interpolate", "power", power)
    softness = positive_number("interpolate", "weight_temperature", weight_temperature)
    guard = positive_number("interpolate", "delta", delta)
    if anchors.shape[-1:] != u.shape[-1:] or anchor_values.shape[-1:] != anchors.shape[-2:-1]:
        came = f"u is {describe(u)}, anchors {describe(anchors)}, anchor_values {describe(anchor_values)}"
        raise fail(
            "interpolate", came, "u [*block, n], anchors [*block, anchor, n], anchor_values [*block, anchor]"
        )
    left_out = anchor_values.detach().isnan()
    if bool(left_out.all(-1).any()):
        raise fail("interpolate", "every anchor value of a block is NaN", "a value for one anchor at least")
    wide = u if u.dtype == torch.float64 else u.float()
    distance = smooth_norm(wide.unsqueeze(-2) - anchors.detach().to(wide.dtype), guard)
    nearness = -exponent * distance.log() if weighting == "inverse_distance" else -distance / softness
    return nearness.masked_fill(left_out, -torch.inf).softmax(-1)

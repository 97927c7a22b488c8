"""Piecewise-linear functions on a uniform grid: values, slope changes, their total, and what few knots leave."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import Number, Whole, describe, fail, finite_number, positive_number, whole_number

__all__ = [
    "LinearSpline",
    "from_slope_changes",
    "linear_spline",
    "nearest_monotone",
    "slope_changes",
    "sparser",
    "tv2",
]


def linear_spline(
    x: Float[Tensor, "*item"], coefficients: Float[Tensor, " knot"], *, left: Number, step: Number
) -> Float[Tensor, "*item"]:
    """Return f(x), which is `coefficients[i]` at left + i step and linear between and beyond the knots (exact).

    Args:
        x: where.
        coefficients: values at the knots, at least two.
        left: first knot.
        step: > 0, between two knots.

    Returns:
        f(x), in the wider type of x and coefficients.

    Raises:
        InputError: fewer than two coefficients; step <= 0.

    Edge cases:
        Beyond the ends the first and last pieces go on; nothing is clamped. On a knot the slope is that of the piece to
        the right, on the last one that of the piece to the left. NaN stays NaN.

    Gradient:
        Exact in the coefficients, and the slope of the piece in x; the choice of the piece has none.

    Cost:
        O(item), two coefficients each.

    Reference:
        [unser2019representer]

    Example:
        >>> linear_spline(torch.tensor([-1.0, 0.5, 3.0]), torch.tensor([0.0, 0.0, 1.0]), left=-1, step=1)
        tensor([0.0000, 0.5000, 3.0000])
    """
    _require_knots("linear_spline", coefficients)
    first, width = _grid("linear_spline", left, step)
    place = ((x.detach() - first) / width).floor().nan_to_num(0.0).clamp(0, len(coefficients) - 2).long()
    low, high = coefficients[place], coefficients[place + 1]
    return low + (x - (first + place.to(x.dtype) * width)) / width * (high - low)


def slope_changes(coefficients: Float[Tensor, " knot"], step: Number) -> Float[Tensor, " inner"]:
    """Return (c[i-1] - 2 c[i] + c[i+1]) / step at every inner knot.

    Example:
        >>> slope_changes(torch.tensor([0.0, 0.0, 1.0, 2.0]), 1)
        tensor([1., 0.])
    """
    _require_knots("slope_changes", coefficients)
    return coefficients.diff(n=2) / positive_number("slope_changes", "step", step)


def tv2(coefficients: Float[Tensor, " knot"], step: Number) -> Float[Tensor, ""]:
    """Return the sum of |slope changes|, the second-order total variation: the penalty for few knots (exact).

    Edge cases:
        A straight line, and two knots, have 0.

    Gradient:
        Exact; 0 for a slope change of 0.

    Reference:
        [unser2019representer]

    Example:
        >>> tv2(torch.tensor([0.0, 0.0, 1.0, 0.0]), 0.5)
        tensor(6.)
    """
    return slope_changes(coefficients, step).abs().sum()


def from_slope_changes(
    start: Float[Tensor, "2"], changes: Float[Tensor, " inner"], step: Number
) -> Float[Tensor, " knot"]:
    """Return the coefficients that begin with the two of `start` and have these slope changes (inverse, in float64).

    Each coefficient follows from the two before it. The inverse of the matrix of second differences is badly
    conditioned, and in float32 rounding errors grow with the square of the number of knots.

    Example:
        >>> from_slope_changes(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0]), 1)
        tensor([0., 0., 1., 2.])
    """
    width = positive_number("from_slope_changes", "step", step)
    wide = start.double()
    rises = torch.cat([wide.diff(), wide.diff() + width * changes.double().cumsum(0)])
    return torch.cat([wide[:1], wide[:1] + rises.cumsum(0)]).to(start.dtype)


def sparser(coefficients: Float[Tensor, " knot"], step: Number, threshold: Number) -> Float[Tensor, " knot"]:
    """Draw every slope change by `threshold` towards 0, those within it to 0, and rebuild the coefficients.

    After training with a penalty on `tv2`, and before a last training with the remaining knots.

    Args:
        coefficients: values at the knots.
        step: > 0, between two knots.
        threshold: >= 0.

    Example:
        >>> sparser(torch.tensor([0.0, 0.0, 1.0, 2.125]), 1, 0.25)
        tensor([0.0000, 0.0000, 0.7500, 1.5000])
    """
    least = positive_number("sparser", "threshold", threshold, zero=True)
    changes = nn.functional.softshrink(slope_changes(coefficients.double(), step), least)
    return from_slope_changes(coefficients[:2], changes, step)


@torch.no_grad()
def nearest_monotone(coefficients: Float[Tensor, " knot"]) -> Float[Tensor, " knot"]:
    """Return the nondecreasing sequence nearest in squares, by pooling neighbours that violate the order (exact).

    Gradient:
        None; a projection after a step.

    Cost:
        O(knot).

    Example:
        >>> nearest_monotone(torch.tensor([0.0, 3.0, 1.0, 4.0]))
        tensor([0., 2., 2., 4.])
    """
    blocks: list[tuple[float, int]] = []
    for value in coefficients.double().tolist():
        total, count = value, 1
        while blocks and blocks[-1][0] * count >= total * blocks[-1][1]:
            before, members = blocks.pop()
            total, count = total + before, count + members
        blocks.append((total, count))
    values = [total / count for total, count in blocks for _ in range(count)]
    return torch.tensor(values, dtype=coefficients.dtype, device=coefficients.device)


class LinearSpline(nn.Module):
    """An activation that is trained: a linear spline over [left, right], the same for all units, from a leaky ReLU on.

    Give its coefficients an optimiser group without weight decay, and add `penalty()` times 1e-4 or so to the loss.

    Args:
        knots: at least 2; odd, for one at 0 of a symmetric range.
        left: first knot.
        right: last knot, > left.
        negative_slope: of the start below 0; 1 begins at the identity.

    Attributes:
        coefficients: values at the knots.

    Raises:
        InputError: fewer than two knots; right <= left.

    Cost:
        Two coefficients per item are gathered; their places are kept for the backward pass.

    Reference:
        [unser2019representer]

    Example:
        >>> LinearSpline()(torch.tensor([-2.0, 3.0]))
        tensor([-0.0200,  3.0000], grad_fn=<AddBackward0>)
    """

    def __init__(
        self, knots: Whole = 51, left: Number = -4.0, right: Number = 4.0, *, negative_slope: Number = 0.01
    ) -> None:
        super().__init__()
        count = whole_number("LinearSpline", "knots", knots, least=2)
        self.left = finite_number("LinearSpline", "left", left)
        self.step = (finite_number("LinearSpline", "right", right) - self.left) / (count - 1)
        if self.step <= 0:
            raise fail("LinearSpline", f"left is {left!r} and right {right!r}", "left < right")
        slope = finite_number("LinearSpline", "negative_slope", negative_slope)
        places = self.left + self.step * torch.arange(count)
        self.coefficients = nn.Parameter(nn.functional.leaky_relu(places, slope))

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        return linear_spline(x, self.coefficients, left=self.left, step=self.step)

    def penalty(self) -> Float[Tensor, ""]:
        """The second-order total variation, see `tv2`."""
        return tv2(self.coefficients, self.step)


def _require_knots(caller: str, coefficients: Tensor) -> None:
    if coefficients.ndim != 1 or len(coefficients) < 2:
        raise fail(caller, f"coefficients are {describe(coefficients)}", "at least two numbers")


def _grid(caller: str, left: Number, step: Number) -> tuple[float, float]:
    return finite_number(caller, "left", left), positive_number(caller, "step", step)

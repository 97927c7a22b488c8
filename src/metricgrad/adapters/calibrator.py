"""A monotone map of scores with few pieces, fitted on held-out items: the order stays, what a fixed cut says changes.

It serves metrics that cut scores at a fixed place (F, cost, IoU) and cannot touch a metric of ranks. Where the cut
itself may be fitted, `metricgrad.decision.Threshold` finds the best of all cuts, and no monotone map can do better on
the items that it was fitted to.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from metricgrad._checks import (
    Number,
    Whole,
    describe,
    fail,
    positive_number,
    require_finite,
    tensor_of,
    whole_number,
)
from metricgrad.adapters.spline import linear_spline, tv2

__all__ = ["MonotoneSpline", "fit_calibrator"]

ITEMS_PER_KNOT = 10


class MonotoneSpline(nn.Module):
    """A linear spline with slopes softplus(d) > 0, in float64, from the identity on.

    Args:
        left: first knot.
        step: > 0, between two knots.
        knots: at least 2.

    Attributes:
        first: value at the first knot.
        slopes: d, of every piece.

    Edge cases:
        A slope of less than the smallest number is 0: a flat piece makes ties.

    Example:
        >>> MonotoneSpline(-1, 0.5, 5)(torch.tensor([-3.0, 0.2])).tolist()
        [-3.0, 0.2...]
    """

    def __init__(self, left: Number, step: Number, knots: Whole = 21) -> None:
        super().__init__()
        pieces = whole_number("MonotoneSpline", "knots", knots, least=2) - 1
        self.left, self.step = float(left), positive_number("MonotoneSpline", "step", step)
        self.first = nn.Parameter(torch.tensor(self.left, dtype=torch.float64))
        self.slopes = nn.Parameter(torch.full((pieces,), math.log(math.expm1(1.0)), dtype=torch.float64))

    @property
    def coefficients(self) -> Float64[Tensor, " knot"]:
        """Values at the knots, nondecreasing."""
        rises = self.step * nn.functional.softplus(self.slopes)
        return torch.cat([self.first[None], self.first + rises.cumsum(0)])

    def forward(self, scores: Float[Tensor, "*item"]) -> Float64[Tensor, "*item"]:
        """Return the mapped scores; beyond the knots the end pieces go on."""
        return linear_spline(scores.double(), self.coefficients, left=self.left, step=self.step)


def fit_calibrator(
    scores: Any,
    targets: Any,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.binary_cross_entropy_with_logits,
    knots: Whole = 21,
    penalty: Number = 1e-3,
    steps: Whole = 300,
) -> MonotoneSpline:
    """Fit a monotone spline to scores of held-out items: f(score) is a logit of class 1 (surrogate).

    Args:
        scores: of class 1 [sample], as logits; held out from training.
        targets: 0 or 1 of the same shape.
        loss: `(mapped scores, targets) -> Tensor`, averaged where it has several values. Cross-entropy calibrates;
            `losses.soft_counts_loss` moves the scores for F.
        knots: evenly spaced over the scores; at least 10 items per knot.
        penalty: >= 0, times `tv2` is added to the loss.
        steps: of Adam on all items.

    Returns:
        The spline.

    Raises:
        InputError: fewer than 10 items per knot, other shapes, scores that are not finite or all equal, targets other
            than 0 and 1.

    Edge cases:
        The order of the scores is kept, so that areas under curves and other metrics of ranks are, too; rounding makes
        ties of scores that are nearer than float64 tells apart.

    Cost:
        O(steps x sample).

    Reference:
        [unser2019representer]

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> truth = 2 * torch.randn(2000, generator=generator)
        >>> targets = (torch.rand(2000, generator=generator) < truth.sigmoid()).double()
        >>> spline = fit_calibrator(3 * truth + 1, targets)  # scores that are too sure, and shifted
        >>> bool((spline(3 * truth + 1) - truth).abs().median() < 0.2)
        True
    """
    caller = "fit_calibrator"
    found = require_finite(
        caller, "scores", tensor_of(caller, "scores", scores, "one number per item").double()
    )
    labels = tensor_of(caller, "targets", targets, "0 or 1 per item").double()
    count = whole_number(caller, "knots", knots, least=2)
    if found.ndim != 1 or labels.shape != found.shape:
        raise fail(
            caller, f"scores are {describe(found)} and targets {describe(labels)}", "one of each per item"
        )
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise fail(caller, "targets have other values than 0 and 1", "0 or 1 per item")
    if len(found) < ITEMS_PER_KNOT * count:
        raise fail(
            caller,
            f"{len(found)} items for {count} knots",
            f"at least {ITEMS_PER_KNOT} items per knot",
            f"Take at most {len(found) // ITEMS_PER_KNOT} knots.",
        )
    left, right = float(found.min()), float(found.max())
    if not right > left:
        raise fail(caller, f"all scores are {left:g}", "scores that differ")
    weight = positive_number(caller, "penalty", penalty, zero=True)
    spline = MonotoneSpline(left, (right - left) / (count - 1), count)
    optimiser = torch.optim.Adam(spline.parameters(), lr=0.05)
    for _ in range(whole_number(caller, "steps", steps)):
        optimiser.zero_grad()
        with torch.enable_grad():
            value = loss(spline(found), labels).mean() + weight * tv2(spline.coefficients, spline.step)
        value.backward()
        optimiser.step()
    return spline.requires_grad_(False)

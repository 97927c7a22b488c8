"""The soft comparison: step(u) is 1 where u > 0, 1/2 at 0 and 0 below, smoothed.

Counting is the only thing that a ranking metric does that has no gradient: how many items lie above this one, how
many ranks lie within k. Both are sums of steps, and here are the two smooth ones with slopes that do not die early:
`step * (1 - step)` is exactly 0 in float32 from u = 16.6 on, v / (1 + v)^2 with v = exp(-|u|) only beyond 100.
The functions whose names end in an underscore overwrite their argument; `rank.py` runs them over cached tiles.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd import Function

from metricgrad._checks import fail, nearest

__all__ = ["StepName", "hard_step", "laplace_step", "logistic_step", "require_step"]

StepName = Literal["logistic", "laplace"]


def require_step(caller: str, step: str) -> None:
    """Raise InputError for a step that is none of `StepName`."""
    known = get_args(StepName)
    if step not in known:
        raise fail(caller, f"step is {step!r}", " or ".join(map(repr, known)), nearest(str(step), known))


def hard_step(x: Tensor) -> Tensor:
    """Compare exactly: 1 where x > 0, 1/2 at 0, 0 below; no gradient.

    Args:
        x: differences, any shape.

    Returns:
        A tensor of the shape and type of `x`.

    Gradient:
        None; this is the limit of the smooth steps for a temperature that goes to 0.

    Example:
        >>> hard_step(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """
    return torch.heaviside(x.detach(), torch.full((), 0.5, dtype=x.dtype, device=x.device))


def logistic_step(x: Tensor) -> Tensor:
    """Compare softly (surrogate): 1 / (1 + exp(-x)).

    Args:
        x: differences divided by a temperature, any shape.

    Returns:
        Values in [0, 1]; 1/2 at 0.

    Gradient:
        exp(-|x|) / (1 + exp(-|x|))^2: correct to float precision on both sides, also far from 0.

    Example:
        >>> logistic_step(torch.tensor([0.0]))
        tensor([0.5000])
    """
    return _Logistic.apply(x)  # pyright: ignore[reportReturnType]


def laplace_step(x: Tensor) -> Tensor:
    """Compare softly (surrogate) by the Laplace distribution function: 1 - exp(-x)/2 above 0, exp(x)/2 below.

    Args:
        x: differences divided by a temperature, any shape.

    Returns:
        Values in [0, 1]; 1/2 at 0.

    Gradient:
        exp(-|x|) / 2, continuous at 0.

    Example:
        >>> laplace_step(torch.tensor([0.0]))
        tensor([0.5000])
    """
    return _Laplace.apply(x)  # pyright: ignore[reportReturnType]


def logistic_step_(x: Tensor) -> Tensor:
    """Overwrite `x` with its logistic step."""
    return x.sigmoid_()


def logistic_slope_(x: Tensor) -> Tensor:
    """Overwrite `x` with the derivative of the logistic step."""
    x.abs_().neg_().exp_()
    return x.div_((x + 1).square_())


def laplace_step_(x: Tensor) -> Tensor:
    """Overwrite `x` with its Laplace step; the low side keeps its relative precision."""
    above = x > 0
    x.abs_().neg_().exp_().mul_(0.5)
    return torch.where(above, 1 - x, x, out=x)


def laplace_slope_(x: Tensor) -> Tensor:
    """Overwrite `x` with the derivative of the Laplace step."""
    return x.abs_().neg_().exp_().mul_(0.5)


def hard_step_(x: Tensor) -> Tensor:
    """Overwrite `x` with its exact step."""
    return x.copy_(hard_step(x))


class _Logistic(Function):
    """The logistic step with a backward pass that does not cancel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        v = torch.exp(-x.abs())
        return gradients[0] * (v / (1 + v).square())


class _Laplace(Function):
    """The Laplace step; its slope at 0 is 1/2, where automatic differentiation of |x| would say 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return laplace_step_(x.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (0.5 * torch.exp(-x.abs()))

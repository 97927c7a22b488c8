"""A gradient that is turned around: what stands behind learns one way, what stands before the other."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, fail, finite_number

__all__ = ["reverse_gradient"]


def reverse_gradient(values: Float[Tensor, "..."], *, scale: Number = 0.1) -> Float[Tensor, "..."]:
    """Return the values as they are; their gradient comes back times -scale.

    What stands behind learns to lower its loss, what stands before to raise it.

    Args:
        values: what is passed on.
        scale: >= 0; 0 stops the gradient.

    Returns:
        The same values.

    Raises:
        InputError: scale < 0.

    Gradient:
        That of the values, times -scale.

    Cost:
        One multiplication in the backward pass.

    Reference:
        [ganin2016domain]

    Example:
        >>> weight = torch.tensor(3.0, requires_grad=True)
        >>> reverse_gradient(weight, scale=0.5).square().backward()
        >>> weight.grad
        tensor(-3.)
    """
    factor = finite_number("reverse_gradient", "scale", scale)
    if factor < 0:
        raise fail("reverse_gradient", f"scale is {scale!r}", "a number >= 0")
    return _Reversed.apply(values, factor)  # pyright: ignore[reportReturnType]


class _Reversed(torch.autograd.Function):
    """The identity, with a gradient of the other sign."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        """Pass the values on."""
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Turn the gradient around."""
        return -ctx.factor * gradients[0], None

"""The trained map: an affine layer over unit rows, begun at a closed form; judged as the projection that it becomes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad.projection import Projection
from metricgrad.projection.centre import Identity

__all__ = ["BLOCK", "Head", "unchanged"]

BLOCK = 16_384
"""Rows that are mapped at a time where no gradient is asked for."""


class Head(nn.Module):
    """weight @ normalize(x) + bias; in eval mode exactly what its projection gives, rows of length 1 from float64.

    What is measured of a head is so what its file gives, to the last digit.

    Args:
        start: the closed form that it begins with.

    Example:
        >>> from metricgrad.projection import Centre
        >>> form = Centre().fit(torch.eye(3)[:2])
        >>> head = Head(form).eval()
        >>> torch.allclose(head(torch.eye(3)), form(torch.eye(3)), atol=1e-6)
        True
    """

    def __init__(self, start: Projection) -> None:
        super().__init__()
        self.linear = start.linear()

    def forward(self, x: Float[Tensor, "row dim"]) -> Float[Tensor, "row out"]:
        """Map rows."""
        if self.training:
            return self.linear(nn.functional.normalize(x, eps=torch.finfo(x.dtype).tiny))
        exact = self.projection("", {})
        if len(x) <= BLOCK:
            return exact(x)
        out = x.new_empty(len(x), exact.dims_out)
        for first in range(0, len(x), BLOCK):
            out[first : first + BLOCK] = exact(x[first : first + BLOCK])
        return out

    def projection(self, name: str, settings: dict[str, float | int | str]) -> Projection:
        """The map as a projection, under a name and with settings."""
        return Projection(self.linear.weight, self.linear.bias, name=name, settings=settings)


def unchanged(dims: int) -> Projection:
    """The map that leaves vectors as they came, but for their length."""
    return Identity().of_dims(dims)

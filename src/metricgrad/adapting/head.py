"""The trained map: a closed form and an affine layer behind it, which begins as the identity.

In the directions of a closed form all weights are of one scale, so that one learning rate suits them; trained in those
of the vectors, most of what training can bring is lost. The map that comes out is one affine map of the vectors.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from metricgrad.adapting.remembered import before_length
from metricgrad.projection import Projection
from metricgrad.projection.centre import Identity
from metricgrad.projection.rows import unit_rows

__all__ = ["BLOCK", "Head", "unchanged"]

BLOCK = 16_384
"""Rows that are mapped at a time where no gradient is asked for."""


class Head(nn.Module):
    """linear(form @ normalize(x) + bias of the form); in eval mode in float64, as its projection, rows of length 1.

    What is measured of a head is so what its file gives, but for the rounding of float64. The form is not trained.

    Args:
        start: the closed form.

    Example:
        >>> from metricgrad.projection import Centre
        >>> form = Centre().fit(torch.eye(3)[:2])
        >>> head = Head(form).eval()
        >>> torch.equal(head(torch.eye(3)), form(torch.eye(3)))
        True
    """

    def __init__(self, start: Projection) -> None:
        super().__init__()
        self.form = start.linear().requires_grad_(False)
        self.exact = Projection(start.weight, start.bias, name=start.name, settings=start.settings)
        self.linear = nn.Linear(start.dims_out, start.dims_out)
        with torch.no_grad():
            nn.init.eye_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(self, x: Float[Tensor, "row dim"]) -> Float[Tensor, "row out"]:
        """Map rows."""
        if self.training:
            return self.linear(self.form(nn.functional.normalize(x, eps=torch.finfo(x.dtype).tiny)))
        if len(x) <= BLOCK:
            return self._exactly(before_length(self.exact, x)).to(x.dtype)
        out = x.new_empty(len(x), self.exact.dims_out)
        for first in range(0, len(x), BLOCK):
            out[first : first + BLOCK] = self._exactly(before_length(self.exact, x[first : first + BLOCK]))
        return out

    def _exactly(self, mapped: Float64[Tensor, "row out"]) -> Float64[Tensor, "row out"]:
        """Rows that the form has mapped, mapped on by the layer in float64, of length 1."""
        weight, bias = self.linear.weight.detach().double(), self.linear.bias.detach().double()
        return unit_rows(nn.functional.linear(mapped, weight, bias))

    def projection(self, name: str, settings: dict[str, float | int | str]) -> Projection:
        """The form and the layer as one projection, under a name and with settings."""
        weight = self.linear.weight.detach().double()
        bias = weight @ self.exact.bias + self.linear.bias.detach().double()
        return Projection(weight @ self.exact.weight, bias, name=name, settings=settings)


def unchanged(dims: int) -> Projection:
    """The map that leaves vectors as they came, but for their length."""
    return Identity().of_dims(dims)

"""Fewer directions for training: a map to 1,808 directions has millions of weights, and most of them fit noise."""

from collections.abc import Sequence
from typing import Any

import torch

from metricgrad.projection import Projection
from metricgrad.projection.moments import moments

__all__ = ["MOST", "narrowed"]

MOST = 512
"""Directions of a trained map."""


def narrowed(sides: Sequence[tuple[Projection, Any]], most: int = MOST) -> list[Projection]:
    """Cut a closed form to the directions of its result in which fit varies most, the same ones on all sides.

    Args:
        sides: a closed form, and vectors [row, dim] of fit, array or tensor, for each side of it.
        most: directions.

    Returns:
        The forms as they are where they have no more directions, else forms whose names say it.

    Cost: nothing where nothing is cut, else O(row dim^2 + out dim^2 + out^3) a side.

    Example:
        >>> from metricgrad.projection import Centre
        >>> x = torch.randn(50, 6, generator=torch.manual_seed(0))
        >>> (found,) = narrowed([(Centre().fit(x), x)], most=4)
        >>> found.words(), found.dims_out
        ('centring, cut to 4 directions', 4)
    """
    forms = [form for form, _ in sides]
    out = forms[0].dims_out
    if out <= most:
        return forms
    spread = torch.zeros(out, out, dtype=torch.float64)
    for form, rows in sides:
        spread += form.weight @ moments("narrowed", rows).scatter @ form.weight.T
    kept = torch.linalg.eigh(spread).eigenvectors[:, -most:].flip(1).T
    return [
        Projection(kept @ form.weight, kept @ form.bias, name=f"{form.words()}, cut to {most} directions")
        for form in forms
    ]

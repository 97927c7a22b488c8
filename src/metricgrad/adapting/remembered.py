"""What a closed form gives for rows that are asked for again and again: select, at every look of every try."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from metricgrad.projection import Projection
from metricgrad.projection.rows import unit_rows

__all__ = ["before_length"]

_known = WeakIdKeyDictionary()
"""Rows -> weight and bias of a form, and what it gives; gone with the rows."""


def before_length(form: Projection, x: Float[Tensor, "row dim"]) -> Float64[Tensor, "row out"]:
    """Weight @ normalize(x) + bias in float64: what a form gives before it is divided by its length.

    Computed once for a tensor that lives on, as the batches of a small split do.
    """
    found = _known.get(x)
    if found is not None:
        weight, bias, mapped = found
        if torch.equal(weight, form.weight) and torch.equal(bias, form.bias):
            return mapped
    mapped = torch.nn.functional.linear(unit_rows(x.detach().double()), form.weight, form.bias)
    _known[x] = form.weight, form.bias, mapped
    return mapped

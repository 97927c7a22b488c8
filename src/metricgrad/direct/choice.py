"""One of several: the largest value of each row, as a statistic."""

import torch
from torch import Tensor

__all__ = ["chosen_one", "tied_ones"]


def chosen_one(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1 at the first largest value of every row [unit, choice], and that value [unit]."""
    best, place = values.max(1)
    return torch.zeros_like(values).scatter_(1, place[:, None], 1), best


def tied_ones(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1 spread over the largest values along the last axis, and that value."""
    best = values.amax(-1, keepdim=True)
    ties = (values == best).to(values.dtype)
    return ties / ties.sum(-1, keepdim=True), best.squeeze(-1)

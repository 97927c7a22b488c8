"""Divisions, logarithms and lengths that stay finite, with a finite gradient, where there is nothing to divide by.

A value that is masked afterwards must be finite too: the gradient of an infinite one is NaN, and NaN times 0 is NaN. So
each function keeps the dangerous argument out of the operation itself, and changes no bit of any other. What such a
place is worth (0, 1, undefined) is said where it is used.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = ["divisor", "log_above", "or_one", "ratio", "share", "smooth_norm"]


def divisor(count: Shaped[Tensor, "*unit"]) -> Shaped[Tensor, "*unit"]:
    """Return a count as something to divide by: 1 where nothing was counted.

    Args:
        count: whole numbers >= 0, of any type.

    Example:
        >>> divisor(torch.tensor([0, 1, 5]))
        tensor([1, 1, 5])
    """
    return count.clamp(min=1)


def share(part: Shaped[Tensor, "..."] | float, count: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return part / count, the part itself where nothing was counted (0 of nothing is 0).

    Gradient: exact in the part.

    Example:
        >>> share(torch.tensor([0.0, 3.0]), torch.tensor([0, 4]))
        tensor([0.0000, 0.7500])
    """
    return part / divisor(count)


def or_one(scale: Shaped[Tensor, "*unit"], *, least: float = 0.0) -> Shaped[Tensor, "*unit"]:
    """Return a length, sum or deviation as something to divide by: 1 where it is not above `least`.

    Gradient: exact; 0 where it is replaced. NaN stays NaN.

    Example:
        >>> or_one(torch.tensor([0.0, 0.25]))
        tensor([1.0000, 0.2500])
    """
    return torch.where(scale <= least, 1, scale)


def ratio(
    numerator: Shaped[Tensor, "..."], denominator: Shaped[Tensor, "..."], *, otherwise: float
) -> Float[Tensor, "..."]:
    """Return numerator / denominator, and `otherwise` where the denominator is not positive; NaN stays NaN.

    Gradient: exact; 0 where it is `otherwise`.

    Example:
        >>> ratio(torch.tensor([1.0, 0.0]), torch.tensor([4.0, 0.0]), otherwise=1.0)
        tensor([0.2500, 1.0000])
    """
    return torch.where(denominator <= 0, otherwise, numerator / or_one(denominator))


def log_above(x: Float[Tensor, "*unit"], floor: float | None = None) -> Float[Tensor, "*unit"]:
    """Return log max(x, floor).

    Args:
        x: numbers >= 0, probabilities for instance.
        floor: > 0; None for the smallest normal number of the type.

    Gradient: exact; 0 below the floor.

    Example:
        >>> log_above(torch.tensor([1.0, 0.0]), floor=torch.e**-2)
        tensor([ 0., -2.])
    """
    return x.clamp_min(torch.finfo(x.dtype).tiny if floor is None else floor).log()


def smooth_norm(rows: Float[Tensor, "*unit dim"], epsilon: float) -> Float[Tensor, "*unit"]:
    """Return sqrt(|row|^2 + epsilon^2), a length that is smooth at 0.

    Args:
        rows: vectors.
        epsilon: >= 0; with 0 the length itself.

    Gradient: exact, of length at most 1; 0 for a row of zeros, which has no direction.

    Example:
        >>> smooth_norm(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), epsilon=0.0)
        tensor([5., 0.])
    """
    squared = rows.square().sum(-1) + epsilon**2
    inside = squared > 0  # all but rows of zeros where epsilon is 0: there a root has no derivative
    return torch.where(inside, squared, 1.0).sqrt() * inside

"""Eigenpairs of a covariance, and the powers of it that whiten."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad._checks import fail

__all__ = ["Eigenpairs", "eigenpairs", "settled_signs"]


def settled_signs(directions: Float64[Tensor, "direction dim"]) -> Float64[Tensor, "direction"]:
    """The sign of the largest component of each direction: times it, no solver's choice of sign is left."""
    largest = directions.abs().argmax(1, keepdim=True)
    return torch.where(directions.gather(1, largest).squeeze(1) < 0, -1.0, 1.0).to(directions.dtype)


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues of a covariance, largest first and never below 0, with their directions.

    Attributes:
        values: [dim].
        directions: [dim, dim]; row i belongs to value i.
    """

    values: Float64[Tensor, "dim"]
    directions: Float64[Tensor, "dim dim"]

    def power(self, caller: str, shrinkage: float, power: float) -> Float64[Tensor, "dim dim"]:
        """Directions times (value + shrinkage x mean value)^power, row by row.

        Raises:
            InputError: shrinkage 0 for a covariance that has no inverse.
        """
        levels = self.values + shrinkage * self.values.mean()
        if power < 0 and levels[-1] <= len(levels) * torch.finfo(torch.float64).eps * self.values[0]:
            raise fail(
                caller,
                f"shrinkage is {shrinkage:g} and the vectors vary in fewer than their {len(levels)} dimensions",
                "a shrinkage above 0",
                "More dimensions than rows, or columns that depend on each other, need one: 0.1 is usual.",
            )
        return levels.pow(power)[:, None] * self.directions


def eigenpairs(covariance: Float64[Tensor, "dim dim"]) -> Eigenpairs:
    """Eigenpairs of a symmetric matrix without negative eigenvalues; those below 0 by rounding become 0.

    Cost: O(dim^3) time, O(dim^2) memory.
    """
    values, vectors = torch.linalg.eigh(covariance)
    directions = vectors.T.flip(0)
    return Eigenpairs(values.flip(0).clamp_min(0), settled_signs(directions)[:, None] * directions)

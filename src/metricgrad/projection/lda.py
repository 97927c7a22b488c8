"""Linear discriminant analysis: the directions that part classes, after whitening within them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad._checks import fail, positive_number, whole_number
from metricgrad.projection.centre import centred
from metricgrad.projection.eigen import settled_signs
from metricgrad.projection.moments import Moments, moments
from metricgrad.projection.projection import Projection

__all__ = ["LDA", "most_directions"]


def most_directions(sums: Moments) -> int:
    """The most directions that part the classes: classes - 1, or the dimensions where those are fewer."""
    return min(sums.dims, len(sums.labelled().counts) - 1)


def _discriminants(sums: Moments, shrinkage: float) -> Float64[Tensor, "direction dim"]:
    """Directions that part the classes, the best first."""
    whitener = sums.within.power(sums.caller, shrinkage, -0.5)
    spread = sums.class_spread @ whitener.T
    directions = torch.linalg.svd(spread, full_matrices=False).Vh
    return (settled_signs(directions)[:, None] * directions) @ whitener


@dataclass(frozen=True)
class LDA:
    """Linear discriminant analysis: whitening within classes, then the directions in which class means differ most.

    A = V (w + shrinkage mean(w))^-1/2, with w, V the eigenpairs of the covariance within classes,
    S = sum (x - mean of its class)(x - mean of its class)^T / n; then the `dims` leading right singular vectors of
    (class means - m) A. Every class counts alike in the means, whatever its size.

    Attributes:
        shrinkage: >= 0, in units of the mean eigenvalue of S; above 0 where there are more dimensions than rows.
        dims: directions that are kept, at most classes - 1 and at most the dimensions; None for all of them.

    Reference:
        [fukunaga1990introduction], chapter 10.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(60) % 6
        >>> x = rng.normal(size=(6, 8))[y] + 0.5 * rng.normal(size=(60, 8))
        >>> projection = LDA(shrinkage=0.1, dims=3).fit(x, y)
        >>> projection.words(), projection.transform(x).shape
        ('LDA to 3 directions, shrinkage 0.1', (60, 3))
    """

    shrinkage: float = 0.1
    dims: int | None = None

    def __post_init__(self) -> None:
        positive_number("LDA", "shrinkage", self.shrinkage, zero=True)
        if self.dims is not None:
            whole_number("LDA", "dims", self.dims)

    def fit(self, x: Any, y: Any) -> Projection:
        """Fit to vectors x [row, dim] and labels y [row], whole numbers or texts.

        Raises:
            InputError: as `moments`; one class; more directions than there are; no class with rows that differ;
                shrinkage 0 where S has no inverse.

        Cost: O(row dim^2 + class dim^2 + dim^3).
        """
        return self.of(moments("LDA.fit", x, y))

    def of(self, sums: Moments) -> Projection:
        """The same from sums with classes."""
        (found,) = self.family(sums, self.shrinkage, [self.dims or most_directions(sums)])
        return found

    @staticmethod
    def family(sums: Moments, shrinkage: float, dims: Iterable[int]) -> Iterator[Projection]:
        """One projection for each number of directions, from one decomposition."""
        most, directions = most_directions(sums), _discriminants(sums, shrinkage)
        for k in dims:
            if k > most:
                classes = len(sums.labelled().counts)
                raise fail(
                    sums.caller,
                    f"dims is {k} for {classes} classes in {sums.dims} dimensions",
                    f"at most {most}: classes - 1, or the dimensions where those are fewer",
                )
            yield centred(directions[:k], sums, "LDA", {"dims": k, "shrinkage": shrinkage})

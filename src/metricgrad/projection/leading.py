"""The leading directions of unit rows: kept alone (PCA), or removed (all but the top)."""

from dataclasses import dataclass
from typing import Any

import torch

from metricgrad._checks import fail, whole_number
from metricgrad.projection.centre import centred
from metricgrad.projection.moments import Moments, moments
from metricgrad.projection.projection import Projection

__all__ = ["PCA", "AllButTheTop"]


@dataclass(frozen=True)
class PCA:
    """Principal components: x - m in the `dims` directions in which unit rows vary most, and in no other.

    Attributes:
        dims: at most the dimensions.

    Reference:
        [fukunaga1990introduction], chapter 9.
    """

    dims: int

    def __post_init__(self) -> None:
        whole_number("PCA", "dims", self.dims)

    def fit(self, x: Any, y: Any = None) -> Projection:
        """Fit to vectors x [row, dim]; y is not read.

        Raises:
            InputError: as `moments`; all rows of one direction; more directions than dimensions.

        Cost: O(row dim^2 + dim^3).
        """
        return self.of(moments("PCA.fit", x))

    def of(self, sums: Moments) -> Projection:
        """The same from sums."""
        if self.dims > sums.dims:
            raise fail(sums.caller, f"dims is {self.dims}", f"at most the {sums.dims} dimensions of x")
        weight, along = sums.covariance.directions[: self.dims], sums.variances[: self.dims]
        return centred(weight, sums, "PCA", {"dims": self.dims}, along=along)


@dataclass(frozen=True)
class AllButTheTop:
    """x - m without its part in the `components` directions in which unit rows vary most.

    Attributes:
        components: fewer than the dimensions.

    Reference:
        [mu2018allbutthetop].
    """

    components: int

    def __post_init__(self) -> None:
        whole_number("AllButTheTop", "components", self.components)

    def fit(self, x: Any, y: Any = None) -> Projection:
        """Fit to vectors x [row, dim]; y is not read.

        Raises:
            InputError: as `moments`; all rows of one direction; no direction left.

        Cost: O(row dim^2 + dim^3).
        """
        return self.of(moments("AllButTheTop.fit", x))

    def of(self, sums: Moments) -> Projection:
        """The same from sums."""
        if self.components >= sums.dims:
            raise fail(
                sums.caller,
                f"components is {self.components}",
                f"fewer than the {sums.dims} dimensions of x, or nothing is left",
            )
        top = sums.covariance.directions[: self.components]
        weight = torch.eye(sums.dims, dtype=torch.float64) - top.T @ top
        return centred(weight, sums, "all but the top", {"components": self.components})

"""Whitening: directions in which unit rows vary much count less, over all rows or within classes."""

from dataclasses import dataclass
from typing import Any

from metricgrad._checks import finite_number, positive_number
from metricgrad.projection.centre import centred
from metricgrad.projection.moments import Moments, moments
from metricgrad.projection.projection import Projection

__all__ = ["POWERS", "SHRINKAGES", "Whitening", "WithinClassWhitening"]

SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 1.0)
POWERS = (-0.5, -0.25)
"""What is tried of both settings."""


@dataclass(frozen=True)
class Whitening:
    """Whitening: directions in which unit rows vary much count less.

    (x - m) V (w + shrinkage mean(w))^power, with w, V the eigenpairs of the covariance (n - 1) of unit rows.

    Attributes:
        shrinkage: >= 0, in units of the mean eigenvalue; above 0 where there are more dimensions than rows.
        power: -0.5 whitens fully, -0.25 half way.

    Reference:
        [su2021whitening].

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 3)) * [9, 1, 1]
        >>> Whitening(shrinkage=0.1).fit(x).words()
        'whitening, shrinkage 0.1, power -0.5'
    """

    shrinkage: float = 0.1
    power: float = -0.5

    def __post_init__(self) -> None:
        positive_number("Whitening", "shrinkage", self.shrinkage, zero=True)
        finite_number("Whitening", "power", self.power)

    def fit(self, x: Any, y: Any = None) -> Projection:
        """Fit to vectors x [row, dim]; y is not read.

        Raises:
            InputError: as `moments`; all rows of one direction; shrinkage 0 where the covariance has no inverse.

        Cost: O(row dim^2 + dim^3).
        """
        return self.of(moments("Whitening.fit", x))

    def of(self, sums: Moments) -> Projection:
        """The same from sums."""
        weight = sums.covariance.power(sums.caller, self.shrinkage, self.power)
        settings = {"shrinkage": self.shrinkage, "power": self.power}
        return centred(weight, sums, "whitening", settings, along=sums.variances)


@dataclass(frozen=True)
class WithinClassWhitening:
    """Whitening within classes: directions in which rows of one class vary much count less.

    (x - m) V (w + shrinkage mean(w))^power, with w, V the eigenpairs of the covariance within classes,
    S = sum (x - mean of its class)(x - mean of its class)^T / n.

    Attributes:
        shrinkage: >= 0, in units of the mean eigenvalue of S.
        power: -0.5 whitens fully, -0.25 half way.

    Reference:
        [hatch2006wccn].
    """

    shrinkage: float = 0.1
    power: float = -0.5

    def __post_init__(self) -> None:
        positive_number("WithinClassWhitening", "shrinkage", self.shrinkage, zero=True)
        finite_number("WithinClassWhitening", "power", self.power)

    def fit(self, x: Any, y: Any) -> Projection:
        """Fit to vectors x [row, dim] and labels y [row], whole numbers or texts.

        Raises:
            InputError: as `moments`; one class; no class with rows that differ; shrinkage 0 where S has no inverse.

        Cost: O(row dim^2 + class dim^2 + dim^3).
        """
        return self.of(moments("WithinClassWhitening.fit", x, y))

    def of(self, sums: Moments) -> Projection:
        """The same from sums with classes."""
        weight = sums.within.power(sums.caller, self.shrinkage, self.power)
        settings = {"shrinkage": self.shrinkage, "power": self.power}
        return centred(weight, sums, "within-class whitening", settings, along=sums.variances_within)

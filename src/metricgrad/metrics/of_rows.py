"""Summaries of rows: a value from the statistics of samples, for all of them or for many resamples at once."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

__all__ = ["OfCounts", "OfRows", "of_all"]

OfCounts = Callable[[Float[Tensor, "*resample sample"]], Float[Tensor, "*resample"]]
"""How often each sample comes -> value, of some resamples or of one set; NaN where it is undefined."""


@dataclass(frozen=True)
class OfRows:
    """The summary of a record whose metric needs all samples at once.

    Attributes:
        prepare: rows [sample, stat] -> `OfCounts`: what is the same for all resamples (a sort) is done once.
    """

    prepare: Callable[[Tensor], OfCounts]

    def __call__(self, rows: Float[Tensor, "sample stat"]) -> float:
        """Value of the rows, each of which comes once."""
        return float(of_all(self.prepare, rows))

    def of_counts(self, rows: Float[Tensor, "sample stat"]) -> OfCounts:
        """Return the function that gives the values of resamples of the rows."""
        return self.prepare(rows)


def of_all(prepare: Callable[[Tensor], OfCounts], rows: Float[Tensor, "sample stat"]) -> Float[Tensor, ""]:
    """The value of the rows, each of which comes once."""
    return prepare(rows)(rows.new_ones(len(rows)))

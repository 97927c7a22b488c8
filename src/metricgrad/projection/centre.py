"""The plainest forms: rows as they are, and rows minus their mean."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad._checks import fail
from metricgrad.projection.moments import NO_SPREAD, Moments, moments
from metricgrad.projection.projection import Projection
from metricgrad.projection.rows import rows_of

__all__ = ["Centre", "Identity", "centred"]


def centred(
    weight: Float64[Tensor, "out dim"],
    sums: Moments,
    name: str,
    settings: dict[str, float],
    *,
    along: Float64[Tensor, "out"] | None = None,
    onto: Float64[Tensor, "out"] | None = None,
) -> Projection:
    """The projection weight @ (x - mean), plus `onto`, scaled so that its outputs have a mean square length of 1.

    Args:
        weight: rows are directions times factors.
        sums: of the rows that it was fitted to.
        name: of the form.
        settings: of the form.
        along: variance of the unit rows along each of these directions; None to compute it from the sums.
        onto: what the mean of the rows comes to; None for the origin.

    Raises:
        InputError: nothing but rounding is left of the rows.
    """
    centre = torch.zeros(len(weight), dtype=torch.float64) if onto is None else onto
    if along is None:
        spread = (((weight @ sums.scatter) * weight).sum() / sums.count).clamp_min(0)
    else:
        spread = along @ weight.square().sum(1)
    if spread.sqrt() <= NO_SPREAD * weight.norm():
        raise fail(
            sums.caller,
            f"the {sums.count} rows do not vary in the directions that {name} keeps",
            "rows that differ",
        )
    length = (spread + centre.square().sum()).sqrt()
    return Projection(weight / length, (centre - weight @ sums.mean) / length, name=name, settings=settings)


@dataclass(frozen=True)
class Identity:
    """Rows of length 1, otherwise unchanged: their cosines are those of the input."""

    def fit(self, x: Any, y: Any = None) -> Projection:
        """Return the projection for rows of as many columns as x [row, dim]; their values and y are not read."""
        return self.of_dims(rows_of("Identity.fit", "x", x).dims)

    def of_dims(self, dims: int) -> Projection:
        """The same for a number of dimensions."""
        return Projection(
            torch.eye(dims, dtype=torch.float64), torch.zeros(dims, dtype=torch.float64), name="unchanged"
        )


@dataclass(frozen=True)
class Centre:
    """Unit rows minus their mean: x - m."""

    def fit(self, x: Any, y: Any = None) -> Projection:
        """Fit to vectors x [row, dim]; y is not read.

        Raises:
            InputError: as `moments`.
        """
        return self.of(moments("Centre.fit", x))

    def of(self, sums: Moments) -> Projection:
        """The same from sums."""
        along = sums.scatter.diagonal() / sums.count
        return centred(torch.eye(sums.dims, dtype=torch.float64), sums, "centring", {}, along=along)

"""The metric as a plane around a point: ridge regression on near observations, believed as far as it predicts."""

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, fail, positive_number
from metricgrad.blackbox.value_model import Observed, observed

__all__ = ["LocalRidge"]

_PENALTIES = torch.logspace(-4, 2, 13, dtype=torch.float64)
"""Of the squared slopes per observation, in units of the radius; the one that predicts left-out observations best."""


class LocalRidge:
    """The same questions as to a `ValueModel`, answered by a plane through near observations.

    An observation weighs exp(-d^2 / (2 rho^2)) / variance, d its distance from the point that is asked. The penalty is
    the one with the least error on left-out observations, in closed form.

    Args:
        radius: of the trust region, rho > 0.

    Edge cases:
        Equal observations, or fewer than three: gradient and confidence 0. Failed observations (NaN) are left out. The
        confidence is 0 where the plane predicts left-out observations no better than their mean does.

    Cost:
        O(point number min(point, number)) per question.

    Reference:
        [hoerl1970ridge]; weights, penalty and confidence are ours.

    Example:
        >>> points = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> model = LocalRidge(1.0).fit(points, 0.5 + 0.1 * points[:, 0])
        >>> model.gradient(torch.zeros(2).double()).round(decimals=2)
        tensor([0.1000, 0.0000], dtype=torch.float64)
    """

    def __init__(self, radius: Number) -> None:
        self.radius = positive_number("LocalRidge", "radius", radius)
        self._seen: Observed | None = None

    def fit(
        self,
        points: Float[Tensor, "point number"],
        values: Float[Tensor, " point"],
        variances: Float[Tensor, " point"] | None = None,
    ) -> "LocalRidge":
        """Take all observations and return itself.

        Args:
            points: phi of each observation.
            values: of the metric, higher is better; NaN where it failed.
            variances: of the values; None: all alike.

        Raises:
            InputError: no observation with a value; other lengths.
        """
        self._seen = observed("LocalRidge", points, values, variances)
        return self

    def value(self, phi: Float[Tensor, " number"]) -> float:
        """Return the height of the plane at phi."""
        return self._plane(phi)[0]

    def gradient(self, phi: Float[Tensor, " number"]) -> Float[Tensor, " number"]:
        """Return the slope of the plane at phi, in the type of phi."""
        return self._plane(phi)[1].to(phi)

    def confidence(self, phi: Float[Tensor, " number"]) -> float:
        """Return how far the slope can be believed, in [0, 1].

        The share of the spread of left-out observations that the plane predicts, times exp(-d^2 / (2 rho^2)), d the
        distance to the nearest observation.
        """
        return self._plane(phi)[2]

    def _plane(self, phi: Tensor) -> tuple[float, Tensor, float]:
        """Height, slope and confidence at a point."""
        seen = self._seen
        if seen is None:
            raise fail("LocalRidge", "it has seen no observation", "a call of fit before")
        at = phi.detach().double().cpu()
        away = (seen.points - at) / self.radius
        logs = -away.square().sum(1) / 2 - seen.variances.log()
        weights = (logs - logs.max()).exp()
        weights = weights / weights.sum()  # far from all of them, the nearest have it all
        middle, mean = weights @ away, weights @ seen.values
        if seen.spread == 0 or len(weights) < 3:
            return float(mean), torch.zeros_like(at), 0.0
        root = weights.sqrt()
        left, singular, right = torch.linalg.svd(root[:, None] * (away - middle), full_matrices=False)
        target = root * (seen.values - mean)
        shrink = singular.square() / (singular.square() + _PENALTIES[:, None])  # [penalty, direction]
        residual = target - (shrink * (left.T @ target)) @ left.T
        leverage = shrink @ left.T.square() + weights  # of the slope and of the mean
        errors = (residual / (1 - leverage).clamp(min=1e-6)).square().sum(1)
        best = int(errors.argmin())
        plain = (target / (1 - weights).clamp(min=1e-6)).square().sum()
        predicted = float((1 - errors[best] / plain).clamp(0, 1)) if plain > 0 else 0.0
        slope = right.T @ (singular / (singular.square() + _PENALTIES[best]) * (left.T @ target))
        height = float(mean - middle @ slope)
        return height, slope / self.radius, predicted * seen.nearness(at, self.radius)

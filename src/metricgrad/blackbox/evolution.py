"""Antithetic evolution strategy: which way a metric rises, from its values on both sides of a point."""

import warnings
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import Number, Whole, fail, positive_number, whole_number

__all__ = ["Shaping", "antithetic_directions", "centered_ranks", "evolution_gradient", "usable_pairs"]

Shaping = Literal["centered_rank", "standardize", "none"]
"""What is made of the values of the metric before they weigh the directions."""

_LEAST_DEVIATION = 1e-12


def antithetic_directions(
    size: Whole, pairs: Whole, generator: torch.Generator | None = None
) -> Float[Tensor, "pair number"]:
    """Draw one standard normal direction per pair; each is gone forth and back.

    Args:
        size: numbers that are searched, D.
        pairs: M; a step costs 2 M calls of the metric.
        generator: of the draws, on the CPU; None for the global one.

    Returns:
        Directions, float64, on the CPU.

    Reference:
        [salimans2017evolution]

    Example:
        >>> antithetic_directions(3, 2, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3])
    """
    shape = (
        whole_number("antithetic_directions", "pairs", pairs),
        whole_number("antithetic_directions", "size", size),
    )
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def usable_pairs(plus: Float[Tensor, " pair"], minus: Float[Tensor, " pair"]) -> Bool[Tensor, " pair"]:
    """Which pairs have a value on both sides: a metric that failed (NaN, infinite) makes its pair unusable.

    Example:
        >>> usable_pairs(torch.tensor([0.1, torch.nan]), torch.tensor([0.2, 0.3]))
        tensor([ True, False])
    """
    return plus.isfinite() & minus.isfinite()


def centered_ranks(values: Float[Tensor, " value"]) -> Float[Tensor, " value"]:
    """Return rank / (n - 1) - 1/2, from -1/2 for the lowest to 1/2 for the highest (exact).

    Edge cases:
        Equal values have their average rank. One value has 0. An order-keeping change of the values changes nothing.

    Gradient:
        None.

    Cost:
        O(n log n).

    Example:
        >>> centered_ranks(torch.tensor([0.5, 0.1, 0.5]))
        tensor([ 0.2500, -0.5000,  0.2500])
    """
    if len(values) < 2:
        return torch.zeros_like(values)
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0)
    average = last.to(values.dtype) - (count.to(values.dtype) + 1) / 2
    return average[place] / (len(values) - 1) - 0.5


def evolution_gradient(
    directions: Float[Tensor, "pair number"],
    plus: Float[Tensor, " pair"],
    minus: Float[Tensor, " pair"],
    sigma: Number,
    shaping: Shaping = "centered_rank",
) -> Float[Tensor, " number"]:
    """Return the estimated gradient of a metric, the way it rises (estimate).

        g = 1 / (2 M sigma) * sum_i (f(phi + sigma e_i) - f(phi - sigma e_i)) e_i

    Args:
        directions: e_i, as `antithetic_directions` draws them.
        plus: f(phi + sigma e_i); NaN or infinite where the metric failed.
        minus: f(phi - sigma e_i).
        sigma: > 0, how far the metric was asked from phi.
        shaping: `centered_rank` replaces the 2 M values by `centered_ranks`, so that only their order counts;
            `standardize` subtracts their mean and divides by their population deviation; `none` leaves them.

    Returns:
        The ascent direction, in the type of the directions. For a metric that is to fall, take its negative.

    Raises:
        InputError: other lengths, sigma <= 0, an unknown shaping.

    Edge cases:
        A pair that failed on one side is dropped before shaping; where no pair is left the result is 0, with a warning.
        A constant metric gives 0.

    Gradient:
        None: it is one.

    Cost:
        O(pair number), beside the 2 M calls of the metric.

    Reference:
        [salimans2017evolution]; ranks as there, centred.

    Example:
        >>> along = torch.eye(2, dtype=torch.float64)
        >>> evolution_gradient(along, along @ torch.tensor([3.0, 0.0]).double(), -along[0] * 3, 1.0, "none")
        tensor([1.5000, 0.0000], dtype=torch.float64)
    """
    width = positive_number("evolution_gradient", "sigma", sigma)
    if shaping not in ("centered_rank", "standardize", "none"):
        raise fail(
            "evolution_gradient", f"shaping is {shaping!r}", "'centered_rank', 'standardize' or 'none'"
        )
    if not len(directions) == len(plus) == len(minus):
        raise fail(
            "evolution_gradient",
            f"there are {len(plus)} and {len(minus)} values",
            f"two for each of the {len(directions)} directions",
        )
    plus, minus = (one.to(directions.device) for one in (plus, minus))
    usable = usable_pairs(plus, minus)
    pairs = int(usable.sum())
    if not pairs:
        warnings.warn(
            f"evolution_gradient: the metric has no value for any of the {len(plus)} pairs; the gradient is 0.",
            stacklevel=2,
        )
        return torch.zeros_like(directions[:0].sum(0))
    shaped = _shaped(torch.cat([plus[usable], minus[usable]]).to(directions.dtype), shaping)
    rises = shaped[:pairs] - shaped[pairs:]
    return rises @ directions[usable] / (2 * pairs * width)


def _shaped(values: Tensor, shaping: Shaping) -> Tensor:
    if shaping == "centered_rank":
        return centered_ranks(values)
    if shaping == "none":
        return values
    deviation = values.std(correction=0)
    if deviation < _LEAST_DEVIATION:
        return torch.zeros_like(values)
    return (values - values.mean()) / deviation

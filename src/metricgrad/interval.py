"""How sure is a difference? Paired bootstrap over units, exact about what is resampled.

A run compares two models on the same units (queries, samples) with several seeds. Units are drawn with replacement,
**the same ones for both arms and for all seeds**, so that what is common to them (an easy query is easy for both)
cancels. The interval is that of the mean over seeds of the difference; it covers the choice of units, not that of
seeds, so each seed's own figure is returned beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import fail

__all__ = ["Interval", "bootstrap", "mean_of_units", "paired_bootstrap"]

Summary = Callable[[Tensor], float]

_CHUNK = 4_000_000
"""Drawn indices that are held at a time."""


@dataclass(frozen=True)
class Interval:
    """A value and how far it could be off.

    Attributes:
        value: the figure on all units, mean over seeds.
        low: lower end of the percentile interval; None where none can be given (fewer than two defined units).
        high: upper end.
        per_seed: the figure of every seed.
        units: units that were resampled.
        confidence: share of resamples within the interval.
        resamples: resamples that count; those in which the figure is undefined are left out.
    """

    value: float
    low: float | None
    high: float | None
    per_seed: tuple[float, ...]
    units: int
    confidence: float
    resamples: int


def mean_of_units(statistics: Float[Tensor, "unit stat"]) -> float:
    """Mean of the first column over the units where it is defined (not NaN); NaN if there is none.

    The summary of every metric that is a mean over units. The bootstrap knows it and takes a matrix product
    instead of a loop.
    """
    return float(statistics[:, 0].double().nanmean()) if len(statistics) else float("nan")


def bootstrap(
    statistics: Sequence[Float[Tensor, "unit stat"]],
    summarise: Summary = mean_of_units,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a metric of one arm, mean over seeds (estimate).

    Args:
        statistics: of each seed, on the same units in the same order.
        summarise: statistics -> value; called on every resample unless it is `mean_of_units`.
        resamples: number of draws of units.
        confidence: share of resamples that the interval holds, between 0 and 1.
        seed: seed of the draws.

    Returns:
        The interval; `low` and `high` are None for fewer than two defined units.

    Raises:
        InputError: no seed, seeds with other units, a confidence outside (0, 1), no resample.

    Cost:
        `resamples * unit` draws; a general summary is called `resamples * seed` times.

    Reference:
        [efron1993bootstrap]

    Example:
        >>> found = bootstrap([torch.tensor([[1.0], [0.0], [1.0], [1.0]])])
        >>> found.value, found.low, found.high
        (0.75, 0.25, 1.0)
    """
    _check("bootstrap", [statistics], resamples, confidence)
    return _interval([statistics], [1.0], summarise, resamples, confidence, seed)


def paired_bootstrap(
    a: Sequence[Float[Tensor, "unit stat"]],
    b: Sequence[Float[Tensor, "unit stat"]],
    summarise: Summary = mean_of_units,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the difference a - b of two arms, mean over seeds (estimate).

    Seed i of `a` is compared with seed i of `b`. One draw of units serves both arms and all seeds.

    Args:
        a: statistics of the first arm for each seed.
        b: statistics of the second arm for each seed, on the same units in the same order.
        summarise: statistics -> value; called on every resample unless it is `mean_of_units`.
        resamples: number of draws of units.
        confidence: share of resamples that the interval holds, between 0 and 1.
        seed: seed of the draws.

    Returns:
        The interval of the difference; for a metric where lower is better a gain is negative.

    Raises:
        InputError: no seed, other numbers of seeds or units, a confidence outside (0, 1), no resample.

    Cost:
        `resamples * unit` draws; a general summary is called `2 * resamples * seed` times.

    Reference:
        [koehn2004significance]

    Example:
        >>> better, worse = torch.tensor([[1.0], [1.0], [0.0]]), torch.tensor([[0.5], [0.25], [0.5]])
        >>> round(paired_bootstrap([better], [worse]).value, 6)
        0.25
    """
    _check("paired_bootstrap", [a, b], resamples, confidence)
    return _interval([a, b], [1.0, -1.0], summarise, resamples, confidence, seed)


def _interval(
    arms: Sequence[Sequence[Tensor]],
    signs: Sequence[float],
    summarise: Summary,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Interval of the signed sum over arms, mean over seeds."""
    tables = [[table.detach().cpu() for table in arm] for arm in arms]
    values = np.array([[summarise(table) for table in arm] for arm in tables])  # [arm, seed]
    per_seed = np.asarray(signs) @ values
    units = len(tables[0][0])
    found = np.array([])
    if _defined_units(tables, summarise) >= 2:
        draw = _means if summarise is mean_of_units else _summaries
        drawn = draw(
            tables, summarise, units, resamples, np.random.default_rng(seed)
        )  # [resample, arm, seed]
        found = np.einsum("a,ras->rs", np.asarray(signs), drawn).mean(1)
        found = found[~np.isnan(found)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail]).tolist() if len(found) else (None, None)
    return Interval(
        value=float(per_seed.mean()),
        low=low,
        high=high,
        per_seed=tuple(per_seed.tolist()),
        units=units,
        confidence=confidence,
        resamples=len(found),
    )


def _summaries(
    tables: list[list[Tensor]], summarise: Summary, units: int, resamples: int, random: np.random.Generator
) -> np.ndarray:
    """Summarise every resample of every table: any summary, one call each."""
    drawn = np.empty((resamples, len(tables), len(tables[0])))
    for first, indices in _draws(units, resamples, random):
        for number, index in enumerate(torch.from_numpy(indices), start=first):
            drawn[number] = [[summarise(table[index]) for table in arm] for arm in tables]
    return drawn


def _means(
    tables: list[list[Tensor]], summarise: Summary, units: int, resamples: int, random: np.random.Generator
) -> np.ndarray:
    """As `_summaries` for the mean of the defined units: how often each unit was drawn, times its value."""
    columns = np.stack(
        [[table[:, 0].double().numpy() for table in arm] for arm in tables]
    )  # [arm, seed, unit]
    columns = columns.reshape(-1, units).T  # [unit, arm * seed]
    defined = ~np.isnan(columns)
    drawn = np.empty((resamples, columns.shape[1]))
    for first, indices in _draws(units, resamples, random):
        offset = np.arange(len(indices))[:, None] * units
        times = (
            np.bincount((indices + offset).ravel(), minlength=indices.size)
            .reshape(indices.shape)
            .astype(float)
        )
        with np.errstate(invalid="ignore"):  # a resample without a defined unit is NaN, as its mean is
            drawn[first : first + len(indices)] = (times @ np.where(defined, columns, 0.0)) / (
                times @ defined
            )
    return drawn.reshape(resamples, len(tables), len(tables[0]))


def _draws(units: int, resamples: int, random: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of the first resample and the indices [resample, unit] of one chunk after the other."""
    chunk = max(1, _CHUNK // units)
    for first in range(0, resamples, chunk):
        yield first, random.integers(units, size=(min(chunk, resamples - first), units))


def _defined_units(tables: list[list[Tensor]], summarise: Summary) -> int:
    """Number of units that can be resampled: for a mean, those that are defined."""
    if summarise is mean_of_units:
        return min(int((~table[:, 0].isnan()).sum()) for arm in tables for table in arm)
    return len(tables[0][0])


def _check(caller: str, arms: Sequence[Sequence[Tensor]], resamples: int, confidence: float) -> None:
    """Raise InputError unless the arms have the same seeds and units and the settings make sense."""
    seeds = {len(arm) for arm in arms}
    if len(seeds) != 1 or seeds == {0}:
        raise fail(
            caller, f"arms have {[len(arm) for arm in arms]} seeds", "the same number of seeds, at least one"
        )
    shapes = {tuple(table.shape) for arm in arms for table in arm}
    if any(len(shape) != 2 or shape[1] == 0 for shape in shapes) or len({shape[0] for shape in shapes}) != 1:
        raise fail(caller, f"statistics have the shapes {sorted(shapes)}", "[unit, stat] with the same units")
    if not 0 < confidence < 1:
        raise fail(caller, f"confidence is {confidence}", "a share between 0 and 1, such as 0.95")
    if resamples < 1:
        raise fail(caller, f"resamples is {resamples}", "at least 1")

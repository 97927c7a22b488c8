"""How sure is a figure or a difference? Intervals from resamples of groups, and of seeds where a method is meant.

Units (queries, samples) of one group (a class, a patient) share their fate, so groups are drawn whole, the same ones
for both arms and for all seeds. From the values on the resamples comes a percentile interval. It is widened to
Student's quantile for few groups, as a percentile interval of few is too narrow.

With three or more seeds the interval is that of the *method*: a further seed would give another gain. With the
variances

    between   = variance of the seeds' figures / seeds           (seed effects, and units that fall otherwise)
    shared    = covariance of the seeds over the resamples       (units that are hard for every seed)

the half width is Cochran's, (t_seeds between + t_groups shared) / sqrt(between + shared): each variance with the
quantile of its own degrees of freedom, seeds - 1 and groups - 1. It is never less than that of the units alone. With
one or two seeds the interval is that of *these models*: units alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._labels import Labels
from metricgrad._resampling import Resamples, Summary, Watch, mean_of_units, resampled

__all__ = [
    "FEWEST_GROUPS",
    "SEEDS_OF_A_METHOD",
    "Interval",
    "bootstrap",
    "holm",
    "interval_of",
    "mean_of_units",
    "p_value",
    "paired_bootstrap",
]

SEEDS_OF_A_METHOD = 3
"""Fewer seeds say nothing of how much they vary."""
FEWEST_GROUPS = 20
"""With fewer, intervals of skewed statistics hold the true value less often than they say."""


@dataclass(frozen=True)
class Interval:
    """A value and how far it could be off.

    Attributes:
        value: the figure on all units that are defined in every arm and seed, mean over seeds.
        low: lower end of the interval; None where none can be given (fewer than two groups).
        high: upper end.
        per_seed: the figure of every seed.
        units: units that were resampled: those that are defined in every arm and seed.
        confidence: share of repetitions that the interval should hold the true value in.
        resamples: resamples that count.
        undefined: resamples that are left out, as the metric is undefined on them.
        left_out: units that are undefined in some arm or seed.
        groups: groups that hold the units.
        effective: groups of equal size that would count as much: (sum of sizes)^2 / sum of squared sizes.
        unit_error: standard error from the choice of units, of the mean over these seeds.
        seed_error: standard error from the choice of seeds, square root of `between`; None with fewer than three.
    """

    value: float
    low: float | None
    high: float | None
    per_seed: tuple[float, ...]
    units: int
    confidence: float
    resamples: int
    undefined: int = 0
    left_out: int = 0
    groups: int = 0
    effective: float = 0.0
    unit_error: float | None = None
    seed_error: float | None = None

    def within(self, bounds: tuple[float, float]) -> "Interval":
        """The same with ends that the figure can have: a share of more than 1 is none.

        Args:
            bounds: smallest and largest possible figure. Where the value itself is outside, nothing is changed.

        Example:
            >>> found = Interval(0.98, 0.95, 1.01, (0.98,), 9, 0.95, 100).within((0.0, 1.0))
            >>> found.low, found.high
            (0.95, 1.0)
        """
        least, most = bounds
        if self.low is None or self.high is None or not least <= self.value <= most:
            return self
        return replace(self, low=max(self.low, least), high=min(self.high, most))


def bootstrap(
    statistics: Sequence[Float[Tensor, "unit stat"]],
    summarise: Summary = mean_of_units,
    *,
    groups: Labels | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    watch: Watch | None = None,
) -> Interval:
    """Interval of a metric of one arm, mean over seeds (estimate).

    Args:
        statistics: of each seed, on the same units in the same order. A unit whose first statistic is NaN for some
            seed is left out for all.
        summarise: statistics -> value; called on every resample unless it is `mean_of_units` or has `of_counts`.
        groups: one label per unit: units of one group are drawn together. None: every unit for itself.
        resamples: number of draws of groups.
        confidence: share of repetitions that the interval should hold the true value in, between 0 and 1.
        seed: seed of the draws.
        watch: is told (resamples done, resamples in all).

    Returns:
        The interval; `low` and `high` are None for fewer than two groups. Three seeds or more: of the method.

    Raises:
        InputError: no seed, seeds with other units, groups that are not one per unit, a confidence outside (0, 1), no
            resample.

    Edge cases:
        A resample on which the summary is not finite or raises `MetricFailed` is left out and counted. Below about
        20 groups the interval is wide, and for skewed statistics still not wide enough.

    Cost:
        `resamples * group` draws; a general summary is called `resamples * seed` times.

    Reference:
        [efron1993bootstrap]

    Example:
        >>> import torch
        >>> found = bootstrap([torch.tensor([[1.0], [0.0], [1.0], [1.0]] * 10)])
        >>> found.value, round(found.low, 2), round(found.high, 2)
        (0.75, 0.59, 0.88)
    """
    table = resampled(
        "bootstrap", {"": statistics}, summarise, groups=groups, resamples=resamples, seed=seed, watch=watch
    )
    return interval_of(table, [1.0], confidence, caller="bootstrap")


def paired_bootstrap(
    a: Sequence[Float[Tensor, "unit stat"]],
    b: Sequence[Float[Tensor, "unit stat"]],
    summarise: Summary = mean_of_units,
    *,
    groups: Labels | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    watch: Watch | None = None,
) -> Interval:
    """Interval of the difference a - b of two arms, mean over seeds (estimate).

    Seed i of `a` is compared with seed i of `b`. One draw of groups serves both arms and all seeds.

    Args:
        a: statistics of the first arm for each seed.
        b: statistics of the second arm for each seed, on the same units in the same order. A unit whose first
            statistic is NaN in some arm or seed is left out of all.
        summarise: statistics -> value; called on every resample unless it is `mean_of_units` or has `of_counts`.
        groups: one label per unit: units of one group are drawn together. None: every unit for itself.
        resamples: number of draws of groups.
        confidence: share of repetitions that the interval should hold the true value in, between 0 and 1.
        seed: seed of the draws.
        watch: is told (resamples done, resamples in all).

    Returns:
        The interval of the difference; for a metric where lower is better a gain is negative. Three seeds or more:
        of the methods that made the models; one or two: of these models.

    Raises:
        InputError: no seed, other numbers of seeds or units, groups that are not one per unit, a confidence outside
            (0, 1), no resample.

    Edge cases:
        as `bootstrap`.

    Cost:
        `resamples * group` draws; a general summary is called `2 * resamples * seed` times.

    Reference:
        [koehn2004significance]

    Example:
        >>> import torch
        >>> better, worse = torch.tensor([[1.0], [1.0], [0.0]]), torch.tensor([[0.5], [0.25], [0.5]])
        >>> round(paired_bootstrap([better], [worse]).value, 6)
        0.25
    """
    table = resampled(
        "paired_bootstrap",
        {"a": a, "b": b},
        summarise,
        groups=groups,
        resamples=resamples,
        seed=seed,
        watch=watch,
    )
    return interval_of(table, [1.0, -1.0], confidence, caller="paired_bootstrap")


def interval_of(
    table: Resamples, signs: Sequence[float], confidence: float, *, caller: str = "interval_of"
) -> Interval:
    """Interval of the signed sum of the arms of a table, mean over seeds.

    Args:
        table: values on the resamples.
        signs: one factor per arm, in the order of the table: 1 and -1 for a difference, 0 for an arm that is not in it.
        confidence: share of repetitions that the interval should hold the true value in, between 0 and 1.
        caller: for messages.

    Raises:
        InputError: a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise fail(caller, f"confidence is {confidence}", "a share between 0 and 1, such as 0.95")
    factors = np.asarray(signs)
    asked = factors != 0  # an arm that is not asked for may be undefined or infinite
    with np.errstate(invalid="ignore"):
        per_seed = factors[asked] @ table.values[asked]
    drawn = np.einsum("a,ras->rs", factors[asked], table.drawn[:, asked])
    low = high = unit_error = seed_error = None
    if len(drawn) > 1 and np.isfinite(per_seed).all():
        low, high, unit_error, seed_error = _ends(per_seed, drawn, table.effective, (1 - confidence) / 2)
    return Interval(
        value=float(per_seed.mean()),
        low=low,
        high=high,
        per_seed=tuple(per_seed.tolist()),
        units=table.units,
        confidence=confidence,
        resamples=len(drawn),
        undefined=table.undefined,
        left_out=table.left_out,
        groups=table.groups,
        effective=table.effective,
        unit_error=unit_error,
        seed_error=seed_error,
    )


def p_value(table: Resamples, signs: Sequence[float], *, caller: str = "p_value") -> float | None:
    """Two-sided p-value of the hypothesis that a signed sum of arms is 0 (estimate).

    It is the smallest level at which the interval of `interval_of` excludes 0: `p_value(...) <= 0.05` says the same
    as a 95 % interval without 0.

    Args:
        table: values on the resamples.
        signs: one factor per arm, as for `interval_of`: 1 and -1 for a difference.
        caller: for messages.

    Returns:
        A share in (0, 1]; None where no interval can be given. Never below 2 / (resamples + 1): the tails of fewer
        resamples than that hold nothing.

    Edge cases:
        A difference that is 0 on every resample has the p-value 1.

    Cost:
        About 30 intervals.

    Reference:
        [efron1993bootstrap]

    Example:
        >>> import torch
        >>> table = resampled(
        ...     "demo",
        ...     {"a": [torch.ones(30, 1)], "b": [torch.ones(30, 1)]},
        ...     mean_of_units,
        ...     groups=None,
        ...     resamples=200,
        ...     seed=0,
        ... )
        >>> p_value(table, [1.0, -1.0])
        1.0
    """

    def excludes_zero(level: float) -> bool:
        found = interval_of(table, signs, 1 - level, caller=caller)
        return found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)

    if interval_of(table, signs, 0.95, caller=caller).low is None:
        return None
    low, high = 2 / (len(table.drawn) + 1), 1 - 1e-9
    if not low < high or not excludes_zero(high):
        return 1.0
    if excludes_zero(low):
        return low
    while high / low > 1 + 1e-7:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if excludes_zero(middle) else (middle, high)
    return high


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjustment of p-values of several hypotheses that are tested together (exact).

    A hypothesis whose adjusted p-value is at most alpha may be rejected; the chance of rejecting any true one is then
    at most alpha, however the hypotheses depend on each other.

    Args:
        p_values: one per hypothesis, between 0 and 1; None for a comparison that has none. It counts as a hypothesis
            all the same.

    Returns:
        Adjusted p-values in the same order: with the p-values sorted, the largest so far of p * (number of
        hypotheses that are not smaller), at most 1.

    Raises:
        InputError: a p-value outside [0, 1].

    Edge cases:
        One hypothesis keeps its p-value; no hypothesis gives an empty list.

    Reference:
        [holm1979simple]

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    for value in p_values:
        if value is not None and not 0 <= value <= 1:
            raise fail("holm", f"a p-value is {value}", "shares between 0 and 1")
    order = sorted(
        (place for place, value in enumerate(p_values) if value is not None),
        key=lambda place: p_values[place] or 0.0,
    )
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * (p_values[place] or 0.0)))
        adjusted[place] = largest
    return adjusted


def _ends(
    per_seed: np.ndarray, drawn: np.ndarray, groups: float, tail: float
) -> tuple[float, float, float, float | None]:
    """Lower and upper end and the two standard errors, of the seeds' figures and their resamples [resample, seed]."""
    groups = max(2.0, groups)
    spread = groups / (groups - 1)  # a resample of n groups varies (n - 1) / n times as much as a sample
    means = drawn.mean(1)
    middle = means.mean()
    quantile = _student(tail, groups - 1)
    widen = math.sqrt(spread) * quantile / _student(tail, math.inf)
    sides = np.maximum(0.0, (np.quantile(means, [tail, 1 - tail]) - middle) * [-widen, widen])
    alone = spread * means.var()  # of the mean over these seeds
    seeds, seed_error = len(per_seed), None
    if seeds >= SEEDS_OF_A_METHOD:
        between = per_seed.var(ddof=1) / seeds
        covariance = spread * np.cov(drawn.T)
        shared = max(0.0, (covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1)))
        # each side of the resamples keeps its share: they may be skewed
        errors = np.square(sides / quantile) * (shared / alone if alone > 0 else 0.0)
        both = (_student(tail, seeds - 1) * between + quantile * errors) / np.sqrt(
            np.maximum(between + errors, np.finfo(float).tiny)
        )
        sides, seed_error = np.maximum(sides, both), math.sqrt(between)
    low, high = middle - sides[0], middle + sides[1]
    return float(low), float(high), math.sqrt(alone), seed_error


@lru_cache(maxsize=256)
def _student(tail: float, freedom: float) -> float:
    """Quantile 1 - tail of Student's t: with t = sqrt(freedom) tan(angle) its density is cos(angle)^(freedom - 1)."""
    if freedom > 1e6:
        return NormalDist().inv_cdf(1 - tail)
    mass, angles = _mass(freedom)
    return math.sqrt(freedom) * math.tan(np.interp(0.5 - tail, mass, angles))


@lru_cache(maxsize=16)
def _mass(freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Student's mass between 0 and each of the angles, and the angles."""
    angles = np.linspace(0, math.pi / 2, 100_001)
    density = np.cos(angles) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return mass / (2 * mass[-1]), angles

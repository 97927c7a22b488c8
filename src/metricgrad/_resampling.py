"""Resamples of units: whole groups are drawn, and one table of values serves every figure and every difference.

All arms and seeds of a comparison were measured on the same units (queries, samples). One resample draws as many
groups as there are, with replacement; a unit comes as often as its group. Every table of statistics is summarised on
the same resample, so that what is common to arms and seeds cancels in their differences, and a metric that has to be
called anew is called once for each arm, seed and resample.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._labels import Labels, number_labels
from metricgrad.errors import MetricFailed

__all__ = ["Resamples", "Summary", "Watch", "mean_of_units", "resampled"]

Summary = Callable[[Tensor], float]
"""Statistics [unit, stat] -> value. Optional member `of_counts(statistics)`: prepares the statistics once and returns a
function of how often each unit comes [resample, unit], which gives the values [resample]."""

Watch = Callable[[int, int], None]
"""Is told (resamples done, resamples in all)."""

_CHUNK = 500_000
"""Counts of units that are held at a time: as many as fit a cache."""


@dataclass(frozen=True)
class Resamples:
    """The values of every arm and seed on all units and on every resample.

    Attributes:
        values: on all units that are defined in every table [arm, seed].
        drawn: on the resamples in which every table has a value [resample, arm, seed].
        undefined: resamples that are left out, as the metric is undefined in one of the tables, or failed.
        units: that were resampled: those that are defined in every table.
        left_out: units that are undefined in at least one of the tables.
        groups: groups that hold the units.
        effective: groups of equal size that would count as much, (sum of sizes)^2 / sum of squared sizes.
    """

    values: np.ndarray
    drawn: np.ndarray
    undefined: int
    units: int
    left_out: int
    groups: int
    effective: float


def mean_of_units(statistics: Float[Tensor, "unit stat"]) -> float:
    """Mean of the first column over the units where it is defined (not NaN); NaN if there is none.

    The summary of every metric that is a mean over units. The bootstrap knows it and takes a matrix product
    instead of a loop.
    """
    return float(statistics[:, 0].double().nanmean()) if len(statistics) else float("nan")


def resampled(
    caller: str,
    arms: Mapping[str, Sequence[Float[Tensor, "unit stat"]]],
    summarise: Summary,
    *,
    groups: Labels | None,
    resamples: int | Int[np.ndarray, "resample group"],
    seed: int,
    watch: Watch | None = None,
) -> Resamples:
    """Summarise every arm and seed on the same resamples of the groups.

    Args:
        caller: for messages.
        arms: name -> statistics of each seed, on the same units in the same order. A unit whose first statistic is
            NaN is undefined, and is left out everywhere if it is so anywhere.
        summarise: statistics -> value. A value that is not finite, and a `MetricFailed`, make a resample undefined.
        groups: one label per unit; None: every unit is its own group.
        resamples: number of draws; or the draws themselves, the groups of each resample.
        seed: of the draws; without a meaning where they are given.
        watch: is told how far it is.

    Raises:
        InputError: arms with other seeds or units, groups that are not one per unit, no resample.

    Cost:
        `resamples * group` draws; `resamples * arm * seed` calls of a summary without `of_counts`.
    """
    number = resamples if isinstance(resamples, int) else len(resamples)
    tables = _checked(caller, arms, number)
    defined = torch.stack([~table[:, 0].isnan() for arm in tables for table in arm]).all(0)
    kept = defined.nonzero()[:, 0]
    tables = [[table[kept] for table in arm] for arm in tables]
    member = _members(caller, groups, defined)
    sizes = np.bincount(member).astype(float) if len(member) else np.zeros(0)
    values = np.array([[_value(summarise, table) for table in arm] for arm in tables])
    drawn = np.empty((0, *values.shape))
    if len(sizes) > 1:
        random = np.random.default_rng(seed)
        values_of = _road(tables, summarise, member)
        drawn = np.empty((number, *values.shape))
        slow = not (summarise is mean_of_units or hasattr(summarise, "of_counts"))
        chunk = 1 if slow else max(1, _CHUNK // len(member))
        for first, times in _times(len(sizes), chunk, resamples, random):
            drawn[first : first + len(times)] = values_of(times)
            if watch is not None:
                watch(first + len(times), number)
    finite = np.isfinite(drawn).all((1, 2))
    return Resamples(
        values,
        drawn[finite],
        undefined=int((~finite).sum()),
        units=len(member),
        left_out=len(defined) - len(member),
        groups=len(sizes),
        effective=float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0,
    )


def _value(summarise: Summary, rows: Tensor) -> float:
    """The value of some rows; NaN where the metric fails on them."""
    try:
        return float(summarise(rows))
    except MetricFailed:
        return float("nan")


Road = Callable[[np.ndarray], np.ndarray]
"""How often each group comes [resample, group] -> values [resample, arm, seed]."""


def _road(tables: list[list[Tensor]], summarise: Summary, member: np.ndarray) -> Road:
    """The cheapest way to summarise resamples."""
    if summarise is mean_of_units:
        return _means(tables, member)
    if hasattr(summarise, "of_counts"):
        return _by_counts(tables, summarise, member)
    return _by_calls(tables, summarise, member)


def _by_calls(tables: list[list[Tensor]], summarise: Summary, member: np.ndarray) -> Road:
    """Any summary: called with the rows of each resample."""
    every = torch.arange(len(member))

    def values(times: np.ndarray) -> np.ndarray:
        drawn = (every.repeat_interleave(torch.from_numpy(counts[member])) for counts in times)
        return np.array(
            [[[_value(summarise, table[rows]) for table in arm] for arm in tables] for rows in drawn]
        )

    return values


def _by_counts(tables: list[list[Tensor]], summarise: Any, member: np.ndarray) -> Road:
    """A summary that takes how often each unit comes."""
    functions = [[summarise.of_counts(table) for table in arm] for arm in tables]
    alone = len(member) == int(member.max()) + 1  # every unit is a group

    def values(times: np.ndarray) -> np.ndarray:
        with _one_thread():  # chunks are small: several threads wait for each other longer than they compute
            counts = torch.from_numpy(times if alone else times[:, member]).double()  # [resample, unit]
            return np.stack([np.stack([of(counts).numpy() for of in arm], 1) for arm in functions], 1)

    return values


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _means(tables: list[list[Tensor]], member: np.ndarray) -> Road:
    """The mean of the units: sums of groups, times how often each comes."""
    sizes = np.bincount(member)
    columns = [[table[:, 0].double().numpy() for table in arm] for arm in tables]
    sums = np.array(
        [[np.bincount(member, column) for column in arm] for arm in columns]
    )  # [arm, seed, group]

    def values(times: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # a unit may be infinite: such a resample is undefined
            total = times.astype(float) @ sums.reshape(-1, len(sizes)).T
        return (total / (times @ sizes)[:, None]).reshape(-1, *sums.shape[:2])

    return values


def _times(
    groups: int, chunk: int, resamples: int | np.ndarray, random: np.random.Generator
) -> Iterator[tuple[int, Int[np.ndarray, "resample group"]]]:
    """Yield the number of the first resample and how often each group comes, one chunk after the other."""
    number = resamples if isinstance(resamples, int) else len(resamples)
    for first in range(0, number, chunk):
        if isinstance(resamples, int):
            indices = random.integers(groups, size=(min(chunk, number - first), groups))
        else:
            indices = resamples[first : first + chunk]
        yield first, np.stack([np.bincount(row, minlength=groups) for row in indices])


def _members(caller: str, groups: Labels | None, defined: Tensor) -> Int[np.ndarray, "unit"]:
    """Number of the group of every defined unit, without gaps."""
    kept = defined.nonzero()[:, 0]
    if groups is None:
        return np.arange(len(kept))
    codes = number_labels(caller, {"groups": groups}, device="cpu").codes[0]
    if len(codes) != len(defined):
        raise fail(caller, f"groups has {len(codes):,} labels", f"one for each of the {len(defined):,} units")
    return np.unique(codes[kept].numpy(), return_inverse=True)[1]


def _checked(caller: str, arms: Mapping[str, Sequence[Tensor]], resamples: int) -> list[list[Tensor]]:
    """The tables on the CPU; InputError unless the arms have the same seeds and units."""
    seeds = {len(arm) for arm in arms.values()}
    if len(seeds) != 1 or seeds == {0}:
        raise fail(
            caller,
            f"arms have {[len(arm) for arm in arms.values()]} seeds",
            "the same number of seeds, at least one",
        )
    shapes = {tuple(table.shape) for arm in arms.values() for table in arm}
    if any(len(shape) != 2 or shape[1] == 0 for shape in shapes) or len({shape[0] for shape in shapes}) != 1:
        raise fail(caller, f"statistics have the shapes {sorted(shapes)}", "[unit, stat] with the same units")
    if resamples < 1:
        raise fail(caller, f"resamples is {resamples}", "at least 1")
    return [[table.detach().cpu() for table in arm] for arm in arms.values()]

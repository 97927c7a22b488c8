"""The metric in every group of test: whom the returned model serves worst, and who loses by it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._group_records import GroupFigures
from metricgrad._labels import number_labels
from metricgrad._resampling import mean_of_units
from metricgrad._types import Metric
from metricgrad.differences import Grouping
from metricgrad.errors import MetricFailed
from metricgrad.metrics.command import program_of
from metricgrad.tune.splits import Splits

__all__ = ["compared_arms", "figures_by_group"]

CALLS_SHARE = 4
"""A metric that has to be called anew for every group is asked of one group per this many resamples at most."""


def compared_arms(returned: str, contender: str, baseline: str) -> tuple[str, str]:
    """Return whose groups are shown, and beside whom: the returned arm, else the contender, against the baseline.

    Example:
        >>> compared_arms("tuned", "tuned", "continued"), compared_arms("continued", "tuned", "continued")
        (('tuned', 'continued'), ('tuned', 'continued'))
    """
    return (contender if returned == baseline else returned), baseline


def figures_by_group(
    metric: Metric,
    statistics: Mapping[str, Sequence[Tensor]],
    grouping: Grouping,
    arms: tuple[str, str],
    splits: Splits,
    resamples: int,
) -> GroupFigures | None:
    """Summarise the statistics of two arms in every group; None where every unit stands for itself.

    Args:
        metric: that was measured.
        statistics: for each arm the statistics [unit, stat] of every seed. A unit that is undefined in some arm or
            seed is left out of all, as in the verdict.
        grouping: which units go together.
        arms: whose values are asked for, and those of its opponent.
        splits: of the run; they say whether groups have names.
        resamples: that the intervals took.

    Cost:
        A mean over units is summed for all groups at once. Any other summary is called for each group, arm and seed;
        where that calls a function of the user and groups are more than a quarter of the resamples, the record says so.
    """
    if grouping.labels is None:
        return None
    found = number_labels("groups", {"groups": grouping.labels}, device="cpu")
    codes, first = np.unique(found.codes[0].numpy(), return_index=True)
    order = codes[np.argsort(first)]  # by the first appearance
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    member = place[found.codes[0].numpy()]
    arm, opponent = arms
    names = _names(splits, grouping.noun, [found.classes[code] for code in order])
    if why := _why_not(metric, len(order), resamples):
        return GroupFigures(arm, opponent, grouping.noun, [], [], [], why=why)
    defined = torch.stack([~one[:, 0].isnan() for ones in statistics.values() for one in ones]).all(0)
    sizes = np.bincount(member, minlength=len(order)).tolist()
    values = [_means(metric, statistics[one], member, defined, len(order)) for one in arms]
    return GroupFigures(arm, opponent, grouping.noun, sizes, values[0], values[1], names)


def _why_not(metric: Metric, groups: int, resamples: int) -> str:
    """Why the metric cannot be given by group; empty where it can."""
    if metric.unit == "whole":
        return "the metric gives one number for the whole set"
    if program_of(metric) is not None:
        return "the metric is a program, which is not started for every group"
    fast = metric.summarise is mean_of_units or hasattr(metric.summarise, "of_counts")
    if not fast and groups * CALLS_SHARE > resamples:
        return (
            f"the metric has to be called anew for each of {groups:,} groups, which is done for at most a quarter of "
            f"the number of resamples ({resamples:,})"
        )
    return ""


def _means(
    metric: Metric, tables: Sequence[Tensor], member: np.ndarray, defined: Tensor, groups: int
) -> list[float | None]:
    """The metric of an arm in every group, mean over seeds; None where it is undefined with some seed."""
    kept = defined.cpu()
    of = _averages if metric.summarise is mean_of_units else _summaries
    values = np.stack([of(metric, one.cpu()[kept], member[kept.numpy()], groups) for one in tables])
    return [value if np.isfinite(value) else None for value in values.mean(0).tolist()]


def _averages(_metric: Metric, table: Tensor, member: np.ndarray, groups: int) -> np.ndarray:
    """A metric that is a mean over units, in every group at once; NaN in an empty one."""
    sums = np.bincount(member, table[:, 0].double().numpy(), minlength=groups)
    with np.errstate(invalid="ignore"):
        return sums / np.bincount(member, minlength=groups)


def _summaries(metric: Metric, table: Tensor, member: np.ndarray, groups: int) -> np.ndarray:
    """Any metric, asked of one group after the other."""
    here = torch.from_numpy(member)
    parts = table[torch.argsort(here, stable=True)].split(torch.bincount(here, minlength=groups).tolist())
    return np.array([_value(metric, part) for part in parts])


def _value(metric: Metric, rows: Tensor) -> float:
    """The metric of the units of a group; NaN where there is none, or where it fails on them."""
    if not len(rows):
        return float("nan")
    try:
        return float(metric.summarise(rows))
    except MetricFailed:
        return float("nan")


def _names(splits: Splits, noun: str, labels: Sequence[Any]) -> list[str]:
    """What the groups are called, where the user lets it be written: classes by their names, else the labels."""
    if not splits.group_names:
        return []
    known = dict(enumerate(splits.classes or ())) if noun == "class" else {}
    return [known.get(label, str(label)) for label in labels]

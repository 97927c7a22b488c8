"""Summaries of the rows of classifiers: what all resamples share is done once, then counts of the rows give a value."""

from collections.abc import Callable
from functools import partial
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import fail, positive_number
from metricgrad._safe import share
from metricgrad.metrics.class_rows import Average
from metricgrad.metrics.confusion import Confusion, Times, mean_of, of_confusion, tally
from metricgrad.metrics.of_rows import OfCounts

__all__ = ["average_precision_of_rows", "f_beta_of_rows", "roc_auc_of_rows"]


def f_beta_of_rows(
    rows: Float[Tensor, "sample 2"], *, beta: float = 1.0, average: Average | None = None
) -> OfCounts:
    """F-measure of (predicted, target) rows, as `f_beta_rows` makes them."""
    weight = positive_number("f_beta", "beta", beta) ** 2
    if average is not None and average not in get_args(Average):
        raise fail("f_beta", f"average is {average!r}", f"one of {', '.join(get_args(Average))}")
    if average in (None, "binary"):
        return partial(_f_of_one_class, torch.cat([rows, rows.prod(1, keepdim=True)], 1), weight)
    return of_confusion(partial(_f_of_classes, weight, average), rows)


def _f_of_classes(weight: float, average: Average, counted: Confusion) -> Tensor:
    """F-measure of several classes; `weight` is beta^2."""
    right, predictions, positives = counted.right, counted.predicted, counted.present
    if average == "micro":
        right, predictions, positives = (
            part.sum(-1, keepdim=True) for part in (right, predictions, positives)
        )
    # (1 + beta^2) tp + beta^2 fn + fp = beta^2 positives + predictions
    each = (1 + weight) * right / (weight * positives + predictions)
    if average == "weighted":
        return (each.nan_to_num(0.0) * positives).sum(-1) / positives.sum(-1)
    return mean_of(each, predictions + positives > 0)


def _f_of_one_class(counted: Float[Tensor, "sample 3"], weight: float, times: Times) -> Tensor:
    """F-measure of columns (predicted, present, both); 1 where nothing is predicted or present, NaN of no sample."""
    predictions, positives, right = (times @ counted).unbind(-1)
    found = (1 + weight) * right / (weight * positives + predictions)
    return torch.where((predictions + positives == 0) & (times.sum(-1) > 0), 1.0, found)


def average_precision_of_rows(rows: Float[Tensor, "sample 2"]) -> OfCounts:
    """Average precision of (score, target) rows, equal scores as one threshold."""
    thresholds = _thresholds(rows)

    def of_counts(times: Times) -> Tensor:
        found, passed = thresholds(times)
        precision = share(found, found + passed)
        gained = torch.diff(found, prepend=torch.zeros_like(found[..., :1]))
        return (gained * precision).sum(-1) / found[..., -1:].sum(-1)

    return of_counts


def roc_auc_of_rows(rows: Float[Tensor, "sample 2"]) -> OfCounts:
    """Area under the ROC curve of (score, target) rows: pairs in the right order, tied ones half."""
    order = rows[:, 1].sort(descending=True, stable=True).indices  # positives first among equal scores
    order = order[rows[order, 0].sort(descending=True, stable=True).indices]
    positive = rows[order, 1]
    group = rows[order, 0].unique_consecutive(return_inverse=True)[1]
    present = torch.stack([torch.bincount(group, part) for part in (positive, 1 - positive)])
    tied = (
        (present > 0).all(0)[group].nonzero()[:, 0]
    )  # samples with another of the other class at their score
    group = group[tied].unique_consecutive(return_inverse=True)[1]
    groups = int(group[-1]) + 1 if len(tied) else 0

    def of_counts(times: Times) -> Tensor:
        times = times.index_select(-1, order)
        found = times * positive
        others = times - found
        both = (tally(group, part.index_select(-1, tied), groups) for part in (found, others))
        ties = torch.mul(*both).sum(-1)
        pairs = found.sum(-1) * others.sum(-1)
        return ((found.cumsum(-1) * others).sum(-1) - ties / 2) / pairs

    return of_counts


def _thresholds(rows: Float[Tensor, "sample 2"]) -> Callable[[Times], tuple[Tensor, Tensor]]:
    """Sort once; return times -> true and false positives at each distinct score, highest first."""
    scores, order = rows[:, 0].sort(descending=True)
    positive = rows[:, 1][order]
    ends = torch.ones_like(scores, dtype=torch.bool)
    ends[:-1] = scores[:-1] != scores[1:]
    last = None if bool(ends.all()) else ends.nonzero()[:, 0]

    def counted(times: Times) -> tuple[Tensor, Tensor]:
        all_of_them = times.index_select(-1, order)
        found = (all_of_them * positive).cumsum(-1)
        passed = all_of_them.cumsum(-1) - found
        return (found, passed) if last is None else (found[..., last], passed[..., last])

    return counted

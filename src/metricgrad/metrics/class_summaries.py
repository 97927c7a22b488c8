"""Summaries of (score, target) rows: what all resamples share is done once, then counts of the rows give a value."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._safe import share
from metricgrad.metrics.confusion import Times, tally
from metricgrad.metrics.of_rows import OfCounts

__all__ = ["average_precision_of_rows", "roc_auc_of_rows", "thresholds"]


def average_precision_of_rows(rows: Float[Tensor, "sample 2"]) -> OfCounts:
    """Average precision of (score, target) rows, equal scores as one threshold."""
    counted = thresholds(rows)

    def of_counts(times: Times) -> Tensor:
        found, passed = counted(times)
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


def thresholds(rows: Float[Tensor, "sample 2"]) -> Callable[[Times], tuple[Tensor, Tensor]]:
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

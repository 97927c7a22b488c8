"""Exact metrics of one score per sample that look at a part of its thresholds: a fixed recall, precision or alarm rate.

Samples of equal score cross the threshold together. All return a float64 scalar tensor without gradient.
"""

from functools import partial

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from metricgrad._checks import fail, finite_number
from metricgrad._safe import ratio, share
from metricgrad.metrics.class_rows import Scores, Targets, score_rows
from metricgrad.metrics.class_summaries import roc_auc_of_rows, thresholds
from metricgrad.metrics.confusion import Times
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.of_rows import OfCounts, of_all

__all__ = ["partial_roc_auc", "precision_at_recall", "recall_at_precision"]


def precision_at_recall(outputs: Scores, targets: Targets, *, min_recall: float) -> Float64[Tensor, ""]:
    """Largest precision among the thresholds whose recall is at least `min_recall` (exact).

        max_t precision_t     over the distinct scores t with recall_t >= min_recall

    Args:
        outputs: score of the positive class; of two columns the second minus the first, or of probabilities the
            second.
        targets: 0 or 1 (or bool).
        min_recall: in (0, 1].

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, targets other than 0 and 1, a recall outside (0, 1].

    Edge cases:
        ties: one threshold. No positive, or no sample: NaN.

    Gradient: none.

    Cost: O(sample * log(sample)).

    Reference:
        [manning2008retrieval]

    Example:
        >>> scores, targets = torch.tensor([0.9, 0.8, 0.4, 0.3]), torch.tensor([1, 0, 1, 0])
        >>> precision_at_recall(scores, targets, min_recall=0.8)
        tensor(0.6667, dtype=torch.float64)
    """
    rows = score_rows("precision_at_recall", outputs, targets)
    return of_all(partial(precision_at_recall_of_rows, min_recall=min_recall), rows)


def precision_at_recall_of_rows(rows: Float[Tensor, "sample 2"], *, min_recall: float) -> OfCounts:
    """Precision at a recall of (score, target) rows."""
    least = _share("precision_at_recall", "min_recall", min_recall)
    counted = thresholds(rows)

    def of_counts(times: Times) -> Tensor:
        found, passed = counted(times)
        precision, recall = _precision_and_recall(found, passed)
        best = torch.where(recall >= least, precision, 0.0)
        return _largest(best).where(_any(found), float("nan"))

    return of_counts


def recall_at_precision(outputs: Scores, targets: Targets, *, min_precision: float) -> Float64[Tensor, ""]:
    """Largest recall among the thresholds whose precision is at least `min_precision` (exact).

        max_t recall_t     over the distinct scores t with precision_t >= min_precision; 0 where there is none

    Args:
        outputs: score of the positive class; of two columns the second minus the first, or of probabilities the
            second.
        targets: 0 or 1 (or bool).
        min_precision: in (0, 1].

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, targets other than 0 and 1, a precision outside (0, 1].

    Edge cases:
        ties: one threshold. No threshold of that precision: 0, as nothing may be called positive. No positive, or no
        sample: NaN.

    Gradient: none.

    Cost: O(sample * log(sample)).

    Reference:
        [manning2008retrieval]

    Example:
        >>> scores, targets = torch.tensor([0.9, 0.8, 0.4, 0.3]), torch.tensor([1, 0, 1, 0])
        >>> recall_at_precision(scores, targets, min_precision=0.8)
        tensor(0.5000, dtype=torch.float64)
    """
    rows = score_rows("recall_at_precision", outputs, targets)
    return of_all(partial(recall_at_precision_of_rows, min_precision=min_precision), rows)


def recall_at_precision_of_rows(rows: Float[Tensor, "sample 2"], *, min_precision: float) -> OfCounts:
    """Recall at a precision of (score, target) rows."""
    least = _share("recall_at_precision", "min_precision", min_precision)
    counted = thresholds(rows)

    def of_counts(times: Times) -> Tensor:
        found, passed = counted(times)
        precision, recall = _precision_and_recall(found, passed)
        best = torch.where(precision >= least, recall, 0.0)
        return _largest(best).where(_any(found), float("nan"))

    return of_counts


def partial_roc_auc(outputs: Scores, targets: Targets, *, max_fpr: float) -> Float64[Tensor, ""]:
    """Area under the ROC curve up to a false positive rate (exact), standardised: 1/2 for chance, 1 at best.

        1/2 (1 + (A - max_fpr^2 / 2) / (max_fpr - max_fpr^2 / 2))     A = integral of the curve over [0, max_fpr]

    Args:
        outputs: score of the positive class; of two columns the second minus the first, or of probabilities the
            second.
        targets: 0 or 1 (or bool).
        max_fpr: in (0, 1]; 1 is the whole area, `roc_auc`.

    Returns:
        float64 scalar in [(1 - max_fpr) / (2 - max_fpr), 1], higher is better; scikit-learn's
        `roc_auc_score(max_fpr=...)`.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, targets other than 0 and 1, a rate outside (0, 1].

    Edge cases:
        ties: one threshold, and the curve is straight between thresholds, also where `max_fpr` cuts it. One class
        only, or no sample: NaN.

    Gradient: none.

    Cost: O(sample * log(sample)).

    Reference:
        [mcclish1989partial]

    Example:
        >>> scores, targets = torch.tensor([0.9, 0.8, 0.4, 0.3]), torch.tensor([1, 0, 1, 0])
        >>> partial_roc_auc(scores, targets, max_fpr=0.5)
        tensor(0.6667, dtype=torch.float64)
    """
    rows = score_rows("partial_roc_auc", outputs, targets)
    return of_all(partial(partial_roc_auc_of_rows, max_fpr=max_fpr), rows)


def partial_roc_auc_of_rows(rows: Float[Tensor, "sample 2"], *, max_fpr: float) -> OfCounts:
    """Standardised partial area of (score, target) rows."""
    most = _share("partial_roc_auc", "max_fpr", max_fpr)
    if most == 1:
        return roc_auc_of_rows(rows)
    counted = thresholds(rows)
    chance = most**2 / 2

    def of_counts(times: Times) -> Tensor:
        hits, alarms = (torch.nn.functional.pad(part, (1, 0)) for part in counted(times))  # from (0, 0) on
        height, end = share(hits, hits[..., -1:]), share(alarms, alarms[..., -1:])
        width = end.diff(dim=-1)
        inside = (most - end[..., :-1]).clamp_min(0).minimum(width)
        rise = height.diff(dim=-1) * ratio(inside, width, otherwise=0.0)
        area = (inside * (height[..., :-1] + rise / 2)).sum(-1)
        found = (1 + (area - chance) / (most - chance)) / 2
        return found.where((hits[..., -1] > 0) & (alarms[..., -1] > 0), float("nan"))

    return of_counts


def _share(caller: str, name: str, value: float) -> float:
    """A setting in (0, 1]."""
    number = finite_number(caller, name, value, "a number in (0, 1]")
    if not 0 < number <= 1:
        raise fail(caller, f"{name} is {value!r}", "a number in (0, 1]")
    return number


def _precision_and_recall(found: Tensor, passed: Tensor) -> tuple[Tensor, Tensor]:
    """At every threshold; 0 where nothing is above it, or nothing is positive."""
    return share(found, found + passed), share(found, found[..., -1:])


def _any(found: Tensor) -> Tensor:
    """Whether there is a positive."""
    return found[..., -1:].sum(-1) > 0


def _largest(values: Tensor) -> Tensor:
    """Largest of values >= 0; 0 of none."""
    return torch.nn.functional.pad(values, (1, 0)).amax(-1)


_of_scores = partial(Facts, reads="scores")

FACTS = (
    _of_scores(
        partial_roc_auc,
        rows=partial(score_rows, "partial_roc_auc"),
        of_rows=partial_roc_auc_of_rows,
        bounds=lambda settings: ((1 - settings["max_fpr"]) / (2 - settings["max_fpr"]), 1.0),
    ),
    _of_scores(
        precision_at_recall,
        rows=partial(score_rows, "precision_at_recall"),
        of_rows=precision_at_recall_of_rows,
    ),
    _of_scores(
        recall_at_precision,
        rows=partial(score_rows, "recall_at_precision"),
        of_rows=recall_at_precision_of_rows,
    ),
)

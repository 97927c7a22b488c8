"""Metrics of decided classes as formulas of the confusion table: the one definition of each.

A formula takes the counts of one set of samples, or of many at once, and the settings of its metric; it returns one
float64 value for each, NaN where the metric is undefined. It is differentiable in counts that are real numbers: what
would be a division by 0 is kept out of the division, so that the gradient is finite wherever the value is defined.
Counts are added up in a way that makes the sum of a single number exactly that number, hence "one class only" is seen
exactly, also where counts are no whole numbers.
"""

from collections.abc import Callable
from functools import partial
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import fail, positive_number
from metricgrad._safe import or_one, ratio
from metricgrad.metrics.class_rows import Average, more_than_two
from metricgrad.metrics.confusion import Confusion, mean_of
from metricgrad.metrics.costs import Costs, cost_matrix

__all__ = [
    "accuracy",
    "balanced_accuracy",
    "balanced_error",
    "cohen_kappa",
    "error_rate",
    "expected_cost",
    "f_beta",
    "f_of_class",
    "g_mean",
    "jaccard",
    "jaccard_of_class",
    "matthews_corrcoef",
    "precision",
    "recall",
    "specificity",
]

Value = Float[Tensor, "*resample"]
OfOneClass = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of a class: samples that are rightly taken for it, that are taken for it, and that are of it -> value."""
UNDEFINED = float("nan")


def accuracy(counted: Confusion) -> Value:
    """Share of the samples that are right."""
    return ratio(counted.right.sum(-1), counted.samples, otherwise=UNDEFINED)


def error_rate(counted: Confusion) -> Value:
    """Share of the samples that are wrong."""
    return ratio((counted.present - counted.right).sum(-1), counted.samples, otherwise=UNDEFINED)


def balanced_accuracy(counted: Confusion) -> Value:
    """Mean over the classes that are present of their share of right samples."""
    return mean_of(ratio(counted.right, counted.present, otherwise=0.0), counted.present > 0)


def balanced_error(counted: Confusion) -> Value:
    """Mean over the classes that are present of their share of errors."""
    errors = ratio(counted.present - counted.right, counted.present, otherwise=0.0)
    return mean_of(errors, counted.present > 0)


def g_mean(counted: Confusion) -> Value:
    """Geometric mean over the classes that are present of their share of right samples."""
    present, right = counted.present > 0, counted.right
    found = (right > 0) & present
    logs = torch.where(found, right, 1.0).log() - torch.where(found, counted.present, 1.0).log()
    return torch.where((present & ~found).any(-1), 0.0, mean_of(logs, present).exp())


def f_beta(
    counted: Confusion,
    *,
    beta: float = 1.0,
    average: Average | None = None,
    positive_class: int | None = None,
) -> Value:
    """Weighted harmonic mean of precision and recall, of one class or averaged."""
    value = partial(f_of_class, weight=positive_number("f_beta", "beta", beta) ** 2)
    return _averaged("f_beta", value, counted, average, positive_class)


def precision(
    counted: Confusion, *, average: Average | None = None, positive_class: int | None = None
) -> Value:
    """Share of what is taken for a class that is of it."""

    def value(right: Tensor, predicted: Tensor, present: Tensor) -> Tensor:
        return ratio(right, predicted, otherwise=0.0)

    return _averaged("precision", value, counted, average, positive_class)


def recall(counted: Confusion, *, average: Average | None = None, positive_class: int | None = None) -> Value:
    """Share of a class that is taken for it."""
    return _averaged("recall", _recall, counted, average, positive_class)


def specificity(
    counted: Confusion, *, average: Average | None = None, positive_class: int | None = None
) -> Value:
    """Share of what is not of a class that is not taken for it: the recall of the rest."""
    return _averaged("specificity", _recall, counted, average, positive_class, of_rest=True)


def jaccard(
    counted: Confusion, *, average: Average | None = None, positive_class: int | None = None
) -> Value:
    """Samples rightly taken for a class, among those that are taken for it or of it."""
    return _averaged("jaccard", jaccard_of_class, counted, average, positive_class)


def matthews_corrcoef(counted: Confusion) -> Value:
    """Correlation of predicted and true classes; 0 where either are all one class."""
    predicted, present = counted.predicted, counted.present
    covariance = counted.right.sum(-1) * counted.samples - (predicted * present).sum(-1)
    spread = (predicted * _others(predicted)).sum(-1) * (present * _others(present)).sum(-1)
    correlation = torch.where(spread > 0, covariance / or_one(spread).sqrt(), 0.0)
    return torch.where(counted.samples > 0, correlation, UNDEFINED)


def cohen_kappa(counted: Confusion, *, weights: str | None = None) -> Value:
    """One minus the disagreement over that of chance; 0 where chance agrees."""
    predicted, present = counted.predicted, counted.present
    if weights in (None, "none"):
        wrong = (present - counted.right).sum(-1)
        by_chance = (predicted * _others(present)).sum(-1)
    else:
        if weights not in ("linear", "quadratic"):
            raise fail("cohen_kappa", f"weights is {weights!r}", "none, linear or quadratic")
        distance = (counted.numbers[:, None] - counted.numbers).abs()
        distance = distance**2 if weights == "quadratic" else distance
        wrong = counted.total(distance)
        by_chance = (present @ distance * predicted).sum(-1)
    agreement = 1 - ratio(wrong * counted.samples, by_chance, otherwise=1.0)
    return torch.where(counted.samples > 0, agreement, UNDEFINED)


def expected_cost(counted: Confusion, *, cost: Costs) -> Value:
    """Mean over the samples of the cost of the decision."""
    costs = torch.tensor(cost_matrix(cost), dtype=counted.right.dtype, device=counted.right.device)
    numbers = counted.numbers.long()
    if len(numbers) and int(numbers.max()) >= len(costs):
        came = f"there is a class {int(numbers.max())}"
        raise fail("expected_cost", came, f"classes 0 to {len(costs) - 1}, which cost has rows for")
    return ratio(counted.total(costs[numbers][:, numbers]), counted.samples, otherwise=UNDEFINED)


def f_of_class(right: Tensor, predicted: Tensor, present: Tensor, *, weight: float) -> Tensor:
    """(1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp) of counts of one class; `weight` is beta^2."""
    return ratio((1 + weight) * right, weight * present + predicted, otherwise=1.0)


def jaccard_of_class(right: Tensor, predicted: Tensor, present: Tensor) -> Tensor:
    """Tp / (tp + fn + fp) of counts of one class."""
    return ratio(right, predicted + present - right, otherwise=1.0)


def _recall(right: Tensor, predicted: Tensor, present: Tensor) -> Tensor:
    return ratio(right, present, otherwise=0.0)


def _others(counts: Float[Tensor, "*resample class"]) -> Float[Tensor, "*resample class"]:
    """Samples of all other classes; exactly 0 where there is one class only."""
    return counts.sum(-1, keepdim=True) - counts


def _averaged(
    caller: str,
    value: OfOneClass,
    counted: Confusion,
    average: Average | None,
    positive_class: int | None,
    *,
    of_rest: bool = False,
) -> Value:
    """Average a metric of single classes over those that occur, or take that of one class.

    Where a class is neither present nor predicted nothing is wrong, and its value is 1. `of_rest`: the value is that
    of all samples of other classes, as one class.
    """
    if average is not None and average not in get_args(Average):
        raise fail(caller, f"average is {average!r}", f"one of {', '.join(get_args(Average))}")
    right, predicted, present = counted.right, counted.predicted, counted.present
    all_predicted, all_present = (side.sum(-1, keepdim=True) for side in (predicted, present))
    if average in (None, "binary"):
        chosen = _positive(caller, counted, average, positive_class)
        right, predicted, present = (
            (part * chosen).sum(-1, keepdim=True) for part in (right, predicted, present)
        )
        occurs = all_present > 0
    else:
        occurs = predicted + present > 0
    often = present
    if of_rest:
        right = all_present - present - predicted + right
        predicted, present = all_predicted - predicted, all_present - present
    if average == "micro":
        kept = (torch.where(occurs, part, 0.0) for part in (right, predicted, present))
        right, predicted, present = (part.sum(-1, keepdim=True) for part in kept)
        occurs = occurs.any(-1, keepdim=True)
    values = torch.where(predicted + present > 0, value(right, predicted, present), 1.0)
    if average == "weighted":
        return ratio((values * often).sum(-1), often.sum(-1), otherwise=UNDEFINED)
    return mean_of(values, occurs)


def _positive(
    caller: str, counted: Confusion, average: Average | None, positive_class: int | None
) -> Float[Tensor, "class"]:
    """1 for the positive class, 0 for the others; InputError where it is not said which of many it is."""
    classes = len(counted.numbers)
    if average is None and positive_class is None and classes > 2:
        raise more_than_two(caller, f"there are {classes} classes")
    return (counted.numbers == (1 if positive_class is None else positive_class)).to(counted.right.dtype)

"""Metrics of decided classes as formulas of the confusion table: the one definition of each.

A formula takes the counts of one set of samples, or of many at once, and the settings of its metric; it returns one
float64 value for each, NaN where the metric is undefined. It is differentiable in counts that are real numbers: a
place where it would divide by 0 is kept out of the division, so that the gradient is finite wherever the value is
defined.
"""

from collections.abc import Callable
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import fail, positive_number
from metricgrad._safe import ratio
from metricgrad.metrics.class_rows import Average, more_than_two
from metricgrad.metrics.confusion import Confusion, mean_of

__all__ = ["Value", "accuracy", "balanced_error", "error_rate", "f_beta"]

Value = Float[Tensor, "*resample"]
UNDEFINED = float("nan")


def accuracy(counted: Confusion) -> Value:
    """Share of the samples that are right."""
    return ratio(counted.right.sum(-1), counted.samples, otherwise=UNDEFINED)


def error_rate(counted: Confusion) -> Value:
    """Share of the samples that are wrong."""
    return 1 - accuracy(counted)


def balanced_error(counted: Confusion) -> Value:
    """Mean over the classes that are present of their share of errors."""
    errors = ratio(counted.present - counted.right, counted.present, otherwise=0.0)
    return mean_of(errors, counted.present > 0)


def f_beta(
    counted: Confusion,
    *,
    beta: float = 1.0,
    average: Average | None = None,
    positive_class: int | None = None,
) -> Value:
    """F-measure of one class, or averaged over those that occur."""
    weight = positive_number("f_beta", "beta", beta) ** 2

    def value(right: Tensor, predicted: Tensor, present: Tensor) -> Tensor:
        # (1 + beta^2) tp + beta^2 fn + fp = beta^2 present + predicted
        return ratio((1 + weight) * right, weight * present + predicted, otherwise=0.0)

    return _averaged("f_beta", counted, value, average, positive_class)


def _averaged(
    caller: str,
    counted: Confusion,
    value: Callable[[Tensor, Tensor, Tensor], Tensor],
    average: Average | None,
    positive_class: int | None,
) -> Value:
    """Average a metric of single classes over those that occur, or take that of one class.

    `value` is given, of a class, the samples that are taken for it rightly, that are taken for it, and that are of
    it. Where there is none of the last two nothing is wrong: 1.
    """
    if average is not None and average not in get_args(Average):
        raise fail(caller, f"average is {average!r}", f"one of {', '.join(get_args(Average))}")
    counts = (counted.right, counted.predicted, counted.present)
    if average in (None, "binary"):
        chosen = _positive(caller, counted, average, positive_class)
        counts = tuple((part * chosen).sum(-1, keepdim=True) for part in counts)
        occurs = counted.samples[..., None] > 0
    else:
        occurs = counted.predicted + counted.present > 0
    if average == "micro":
        counts = tuple(part.sum(-1, keepdim=True) for part in counts)
        occurs = occurs.any(-1, keepdim=True)
    right, predicted, present = counts
    values = torch.where(predicted + present > 0, value(right, predicted, present), 1.0)
    if average == "weighted":
        return ratio((values * present).sum(-1), present.sum(-1), otherwise=UNDEFINED)
    return mean_of(values, occurs)


def _positive(
    caller: str, counted: Confusion, average: Average | None, positive_class: int | None
) -> Float[Tensor, "class"]:
    """1 for the positive class, 0 for the others; InputError where it is not said which of many it is."""
    classes = len(counted.numbers)
    if average is None and positive_class is None and classes > 2:
        raise more_than_two(caller, f"there are {classes} classes")
    return (counted.numbers == (1 if positive_class is None else positive_class)).to(counted.right.dtype)

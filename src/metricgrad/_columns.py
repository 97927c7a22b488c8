"""What outputs of one and of two columns mean: one rule for metrics, losses and scikit-learn's functions.

A single column is that column: [sample, 1] is read as [sample], the score of class 1. Two columns are the scores of
class 0 and class 1. As logits their difference counts. As probabilities (numbers in [0, 1], rows that sum to 1) it does
not: `p1 - p0` is -1 for every p1 below 1e-16. Then the order is that of p1, and a loss takes log p1 - log p0.
"""

from typing import Any

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._safe import log_above

__all__ = [
    "are_probabilities",
    "class_logits",
    "class_probabilities",
    "have_a_common_sum",
    "logit_of_class_1",
    "one_column",
    "order_of_class_1",
    "whole_codes",
]

_SPREAD = 1e-3
"""Relative spread of the sums of rows up to which they are one common sum."""

EXACT = 2**53
"""Whole numbers up to here are float64 numbers; some beyond are not."""


def one_column(values: Any) -> Any:
    """Return a tensor [sample, 1, ..., 1] as [sample]; anything else as it is.

    Example:
        >>> one_column(torch.tensor([[2.0], [3.0]]))
        tensor([2., 3.])
    """
    if isinstance(values, Tensor) and values.ndim > 1 and all(size == 1 for size in values.shape[1:]):
        return values.reshape(len(values))
    return values


def are_probabilities(outputs: Tensor) -> bool:
    """Whether the rows of two or more columns are probabilities: within [0, 1], with sums of 1 but for rounding.

    Example:
        >>> are_probabilities(torch.tensor([[0.25, 0.75]])), are_probabilities(torch.tensor([[0.5, 0.75]]))
        (True, False)
    """
    if outputs.ndim != 2 or outputs.shape[1] < 2 or not outputs.is_floating_point() or not len(outputs):
        return False
    within = outputs.detach().double()
    room = max(
        1e-3, 4 * torch.finfo(outputs.dtype).eps
    )  # a softmax in float16 or bfloat16 is rounded that much
    return bool((within >= 0).all()) and bool(((within.sum(1) - 1).abs() <= room).all())


def have_a_common_sum(scores: Float[Tensor, "sample class"]) -> bool:
    """Whether several rows of scores add up to one positive number: parts of a whole, such as percentages, no logits.

    Example:
        >>> have_a_common_sum(torch.tensor([[20.0, 80.0], [60.0, 40.0]]))
        True
    """
    sums = scores.double().sum(1)
    if len(sums) < 2:
        return False
    least, most = float(sums.min()), float(sums.max())
    return 0 < least and most - least <= _SPREAD * most < float("inf")


def order_of_class_1(outputs: Tensor) -> Float64[Tensor, "sample"] | None:
    """Return a number per sample, on the CPU, that orders them as their scores of class 1 do; None for other shapes.

    Whole numbers that float64 cannot hold become their places in the order.

    Example:
        >>> order_of_class_1(torch.tensor([[1.0, 1e-20], [1.0, 1e-30]]))
        tensor([1.0000e-20, 1.0000e-30], dtype=torch.float64)
    """
    scores = one_column(outputs.detach()).cpu()
    if scores.ndim == 2 and scores.shape[1] == 2:
        if are_probabilities(scores):
            return scores[:, 1].double()
        if _beyond(scores):
            return _places_of_difference(*_wide(scores).T)
        return scores[:, 1].double() - scores[:, 0].double()
    if scores.ndim != 1:
        return None
    return whole_codes(scores)[0]


def whole_codes(*values: Shaped[Tensor, "sample"]) -> list[Float64[Tensor, "sample"]]:
    """Return numbers as float64, those that float64 cannot hold as codes: equal where they are equal, in their order.

    Args:
        values: tensors whose numbers are compared with each other.

    Example:
        >>> first, second = whole_codes(torch.tensor([2**53, 5]), torch.tensor([2**53 + 1, 5]))
        >>> (first == second).tolist()
        [False, True]
    """
    if not any(_beyond(one) for one in values):
        return [one.double() for one in values]
    whole = torch.cat([_wide(one) for one in values])
    codes = whole.unique(return_inverse=True)[1].double()
    return list(codes.split([len(one) for one in values]))


def logit_of_class_1(outputs: Float[Tensor, "..."]) -> Float[Tensor, "sample"] | None:
    """Return the logit of class 1 with its gradient: the column, or second minus first; None for other shapes.

    Of probabilities it is the difference of their logarithms. Below about 1e-35 they count as equal, without gradient.

    Example:
        >>> logit_of_class_1(torch.tensor([[1.0, 3.0]])), logit_of_class_1(torch.tensor([[0.5, 0.5]]))
        (tensor([2.]), tensor([0.]))
    """
    scores = one_column(outputs)
    if scores.ndim == 2 and scores.shape[1] == 2:
        if are_probabilities(scores):
            scores = _logarithms(scores)
        return scores[:, 1] - scores[:, 0]
    return scores if scores.ndim == 1 else None


def class_logits(outputs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return the logits [sample, class] with their gradient.

    One column becomes 0 and that column, probabilities become their logarithms; other outputs come back as they are.

    Example:
        >>> class_logits(torch.tensor([2.0, -1.0]))
        tensor([[ 0.,  2.],
                [ 0., -1.]])
    """
    scores = one_column(outputs)
    if scores.ndim == 1:
        return torch.stack([torch.zeros_like(scores), scores], 1)
    return _logarithms(scores) if are_probabilities(scores) else scores


def class_probabilities(outputs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return the probabilities [sample, class] with their gradient: as they are, else the softmax of the logits.

    Example:
        >>> class_probabilities(torch.tensor([0.0, 0.0]))
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]])
    """
    return outputs if are_probabilities(outputs) else torch.softmax(class_logits(outputs), -1)


def _logarithms(probabilities: Tensor) -> Tensor:
    """Below about 1e-35 they count as equal, without gradient."""
    wide = probabilities.to(torch.promote_types(probabilities.dtype, torch.float32))
    return log_above(wide, 1024 * torch.finfo(wide.dtype).tiny)


def _places_of_difference(
    first: Shaped[Tensor, "sample"], second: Shaped[Tensor, "sample"]
) -> Float64[Tensor, "sample"]:
    """Return the place of each second - first in their order; int64 may not hold the differences themselves."""
    half = 2**32 - 1
    low = (second & half) - (first & half)
    high = (second >> 32) - (first >> 32) + (low >> 32)
    return torch.stack([high, low & half], 1).unique(dim=0, return_inverse=True)[1].double()


def _beyond(values: Tensor) -> bool:
    """Whether these are whole numbers, some of them beyond what float64 can hold."""
    if values.dtype not in (torch.int64, torch.uint64):
        return False
    whole = values.view(torch.int64)  # a uint64 beyond int64 is negative there
    return bool(((whole > EXACT) | (whole < -EXACT)).any())


def _wide(values: Tensor) -> Tensor:
    """Return whole numbers as int64; InputError for one that does not fit."""
    if values.dtype == torch.uint64 and bool((values.view(torch.int64) < 0).any()):
        raise fail("metric", "a whole number is 2^63 or larger", "numbers that int64 can hold")
    return values.to(torch.int64)

"""Counts of the classes: what every metric of decided classes is a formula of.

A new one is a function `Confusion -> value` of a few lines, `of_confusion` its summary and `prediction_rows` its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from metricgrad.metrics.of_rows import OfCounts

__all__ = ["Confusion", "Times", "mean_of", "of_confusion", "tally"]

Times = Float[Tensor, "*resample sample"]
"""How often each sample comes, in one set or in many resamples at once."""


@dataclass(frozen=True)
class Confusion:
    """How often each class that occurs is predicted, present, and both: the margins of the confusion table.

    Whole numbers in float64. Each is counted when it is first asked for.

    Attributes:
        index: number of the (predicted, target) class of every sample.
        hits: the samples for which they are equal.
        classes: how many there are.
        times: how often each sample comes.
    """

    index: Int[Tensor, "sample 2"]
    hits: Int[Tensor, "hit"]
    classes: int
    times: Times

    @cached_property
    def predicted(self) -> Float[Tensor, "*resample class"]:
        """Samples that are taken for the class."""
        return tally(self.index[:, 0], self.times, self.classes)

    @cached_property
    def present(self) -> Float[Tensor, "*resample class"]:
        """Samples that are of the class."""
        return tally(self.index[:, 1], self.times, self.classes)

    @cached_property
    def right(self) -> Float[Tensor, "*resample class"]:
        """Samples of the class that are taken for it."""
        return tally(self.index[self.hits, 0], self.times.index_select(-1, self.hits), self.classes)

    @cached_property
    def samples(self) -> Float[Tensor, "*resample"]:
        """Samples of all classes."""
        return self.times.sum(-1)


def of_confusion(formula: Callable[[Confusion], Tensor], rows: Float[Tensor, "sample 2"]) -> OfCounts:
    """Summary of (predicted, target) rows by a formula of their counts.

    Example:
        >>> rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
        >>> share_right = of_confusion(lambda counted: counted.right.sum(-1) / counted.samples, rows)
        >>> share_right(torch.tensor([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0]]))
        tensor([0.6667, 1.0000])
    """
    classes, index = rows.unique(return_inverse=True)
    hits = (index[:, 0] == index[:, 1]).nonzero()[:, 0]
    return lambda times: formula(Confusion(index, hits, len(classes), times))


def tally(
    index: Int[Tensor, "sample"], times: Float[Tensor, "*resample sample"], classes: int
) -> Float[Tensor, "*resample class"]:
    """How often each class comes."""
    return times.new_zeros(*times.shape[:-1], classes).index_add_(-1, index, times)


def mean_of(
    values: Float[Tensor, "*resample class"], present: Bool[Tensor, "*resample class"]
) -> Float[Tensor, "*resample"]:
    """Mean over the classes that are present; NaN where none is."""
    return torch.where(present, values, 0.0).sum(-1) / present.sum(-1)

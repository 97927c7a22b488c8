"""The confusion table: what every metric of decided classes is a formula of.

A formula is a function `Confusion -> value` of a few lines (`class_formulas`). It is the only definition of its metric:
the exact metric and its bootstrap hand it counts of samples (`of_confusion`), decision rules and losses hand it tables
of real numbers (`Confusion.of_table`).
"""

from collections.abc import Callable
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._safe import ratio
from metricgrad.metrics.of_rows import OfCounts

__all__ = ["Confusion", "Times", "mean_of", "of_confusion", "tally"]

Times = Float[Tensor, "*resample sample"]
"""How often each sample comes, in one set or in many resamples at once."""

_FEW = 3
"""Up to this many classes the whole table is counted by one matrix product, which is faster than its margins."""


class Confusion:
    """How often each class is predicted, present, and both, of one set of samples or of many at once.

    Formulas read the margins where these are enough: of samples they are counted when first asked for, the table never
    is if nobody asks.

    Args:
        table: [*resample, true, predicted] numbers of samples, real-valued >= 0.
        numbers: what the classes are called, ascending; None for 0, 1, ...
    """

    def __init__(
        self, table: Float[Tensor, "*resample true predicted"], numbers: Float[Tensor, "class"] | None = None
    ) -> None:
        self.table = table
        self.numbers = (
            torch.arange(table.shape[-1], dtype=table.dtype, device=table.device)
            if numbers is None
            else numbers
        )

    @staticmethod
    def of_table(table: Shaped[Tensor, "..."]) -> "Confusion":
        """Return the counts of a table with class k in row and column k, as float64.

        Raises:
            InputError: not a square tensor of numbers.

        Example:
            >>> Confusion.of_table(torch.tensor([[3.0, 1.0], [0.0, 2.0]])).predicted
            tensor([3., 3.], dtype=torch.float64)
        """
        if not isinstance(table, Tensor) or table.ndim < 2 or table.shape[-1] != table.shape[-2]:
            came = f"the table is {describe(table)}"
            raise fail("confusion table", came, "a square tensor [*batch, true, predicted]")
        return Confusion(table.double())

    @cached_property
    def predicted(self) -> Float[Tensor, "*resample class"]:
        """Samples that are taken for the class."""
        return self.table.sum(-2)

    @cached_property
    def present(self) -> Float[Tensor, "*resample class"]:
        """Samples that are of the class."""
        return self.table.sum(-1)

    @cached_property
    def right(self) -> Float[Tensor, "*resample class"]:
        """Samples of the class that are taken for it."""
        return self.table.diagonal(dim1=-2, dim2=-1)

    @cached_property
    def samples(self) -> Float[Tensor, "*resample"]:
        """Samples of all classes."""
        return self.present.sum(-1)

    def total(self, weights: Float[Tensor, "true predicted"]) -> Float[Tensor, "*resample"]:
        """Sum of a weight of every sample, which depends on its class and its predicted class."""
        return (self.table * weights).sum((-2, -1))


class _OfSamples(Confusion):
    """The counts of samples, each of which comes a number of times: whole numbers, counted when first asked for.

    Args:
        index: number of the (predicted, target) class of every sample.
        hits: the samples for which they are equal.
        numbers: what the classes are called.
        times: how often each sample comes.
    """

    def __init__(
        self,
        index: Int[Tensor, "sample 2"],
        hits: Int[Tensor, "hit"],
        numbers: Float[Tensor, "class"],
        times: Times,
    ) -> None:
        self.index, self.hits, self.numbers, self.times = index, hits, numbers, times

    @cached_property
    def table(self) -> Float[Tensor, "*resample true predicted"]:
        """Samples of each class that are taken for each class."""
        classes = len(self.numbers)
        cells = tally(self.index[:, 1] * classes + self.index[:, 0], self.times, classes**2)
        return cells.unflatten(-1, (classes, classes))

    @cached_property
    def predicted(self) -> Float[Tensor, "*resample class"]:
        return tally(self.index[:, 0], self.times, len(self.numbers))

    @cached_property
    def present(self) -> Float[Tensor, "*resample class"]:
        return tally(self.index[:, 1], self.times, len(self.numbers))

    @cached_property
    def right(self) -> Float[Tensor, "*resample class"]:
        return tally(self.index[self.hits, 0], self.times.index_select(-1, self.hits), len(self.numbers))

    @cached_property
    def samples(self) -> Float[Tensor, "*resample"]:
        return self.times.sum(-1)

    def total(self, weights: Float[Tensor, "true predicted"]) -> Float[Tensor, "*resample"]:
        return self.times @ weights[self.index[:, 1], self.index[:, 0]]


def of_confusion(formula: Callable[[Confusion], Tensor], rows: Float[Tensor, "sample 2"]) -> OfCounts:
    """Summary of (predicted, target) rows by a formula of their counts.

    Example:
        >>> rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
        >>> share_right = of_confusion(lambda counted: counted.right.sum(-1) / counted.samples, rows)
        >>> share_right(torch.tensor([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0]]))
        tensor([0.6667, 1.0000])
    """
    numbers, index = rows.unique(return_inverse=True)
    classes = len(numbers)
    if classes > _FEW:
        hits = (index[:, 0] == index[:, 1]).nonzero()[:, 0]
        return lambda times: formula(_OfSamples(index, hits, numbers, times))
    cells = (index[:, 1:] * classes + index[:, :1] == torch.arange(classes**2)).to(rows.dtype)
    return lambda times: formula(Confusion((times @ cells).unflatten(-1, (classes, classes)), numbers))


def tally(
    index: Int[Tensor, "sample"], times: Float[Tensor, "*resample sample"], classes: int
) -> Float[Tensor, "*resample class"]:
    """How often each class comes."""
    return times.new_zeros(*times.shape[:-1], classes).index_add_(-1, index, times)


def mean_of(
    values: Float[Tensor, "*resample class"], present: Bool[Tensor, "*resample class"]
) -> Float[Tensor, "*resample"]:
    """Mean over the classes that are present; NaN where none is."""
    return ratio(torch.where(present, values, 0.0).sum(-1), present.sum(-1), otherwise=float("nan"))

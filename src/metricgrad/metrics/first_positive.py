"""The relevant items that can be a query's first one, where only the first counts and a query has many of them.

A class of thousands of items gives every query thousands of positives, and each is counted against all items. A metric
such as recall@1 of labels (any relevant) reads the best of the ranks alone. Here only positives stand that a rounded
product in float32 cannot tell from the nearest one; their ranks are counted as ever, and the best of them is the best
of all.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from metricgrad.metrics.positives import OfClasses, Positives, Relevance
from metricgrad.metrics.similarity import Similarities

__all__ = ["NearestOfClass", "of_classes"]

_FEWEST = 16
"""Positives of a query from which on this is worth another product."""


class NearestOfClass:
    """The nearest items of each query's class, those that are equally near included.

    Args:
        similarities: of queries and items, which lie in memory.
        codes: class of every query.
        item_codes: class of every item.

    Example:
        >>> from metricgrad.metrics.rows import read_rows
        >>> rows = read_rows(
        ...     "example", "x", torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), normalize=True
        ... )
        >>> codes = torch.zeros(3, dtype=torch.long)
        >>> NearestOfClass(Similarities(rows, rows), codes, codes).of(torch.arange(3), torch.arange(3)).item[
        ...     :, 0
        ... ]
        tensor([1, 0, 1])
    """

    largest = 1

    def __init__(
        self, similarities: Similarities, codes: Int[Tensor, "query"], item_codes: Int[Tensor, "item"]
    ) -> None:
        queries, items = similarities.queries, similarities.items
        assert isinstance(queries, Tensor) and isinstance(items, Tensor)
        self.queries: Tensor = queries
        self.items: Tensor = items
        self.codes, self.item_codes = codes, item_codes
        self.margin = 4 * float(similarities.slack.max()) if len(item_codes) else 0.0
        if torch.get_float32_matmul_precision() == "highest":  # else its bound would not hold
            self.queries, self.items = queries.float(), items.float()
            # Rows are no longer than 1: a product is off by dim + 4 roundings of 2^-24 at most, and two are compared.
            self.margin += 2 * (items.shape[1] + 4) * 2.0**-24

    def of(self, queries: Int[Tensor, "query"], left_out: Int[Tensor, "query"] | None) -> Positives:
        """Return the nearest items of the queries' classes, but for one item of each; -1 for none."""
        relevant = self.codes[queries][:, None] == self.item_codes
        if left_out is not None:
            row = (left_out >= 0).nonzero()[:, 0]
            relevant[row, left_out[row]] = False
        scores = (self.queries[queries] @ self.items.T).masked_fill_(~relevant, -torch.inf)
        nearest = scores.amax(1, keepdim=True) if scores.shape[1] else scores.new_zeros(len(queries), 1)
        row, column = (relevant & (scores >= nearest - self.margin)).nonzero(as_tuple=True)
        many = torch.bincount(row, minlength=len(queries))
        place = torch.arange(len(row), device=row.device) - (many.cumsum(0) - many)[row]
        index = row.new_zeros(len(queries), int(many.max()) if len(many) else 0)
        valid = torch.zeros_like(index, dtype=torch.bool)
        index[row, place], valid[row, place] = column, True
        return Positives(index, valid, torch.ones_like(index, dtype=torch.float64))


def of_classes(
    similarities: Similarities,
    codes: Int[Tensor, "query"],
    item_codes: Int[Tensor, "item"],
    *,
    first_alone: bool,
) -> Relevance:
    """Items of a query's class; those alone that can be the first, where that is enough and saves time."""
    every = OfClasses(codes, item_codes)
    in_memory = isinstance(similarities.queries, Tensor) and isinstance(similarities.items, Tensor)
    if first_alone and every.largest >= _FEWEST and in_memory:
        return NearestOfClass(similarities, codes, item_codes)
    return every

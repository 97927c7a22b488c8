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
_FEWEST_ITEMS, _TILE = 1_024, 2**24
"""Items of a block at least, and similarities of a block about."""


class NearestOfClass:
    """The nearest items of each query's class, those that are equally near included.

    Args:
        similarities: of queries and items; those read later are read block by block, once for each call.
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
        self.queries, self.items = similarities.queries, similarities.items
        self.codes, self.item_codes = codes, item_codes
        self.margin = 4 * float(similarities.slack.max()) if len(item_codes) else 0.0
        self.in_float32 = torch.get_float32_matmul_precision() == "highest"  # else its bound would not hold
        if self.in_float32:
            # Rows are no longer than 1: a product is off by dim + 4 roundings of 2^-24 at most, and two are compared.
            self.margin += 2 * (self.items.shape[1] + 4) * 2.0**-24

    def of(self, queries: Int[Tensor, "query"], left_out: Int[Tensor, "query"] | None) -> Positives:
        """Return the nearest items of the queries' classes, but for one item of each; -1 for none."""
        asking = self.queries[queries]
        asking = asking.float() if self.in_float32 else asking
        best = asking.new_full((len(queries),), -torch.inf)
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        step = max(_FEWEST_ITEMS, _TILE // max(1, len(queries)))
        for first in range(0, len(self.item_codes), step):
            block = slice(first, min(first + step, len(self.item_codes)))
            relevant = self.codes[queries][:, None] == self.item_codes[block]
            if left_out is not None:
                row = ((left_out >= block.start) & (left_out < block.stop)).nonzero()[:, 0]
                relevant[row, left_out[row] - first] = False
            scores = (asking @ self._rows(block).T).masked_fill_(~relevant, -torch.inf)
            best = torch.maximum(best, scores.amax(1))
            row, column = (relevant & (scores >= best[:, None] - self.margin)).nonzero(as_tuple=True)
            found.append((row, column + first, scores[row, column]))
        row, column, score = (torch.cat(parts) for parts in zip(*found, strict=True))
        near = (score >= best[row] - self.margin).nonzero()[:, 0]  # the best may have come in a later block
        near = near[row[near].argsort(stable=True)]
        row, column = row[near], column[near]
        many = torch.bincount(row, minlength=len(queries))
        place = torch.arange(len(row), device=row.device) - (many.cumsum(0) - many)[row]
        index = row.new_zeros(len(queries), int(many.max()) if len(many) else 0)
        valid = torch.zeros_like(index, dtype=torch.bool)
        index[row, place], valid[row, place] = column, True
        return Positives(index, valid, torch.ones_like(index, dtype=torch.float64))

    def _rows(self, block: slice) -> Tensor:
        """Items of a block in the type that queries are compared in."""
        if not self.in_float32:
            return self.items[block]
        return self.items[block].float() if isinstance(self.items, Tensor) else self.items.in_float32(block)


def of_classes(
    similarities: Similarities,
    codes: Int[Tensor, "query"],
    item_codes: Int[Tensor, "item"],
    *,
    first_alone: bool,
) -> Relevance:
    """Items of a query's class; those alone that can be the first, where that is enough and saves time."""
    every = OfClasses(codes, item_codes)
    if first_alone and every.largest >= _FEWEST and len(item_codes):
        return NearestOfClass(similarities, codes, item_codes)
    return every

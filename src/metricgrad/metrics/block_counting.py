"""Ranks by counting where the items are too many to hold: block after block of them, against many queries at once.

Three products settle comparisons, from fast to exact. Float32 settles those beyond its own error bound, which are
nearly all. Float64 settles what is too near for it, pair by pair, or for the whole query where that is much. The exact
similarity settles what even float64 cannot tell, likewise. So the ranks are those of `counting.py`, bit for bit, and no
query costs more than the three products. Rows of few values need the first alone (`block_products.py`).
"""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from metricgrad.metrics.block_products import Block, Products, Units, units_of
from metricgrad.metrics.count_kernel import Near, split
from metricgrad.metrics.positives import Positives, Relevance
from metricgrad.metrics.progress import tell
from metricgrad.metrics.ranks import TILE, ExactRanks, Ties, settle
from metricgrad.metrics.rows import blocks
from metricgrad.metrics.similarity import Similarities

__all__ = ["counted_by_blocks"]

_GROUP = 16_384
"""Queries that one reading of the items serves, at most."""

_QUERIES = 256
"""Queries of a product."""

_SPARSE = 64
"""One near score of a query in this many, and the next product is computed for the whole query, not pair by pair."""


def counted_by_blocks(
    similarities: Similarities,
    relevance: Relevance,
    *,
    ties: Ties,
    tile: int,
    left_out: Int[Tensor, "query"] | None = None,
) -> Iterator[ExactRanks]:
    """Yield the ranks of `counting.counted`, for items that are read later."""
    queries = len(similarities.queries)
    units = units_of(similarities)
    height = max(1, min(_GROUP, 2 * TILE // max(1, relevance.largest)))
    for first in range(0, max(queries, 1), height):
        here = torch.arange(first, min(first + height, queries))
        own_item = None if left_out is None else left_out[here]
        group = _Group(similarities, units, relevance, here, own_item, tile)
        for block in blocks(len(similarities.items)):
            group.count(block)
            tell(first + len(here) * block.stop // len(similarities.items), queries)
        yield group.ranks(ties)


class _Group:
    """Some queries and the counts of their positives, over the items that were met so far.

    Positives stand by rising score, padding last.
    """

    def __init__(
        self,
        similarities: Similarities,
        units: Units,
        relevance: Relevance,
        here: Int[Tensor, "query"],
        own_item: Int[Tensor, "query"] | None,
        tile: int,
    ) -> None:
        self._similarities, self._here, self._tile = similarities, here, tile
        self._products = Products(similarities, units, here)
        self._own_item = torch.full_like(here, -1) if own_item is None else own_item
        index, valid, gain = relevance.of(here, own_item)
        scores = self._products.at(index, tile).masked_fill(~valid, torch.inf)
        self._scores, self._order = scores.sort(dim=1, stable=True)
        self._positives = Positives(*(part.gather(1, self._order) for part in (index, valid, gain)))
        self._greater, self._tied = torch.zeros_like(index), torch.zeros_like(index)
        self._exact: Tensor | None = None
        self._known = torch.zeros(
            len(here), dtype=torch.bool
        )  # whose exact similarities to positives are known

    def count(self, block: slice) -> None:
        """Compare the items of a block with the positives of all queries."""
        items = Block(self._products, block)
        for first in range(0, len(self._here), _QUERIES):
            rows = torch.arange(first, min(first + _QUERIES, len(self._here)))
            if self._products.whole:
                self._count_tied(rows, items.keys(rows), self._scores[rows], items)
                continue
            if self._products.reach < torch.inf:
                rows = self._count_float32(rows, items)
            if len(rows):
                rows = self._count_float64(rows, items)
            if len(rows):
                scores = self._similarities.exact_tile(self._here[rows], items.rows)
                self._count_tied(rows, scores, self._exactly(rows), items)

    def _count_float32(self, rows: Tensor, items: Block) -> Tensor:
        """Count for some queries; return those that float32 tells too little of."""
        reach, nowhere = self._products.reach, torch.tensor(torch.inf)
        scores = self._scores[rows]
        low, high = ((scores + step).float() for step in (-reach, reach))
        low, high = torch.nextafter(low, -nowhere), torch.nextafter(high, nowhere)
        near, left = self._count_split(rows, items.float32(rows), low, high)
        row, positive, item = self._others(near, items.rows.start)
        apart = self._products.of_pairs(row, item) - self._scores[row, positive]
        self._add(self._greater, row, positive, apart > self._products.margin)
        unsure = apart.abs() <= self._products.margin
        self._settle(row[unsure], positive[unsure], item[unsure])
        return left

    def _count_float64(self, rows: Tensor, items: Block) -> Tensor:
        """Count for some queries; return those that float64 tells too little of."""
        margin, scores = self._products.margin, self._scores[rows]
        near, left = self._count_split(rows, items.float64(rows), scores - margin, scores + margin)
        self._settle(*self._others(near, items.rows.start))
        return left

    def _count_split(
        self, rows: Tensor, scores: Tensor, low: Tensor, high: Tensor
    ) -> tuple[Near, Int[Tensor, "few"]]:
        """Count what is above the windows; return what is within them, and the queries for which it is too much."""
        found = split(scores, low, high, scores.shape[1] // _SPARSE)
        self._greater[rows] += found.above.masked_fill(found.crowded[:, None], 0)
        return found.near._replace(row=rows[found.near.row]), rows[found.crowded]

    def _count_tied(self, rows: Tensor, scores: Tensor, wanted: Tensor, items: Block) -> None:
        """Count for some queries by scores that are equal where similarities are."""
        index, valid, _ = (part[rows] for part in self._positives)
        wanted = wanted.masked_fill(~valid, _above_all(wanted)).to(scores.dtype)
        wanted, order = wanted.sort(dim=1)
        found = split(scores, wanted, wanted, 0)
        itself = ((index >= items.rows.start) & (index < items.rows.stop)).long()
        self._greater[rows] += torch.zeros_like(order).scatter_(1, order, found.above)
        self._tied[rows] += torch.zeros_like(order).scatter_(1, order, found.within) - itself

    def _others(self, near: Near, first: int) -> Near:
        """Numbers of items in place of columns, without the positives themselves."""
        row, positive, item = near.row, near.positive, near.column + first
        other = self._positives.item[row, positive] != item
        return Near(row[other], positive[other], item[other])

    def _settle(self, row: Tensor, positive: Tensor, item: Tensor) -> None:
        """Compare single items with single positives exactly."""
        if not len(row):
            return
        self._exactly(row.unique())
        assert self._exact is not None
        wanted = self._exact[row, positive]
        exact = self._similarities.exact_at(self._here[row], item[:, None], self._tile)[:, 0]
        self._add(self._greater, row, positive, exact > wanted)
        self._add(self._tied, row, positive, exact == wanted)

    def _add(self, counts: Tensor, row: Tensor, positive: Tensor, which: Tensor) -> None:
        counts.index_put_((row[which], positive[which]), counts.new_ones(()), accumulate=True)

    def _exactly(self, rows: Int[Tensor, "few"]) -> Tensor:
        """Exact similarities of some queries to their positives, which are known from now on [few, positive]."""
        new = rows[~self._known[rows]]
        if len(new) or self._exact is None:
            found = self._similarities.exact_at(self._here[new], self._positives.item[new], self._tile)
            if self._exact is None:
                self._exact = found.new_zeros(self._greater.shape)
            self._exact[new] = found
            self._known[new] = True
        return self._exact[rows]

    def ranks(self, ties: Ties) -> ExactRanks:
        """Turn the counts over all items into ranks."""
        similarities, own_item = self._similarities, self._own_item
        own, present = torch.zeros(len(self._here), dtype=torch.float64), own_item >= 0
        own[present] = self._products.of_pairs(present.nonzero()[:, 0], own_item[present])
        scores, known = self._scores.clone(), self._known.nonzero()[:, 0]
        if len(known):
            asked, place = self._here[known], own_item[known].clamp(min=0)
            both = torch.cat(
                [self._exactly(known), similarities.exact_at(asked, place[:, None], self._tile)], 1
            )
            order = torch.searchsorted(both.sort(dim=1).values, both).double()
            scores[known], own[known] = order[:, :-1], order[:, -1]
        back = self._order.argsort(dim=1)  # positives in the order in which they came
        greater, tied, scores, valid, gain = (
            part.gather(1, back)
            for part in (self._greater, self._tied, scores, self._positives.valid, self._positives.gain)
        )
        return settle(
            greater,
            greater + tied + 1,
            scores,
            gain,
            valid,
            ties,
            own=own,
            present=present,
            items=len(similarities.items),
        )


def _above_all(scores: Tensor) -> float | int:
    """What is above every score of this type."""
    return torch.inf if scores.is_floating_point() else torch.iinfo(scores.dtype).max

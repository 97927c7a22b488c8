"""Ranks by counting where the items are too many to hold: block after block of them, against many queries at once.

Three products settle comparisons, from fast to exact. Float32 settles those beyond its own error bound, which are
nearly all. Float64 settles what is too near for it, pair by pair, or for the whole tile where that is much. The exact
similarity settles what even float64 cannot tell. So the ranks are those of `counting.py`, bit for bit.
"""

from collections.abc import Iterator
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad.metrics.count_kernel import split
from metricgrad.metrics.positives import Relevance
from metricgrad.metrics.progress import tell
from metricgrad.metrics.ranks import TILE, ExactRanks, Ties, count_above, settle
from metricgrad.metrics.rows import Later, blocks, float32_error
from metricgrad.metrics.similarity import Similarities

__all__ = ["counted_by_blocks"]

_GROUP = 16_384
"""Queries that one reading of the items serves, at most."""

_QUERIES = 256
"""Queries of a product."""

_FEW = 16
"""Relevant items per query up to which one pass per item over float32 scores is cheaper than sorting float64 ones."""

_SPARSE = 64
"""One near score in this many, and the next product is computed for the whole tile: pairs are gathered one by one."""

_PAIRS = 4096
"""Pairs whose rows are gathered at a time."""


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
    height = max(1, min(_GROUP, 2 * TILE // max(1, relevance.largest)))
    for first in range(0, max(queries, 1), height):
        here = torch.arange(first, min(first + height, queries))
        group = _Group(similarities, relevance, here, None if left_out is None else left_out[here], tile)
        for block in blocks(len(similarities.items)):
            group.count(block)
            tell(first + len(here) * block.stop // len(similarities.items), queries)
        yield group.ranks(ties)


class _Group:
    """Some queries and the counts of their positives, over the items that were met so far."""

    def __init__(
        self,
        similarities: Similarities,
        relevance: Relevance,
        here: Int[Tensor, "query"],
        own_item: Int[Tensor, "query"] | None,
        tile: int,
    ) -> None:
        self._similarities, self._here, self._tile = similarities, here, tile
        self._own_item = torch.full_like(here, -1) if own_item is None else own_item
        self._positives = relevance.of(here, own_item)
        index, valid, _ = self._positives
        self._rows = similarities.queries[here]
        self._scores = _at(self._rows, similarities, index, tile)
        self._greater, self._tied = torch.zeros_like(index), torch.zeros_like(index)
        self._exact: Tensor | None = None
        self._known = torch.zeros(
            len(here), dtype=torch.bool
        )  # whose exact similarities to positives are known
        slack = float(similarities.slack.max())
        # Scores further apart than that are in the same order whichever way each of the two was computed.
        self._margin = 4 * slack
        reach = float32_error(self._rows.shape[1]) + self._margin
        self._by_float32 = index.shape[1] <= _FEW and reach < torch.inf
        if self._by_float32:
            nowhere = torch.tensor(torch.inf)
            low, high = ((self._scores + step).float() for step in (-reach, reach))
            self._low = torch.where(valid, torch.nextafter(low, -nowhere), nowhere)
            self._high = torch.where(valid, torch.nextafter(high, nowhere), nowhere)
            self._rows32 = self._rows.float()

    def count(self, block: slice) -> None:
        """Compare the items of a block with the positives of all queries."""
        items = _Block(self._similarities, block)
        for some in _parts(len(self._here)):
            if not self._by_float32:
                self._count_all(some, items)
                continue
            scores = self._rows32[some] @ items.in_float32.T
            found = split(scores, self._low[some], self._high[some], scores.numel() // _SPARSE)
            if found.near is None:
                self._count_all(some, items)
                continue
            self._greater[some] += found.above
            row, positive, column = found.near
            self._count_pairs(row + some.start, positive, column + block.start)

    def _count_pairs(self, row: Tensor, positive: Tensor, item: Tensor) -> None:
        """Compare single items with single positives, by float64 and then exactly."""
        index, _, _ = self._positives
        other = index[row, positive] != item
        row, positive, item = row[other], positive[other], item[other]
        items = self._similarities.items
        pairs = zip(row.split(_PAIRS), item.split(_PAIRS), strict=True)
        scores = torch.cat([(self._rows[one] * items[other]).sum(1) for one, other in pairs])
        apart = scores - self._scores[row, positive]
        self._add(self._greater, row, positive, apart > self._margin)
        unsure = apart.abs() <= self._margin
        row, positive, item = row[unsure], positive[unsure], item[unsure]
        if not len(row):
            return
        wanted = self._exactly(row.unique())[row, positive]
        exact = self._similarities.exact_at(self._here[row], item[:, None], self._tile)[:, 0]
        self._add(self._greater, row, positive, exact > wanted)
        self._add(self._tied, row, positive, exact == wanted)

    def _add(self, counts: Tensor, row: Tensor, positive: Tensor, which: Tensor) -> None:
        counts.index_put_((row[which], positive[which]), counts.new_ones(()), accumulate=True)

    def _count_all(self, some: slice, items: "_Block") -> None:
        """Compare all items of a block with the positives of some queries, by float64 and then exactly."""
        block = items.rows
        index, valid, _ = (part[some] for part in self._positives)
        greater, at_least = count_above(
            self._rows[some] @ items.in_float64.T, self._scores[some], self._margin
        )
        itself = ((index >= block.start) & (index < block.stop)).long()
        doubtful = (valid & (at_least - greater > itself)).any(1).nonzero()[:, 0]
        tied = torch.zeros_like(greater)
        if len(doubtful):
            rows = doubtful + some.start
            wanted = self._exactly(rows)[rows]
            above, not_below = count_above(self._similarities.exact_tile(self._here[rows], block), wanted)
            greater[doubtful], tied[doubtful] = above, not_below - above - itself[doubtful]
        self._greater[some] += greater
        self._tied[some] += tied

    def _exactly(self, rows: Int[Tensor, "few"]) -> Tensor:
        """Exact similarities to the positives, known for these rows from now on [query, positive]."""
        new = rows[~self._known[rows]]
        if len(new):
            found = self._similarities.exact_at(self._here[new], self._positives.item[new], self._tile)
            if self._exact is None:
                self._exact = found.new_zeros(self._greater.shape)
            self._exact[new] = found
            self._known[new] = True
        assert self._exact is not None
        return self._exact

    def ranks(self, ties: Ties) -> ExactRanks:
        """Turn the counts over all items into ranks."""
        _, valid, gain = self._positives
        similarities, own_item = self._similarities, self._own_item
        own, present = torch.zeros_like(self._rows[:, 0]), own_item >= 0
        own[present] = (self._rows[present] * similarities.items[own_item[present]]).sum(1)
        scores, known = self._scores.clone(), self._known.nonzero()[:, 0]
        if len(known):
            asked, place = self._here[known], own_item[known].clamp(min=0)
            both = torch.cat(
                [self._exactly(known)[known], similarities.exact_at(asked, place[:, None], self._tile)], 1
            )
            order = torch.searchsorted(both.sort(dim=1).values, both).double()
            scores[known], own[known] = order[:, :-1], order[:, -1]
        return settle(
            self._greater,
            self._greater + self._tied + 1,
            scores,
            gain,
            valid,
            ties,
            own=own,
            present=present,
            items=len(similarities.items),
        )


class _Block:
    """A block of items, read when it is asked for and then kept."""

    def __init__(self, similarities: Similarities, rows: slice) -> None:
        assert isinstance(similarities.items, Later)
        self.rows, self._items = rows, similarities.items

    @cached_property
    def in_float32(self) -> Float[Tensor, "item dim"]:
        return self._items.in_float32(self.rows)

    @cached_property
    def in_float64(self) -> Float[Tensor, "item dim"]:
        return self._items[self.rows]


def _parts(count: int) -> Iterator[slice]:
    for first in range(0, count, _QUERIES):
        yield slice(first, min(first + _QUERIES, count))


def _at(rows: Tensor, similarities: Similarities, index: Int[Tensor, "query positive"], tile: int) -> Tensor:
    """Rounded similarity of every query to its positives [query, positive], gathering no more than a tile at a time."""
    step = max(1, tile // max(1, index.shape[1] * rows.shape[1]))
    pairs = zip(rows.split(step), index.split(step), strict=True)
    return torch.cat(
        [torch.einsum("qd,qpd->qp", some, similarities.items[columns]) for some, columns in pairs]
    )

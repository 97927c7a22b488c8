"""The rank of a relevant item is a count: how many items are more similar to the query, tile by tile.

The rounded product settles every comparison beyond its slack. A query for which it cannot tell an item from a positive
is counted again by exact similarities (see `similarity.py`). These do not depend on the tile, so neither do the ranks.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from metricgrad.metrics.block_counting import counted_by_blocks
from metricgrad.metrics.positives import Relevance
from metricgrad.metrics.progress import tell
from metricgrad.metrics.ranks import ExactRanks, Ties, count_above, settle
from metricgrad.metrics.rows import Later
from metricgrad.metrics.similarity import Similarities

__all__ = ["counted"]

_FEWEST_QUERIES = 128
"""Rows of a tile below which a matrix product is no longer fast."""

_DENSE = 16
"""One exact similarity in so many of a tile, and it is cheaper to compute them all."""


def counted(
    similarities: Similarities,
    relevance: Relevance,
    *,
    ties: Ties,
    tile: int,
    left_out: Int[Tensor, "query"] | None = None,
) -> Iterator[ExactRanks]:
    """Yield the ranks of one group of queries after the other among all items, at least once.

    Args:
        similarities: of queries and items.
        relevance: which items are relevant.
        ties: order of equal similarities.
        tile: similarities held at a time.
        left_out: index of one item per query that is no item of its own; -1 for none.
    """
    by = counted_by_blocks if isinstance(similarities.items, Later) else _counted_by_tiles
    yield from by(similarities, relevance, ties=ties, tile=tile, left_out=left_out)


def _counted_by_tiles(
    similarities: Similarities, relevance: Relevance, *, ties: Ties, tile: int, left_out: Tensor | None
) -> Iterator[ExactRanks]:
    """Yield the ranks among items that are in memory."""
    items, device = similarities.items, similarities.queries.device
    assert isinstance(items, Tensor)
    count = len(items)
    width = max(1, min(count, tile // min(_FEWEST_QUERIES, tile)))  # items of a tile
    height = max(1, tile // max(width, relevance.largest))  # queries of a tile
    columns = [slice(first, first + width) for first in range(0, max(count, 1), width)]
    # Scores further apart than that are in the same order whichever way each of the two was computed.
    margin = 4 * float(similarities.slack.max()) if count else 0.0
    for start in range(0, max(len(similarities.queries), 1), height):
        here = torch.arange(start, min(start + height, len(similarities.queries)), device=device)
        own_item = None if left_out is None else left_out[here]
        index, valid, gain = relevance.of(here, own_item)
        rows = similarities.queries[here]
        scores = rows @ items[columns[0]].T  # [height, width]
        if len(columns) == 1:
            positive_scores = scores.gather(1, index)
        else:
            positive_scores = _scores_at(rows, items, index, tile)
        own, present = rows.new_zeros(len(rows)), torch.zeros(len(rows), dtype=torch.bool, device=device)
        if own_item is not None:
            own, present = (rows * items[own_item]).sum(1), own_item >= 0
        greater, at_least = count_above(scores, positive_scores, margin)
        for some in columns[1:]:
            more = count_above(rows @ items[some].T, positive_scores, margin)
            greater, at_least = greater + more[0], at_least + more[1]
        # A positive is always among its equals; whatever else is there has to be told from it.
        doubtful = (valid & (at_least - greater > 1)).any(1).nonzero()[:, 0]
        if len(doubtful):
            exactly = _counted_exactly(
                similarities,
                here[doubtful],
                index[doubtful],
                valid[doubtful],
                None if own_item is None else own_item[doubtful],
                columns,
                tile,
            )
            for field, exact in zip((greater, at_least, positive_scores, own), exactly, strict=True):
                field[doubtful] = exact
        yield settle(
            greater,
            at_least,
            positive_scores,
            gain,
            valid,
            ties,
            own=own,
            present=present,
            items=count,
        )
        tell(start + len(rows), len(similarities.queries))


def _counted_exactly(
    similarities: Similarities,
    here: Tensor,
    index: Tensor,
    valid: Tensor,
    own_item: Tensor | None,
    columns: list[slice],
    tile: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Count by exact similarities the items above each positive of some queries, and those not below it.

    Returns:
        Both counts [query, positive], then numbers in the order of the similarities of the positives [query, positive]
        and of the query itself [query].
    """
    exact = similarities.exact_at(here, index, tile)
    own = exact.new_zeros(len(here), 1)
    if own_item is not None:
        own = similarities.exact_at(here, own_item[:, None].clamp(min=0), tile)
    positives = similarities.rounded(exact)
    slack = similarities.slack[index].masked_fill(~valid, 0).amax(1, keepdim=True)
    ascending = positives.masked_fill(~valid, torch.inf).sort(dim=1).values
    greater, at_least = torch.zeros_like(index), torch.zeros_like(index)
    for some in columns:
        scores = similarities.tile(here, some)
        reach = slack + similarities.slack[some]  # [query, item]
        first = torch.searchsorted(ascending, scores - reach)
        near = first < torch.searchsorted(ascending, scores + reach, right=True)
        if int(near.sum()) * _DENSE > near.numel():
            scores = similarities.exact_tile(here, some)
        else:
            scores = similarities.comparable(scores)
            row, column = near.nonzero(as_tuple=True)
            scores[row, column] = similarities.exact_at(here[row], column[:, None] + some.start, tile)[:, 0]
        more = count_above(scores, exact)
        greater, at_least = greater + more[0], at_least + more[1]
    both = torch.cat([exact, own], 1)
    order = torch.searchsorted(both.sort(dim=1).values, both).double()
    return greater, at_least, order[:, :-1], order[:, -1]


def _scores_at(rows: Tensor, items: Tensor, index: Int[Tensor, "query positive"], tile: int) -> Tensor:
    """Similarity of every query to its positives [query, positive], gathering no more than a tile at a time."""
    step = max(1, tile // max(1, rows.numel()))
    parts = [torch.einsum("qd,qpd->qp", rows, items[columns]) for columns in index.split(step, 1)]
    return torch.cat(parts, 1)

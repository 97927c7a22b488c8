"""Exact ranks from embeddings, tile by tile: the whole [query, item] matrix is never stored.

For evaluation over large sets: time is that of one float64 matrix product and a pass of comparisons, memory that of
one tile. Queries for which that product cannot tell an item from a positive are ranked again by exact similarities
(see `similarity.py`). These do not depend on the tile, so neither do the ranks.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._labels import Labels, number_labels
from metricgrad.metrics.own_references import same_rows
from metricgrad.metrics.progress import tell
from metricgrad.metrics.ranks import TILE, ExactRanks, Ties, count_above, join, require_ties, settle
from metricgrad.metrics.similarity import Similarities, read_rows

__all__ = ["rank_tiles", "retrieval_ranks"]

_FEWEST_QUERIES = 128
"""Rows of a tile below which a matrix product is no longer fast."""

_DENSE = 16
"""One exact similarity in so many of a tile, and it is cheaper to compute them all."""


def retrieval_ranks(
    embeddings: Float[Tensor, "query dim"],
    labels: Labels,
    *,
    reference_embeddings: Float[Tensor, "item dim"] | None = None,
    reference_labels: Labels | None = None,
    ties: Ties = "pessimistic",
    normalize: bool = True,
    tile: int = TILE,
) -> ExactRanks:
    """Exact ranks of the items that share a query's label, by the similarity of embeddings.

    Every embedding is a query against the references, or against all other embeddings where none are given. The
    functions of `metrics.of_ranks` turn the ranks into metrics; `metrics.retrieval_metric` does so tile by tile.

    Args:
        embeddings: one row per query.
        labels: one per query, whole numbers or texts; items with an equal label are relevant.
        reference_embeddings: the items; None for the other embeddings. If they are the very rows of the queries (not a
            copy), each query is left out of its own items as well.
        reference_labels: one per reference.
        ties: order of equal similarities; `pessimistic` puts relevant items last, `average` takes the mean of a metric
            over all orders.
        normalize: rank by cosine; False by dot product.
        tile: similarities held at a time (8 bytes each, a few copies).

    Returns:
        The ranks, padded to the largest class; `ranks_from_scores` of the whole matrix gives the same.

    Raises:
        InputError: no floating-point matrix, NaN or infinite values, dimensions that differ, labels of another
            length or type, references without labels.

    Edge cases:
        ties: the order is that of exact similarities (`similarity.py`); copies of an item tie exactly, whatever the
        tile. A query without a relevant item: no valid rank. An embedding of zeros has similarity 0 to everything.

    Gradient: none; `ranking.positive_ranks` has one.

    Cost:
        Time of the product `query * item * dim` in float64, and of `query * item * positive` comparisons (sorting
        the tiles from 17 positives on). Memory: a few tiles and the ranks. Queries with items that float64 cannot tell
        from a positive (copies, codes of few bits, a collapsed model) cost 2 to 8 times as much.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
        >>> retrieval_ranks(points, ["a", "a", "b", "b"]).among_all[:, 0]
        tensor([1., 1., 3., 1.], dtype=torch.float64)
    """
    tiles = rank_tiles(
        embeddings,
        labels,
        reference_embeddings=reference_embeddings,
        reference_labels=reference_labels,
        ties=ties,
        normalize=normalize,
        tile=tile,
    )
    return join(list(tiles))


def rank_tiles(
    embeddings: Tensor,
    labels: Labels,
    *,
    reference_embeddings: Tensor | None = None,
    reference_labels: Labels | None = None,
    ties: Ties = "pessimistic",
    normalize: bool = True,
    tile: int = TILE,
    caller: str = "retrieval_ranks",
) -> Iterator[ExactRanks]:
    """Yield the ranks of `retrieval_ranks` for one group of queries after the other, at least once."""
    require_ties(caller, ties)
    if tile < 1:
        raise fail(caller, f"tile is {tile}", "a whole number >= 1")
    alone = reference_embeddings is None or same_rows(reference_embeddings, embeddings)
    if reference_embeddings is None and reference_labels is not None:
        raise fail(caller, "reference_labels came without reference_embeddings", "both or neither")
    if not alone and reference_labels is None:
        raise fail(caller, "reference_embeddings came without reference_labels", "both or neither")
    queries = items = read_rows(caller, "embeddings", embeddings, normalize=normalize)
    if not alone:
        assert reference_embeddings is not None
        items = read_rows(caller, "reference_embeddings", reference_embeddings, normalize=normalize)
        if items.exact.shape[1] != queries.exact.shape[1]:
            raise fail(
                caller,
                f"embeddings are {describe(embeddings)} and references {describe(reference_embeddings)}",
                "one number of dimensions",
            )
    sets = {"labels": labels} | ({} if reference_labels is None else {"reference_labels": reference_labels})
    codes = number_labels(caller, sets, device=queries.exact.device).codes
    if len(codes[0]) != len(queries.exact):
        raise fail(
            caller, f"{len(codes[0])} labels for {len(queries.exact)} embeddings", "one label per embedding"
        )
    if len(codes[-1]) != len(items.exact):
        raise fail(caller, f"{len(codes[-1])} reference_labels for {len(items.exact)} items", "one per item")
    yield from _tiles(Similarities(queries, items), codes[0], codes[-1], ties, tile, alone)


def _tiles(
    similarities: Similarities, codes: Tensor, item_codes: Tensor, ties: Ties, tile: int, alone: bool
) -> Iterator[ExactRanks]:
    """Rank group after group of queries against all items."""
    device = similarities.queries.device
    classes = _Classes(codes.to(device), item_codes.to(device))
    count = len(similarities.items)
    width = max(1, min(count, tile // min(_FEWEST_QUERIES, tile)))  # items of a tile
    height = max(1, tile // max(width, classes.largest))  # queries of a tile
    columns = [slice(first, first + width) for first in range(0, max(count, 1), width)]
    margin = 2 * float(similarities.slack.max()) if count else 0.0
    for start in range(0, max(len(similarities.queries), 1), height):
        here = torch.arange(start, min(start + height, len(similarities.queries)), device=device)
        index, valid = classes.positives(here, leave_out=here if alone else None)
        rows = similarities.queries[here]
        scores = rows @ similarities.items[columns[0]].T  # [height, width]
        if len(columns) == 1:
            positive_scores = scores.gather(1, index)
        else:
            positive_scores = _scores_at(rows, similarities.items, index, tile)
        own = (rows * similarities.items[here]).sum(1) if alone else rows.new_zeros(len(rows))
        greater, at_least = count_above(scores, positive_scores, margin)
        for some in columns[1:]:
            more = count_above(rows @ similarities.items[some].T, positive_scores, margin)
            greater, at_least = greater + more[0], at_least + more[1]
        # A positive is always among its equals; whatever else is there has to be told from it.
        doubtful = (valid & (at_least - greater > 1)).any(1).nonzero()[:, 0]
        if len(doubtful):
            exactly = _counted_exactly(
                similarities, here[doubtful], index[doubtful], valid[doubtful], columns, alone, tile
            )
            for field, exact in zip((greater, at_least, positive_scores, own), exactly, strict=True):
                field[doubtful] = exact
        yield settle(
            greater,
            at_least,
            positive_scores,
            torch.ones_like(positive_scores),
            valid,
            ties,
            own=own,
            present=torch.full((len(rows),), alone, device=device),
            items=count,
        )
        tell(start + len(rows), len(similarities.queries))


def _counted_exactly(
    similarities: Similarities,
    here: Tensor,
    index: Tensor,
    valid: Tensor,
    columns: list[slice],
    alone: bool,
    tile: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Count by exact similarities the items above each positive of some queries, and those not below it.

    Returns:
        Both counts [query, positive], then numbers in the order of the similarities of the positives [query, positive]
        and of the query itself [query].
    """
    exact = similarities.exact_at(here, index, tile)
    own = similarities.exact_at(here, here[:, None], tile) if alone else exact.new_zeros(len(here), 1)
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


class _Classes:
    """The items of every class, side by side, so that the positives of a query are a slice."""

    def __init__(self, codes: Int[Tensor, "query"], item_codes: Int[Tensor, "item"]) -> None:
        classes = int(torch.cat([codes, item_codes]).max()) + 1 if len(codes) + len(item_codes) else 0
        self.codes = codes
        self.order = item_codes.argsort(stable=True)  # within a class by index
        self.counts = torch.bincount(item_codes, minlength=classes)
        self.starts = self.counts.cumsum(0) - self.counts
        self.largest = int(self.counts.max()) if classes else 0

    def positives(self, queries: Int[Tensor, "query"], leave_out: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the index of the positives of some queries [query, positive] and where it is not padding."""
        codes = self.codes[queries]
        counts = self.counts[codes]
        width = int(counts.max()) if len(counts) else 0
        places = torch.arange(width, device=codes.device)
        valid = places < counts[:, None]
        index = self.order[(self.starts[codes, None] + places).clamp(max=max(len(self.order) - 1, 0))]
        if leave_out is not None:
            valid &= index != leave_out[:, None]
            # Close the gap that the query leaves among the positives.
            keep = valid.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, : max(width - 1, 0)]
            index, valid = index.gather(1, keep), valid.gather(1, keep)
        return index, valid


def _scores_at(rows: Tensor, items: Tensor, index: Int[Tensor, "query positive"], tile: int) -> Tensor:
    """Similarity of every query to its positives [query, positive], gathering no more than a tile at a time."""
    step = max(1, tile // max(1, rows.numel()))
    parts = [torch.einsum("qd,qpd->qp", rows, items[columns]) for columns in index.split(step, 1)]
    return torch.cat(parts, 1)

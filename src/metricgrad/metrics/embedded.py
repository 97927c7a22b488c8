"""Exact ranks from embeddings, tile by tile: the whole [query, item] matrix is never stored.

For evaluation over large sets: time is that of one float64 matrix product and a pass of comparisons, memory that of
one tile. The similarities do not depend on the tile (see `similarity.py`), so neither do the ranks.
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
from metricgrad.metrics.similarity import Grid, on_grid

__all__ = ["rank_tiles", "retrieval_ranks"]

_FEWEST_QUERIES = 128
"""Rows of a tile below which a matrix product is no longer fast."""


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
        ties: order of equal similarities; `pessimistic` puts relevant items last.
        normalize: rank by cosine; False by dot product.
        tile: similarities held at a time (8 bytes each, a few copies).

    Returns:
        The ranks, padded to the largest class; `ranks_from_scores` of the whole matrix gives the same.

    Raises:
        InputError: no floating-point matrix, NaN or infinite values, dimensions that differ, labels of another
            length or type, references without labels.

    Edge cases:
        ties: copies of an item tie exactly, whatever the tile. A query without a relevant item: no valid rank. An
        embedding of zeros has similarity 0 to everything.

    Gradient: none; `ranking.positive_ranks` has one.

    Cost:
        Time of the product `query * item * dim` in float64, and of `query * item * positive` comparisons (sorting
        the tiles from 17 positives on). Memory: a few tiles and the ranks.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
        >>> retrieval_ranks(points, ["a", "a", "b", "b"]).among_all[:, 0]
        tensor([1., 1., 3., 1.], dtype=torch.float64)
    """
    tiles = rank_tiles(
        embeddings, labels, reference_embeddings=reference_embeddings, reference_labels=reference_labels, ties=ties,
        normalize=normalize, tile=tile,
    )  # fmt: skip
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
    queries = on_grid(caller, "embeddings", embeddings, normalize=normalize, shared=alone)
    items = queries
    if not alone:
        assert reference_embeddings is not None
        items = on_grid(
            caller, "reference_embeddings", reference_embeddings, normalize=normalize, shared=True
        )
        if items.rows.shape[1] != queries.rows.shape[1]:
            raise fail(
                caller,
                f"embeddings are {describe(embeddings)} and references {describe(reference_embeddings)}",
                "one number of dimensions",
            )
    sets = {"labels": labels} | ({} if reference_labels is None else {"reference_labels": reference_labels})
    codes = number_labels(caller, sets, device=queries.rows.device).codes
    if len(codes[0]) != len(queries.rows):
        raise fail(
            caller, f"{len(codes[0])} labels for {len(queries.rows)} embeddings", "one label per embedding"
        )
    if len(codes[-1]) != len(items.rows):
        raise fail(caller, f"{len(codes[-1])} reference_labels for {len(items.rows)} items", "one per item")
    yield from _tiles(queries, items, codes[0], codes[-1], ties, tile, alone)


def _tiles(
    queries: Grid, items: Grid, codes: Tensor, item_codes: Tensor, ties: Ties, tile: int, alone: bool
) -> Iterator[ExactRanks]:
    """Rank group after group of queries against all items."""
    device = queries.rows.device
    classes = _Classes(codes.to(device), item_codes.to(device))
    count = len(items.rows)
    width = max(1, min(count, tile // min(_FEWEST_QUERIES, tile)))  # items of a tile
    height = max(1, tile // max(width, classes.largest))  # queries of a tile
    for start in range(0, max(len(queries.rows), 1), height):
        rows = queries.rows[start : start + height]
        here = torch.arange(start, start + len(rows), device=device)
        index, valid = classes.positives(here, leave_out=here if alone else None)
        scores = rows @ items.rows[:width].T  # [height, width]
        if width == count:
            positive_scores = scores.gather(1, index)
        else:
            positive_scores = _scores_at(rows, items.rows, index, tile)
        greater = torch.zeros_like(index)
        at_least = torch.zeros_like(index)
        for first in range(0, count, width):
            if first:
                scores = rows @ items.rows[first : first + width].T
            more_greater, more_at_least = count_above(scores, positive_scores)
            greater += more_greater
            at_least += more_at_least
        yield settle(
            greater, at_least, positive_scores, torch.ones_like(positive_scores), valid, ties,
            own=rows.square().sum(1), present=torch.full((len(rows),), alone, device=device), items=count,
        )  # fmt: skip
        tell(start + len(rows), len(queries.rows))


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

"""Exact ranks from embeddings, tile by tile: the whole [query, item] matrix is never stored.

For evaluation over large sets. The ranks are counted in `counting.py`.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._labels import Labels, number_labels, whole_labels
from metricgrad.metrics.counting import counted
from metricgrad.metrics.first_positive import of_classes
from metricgrad.metrics.own_references import same_rows
from metricgrad.metrics.ranks import TILE, ExactRanks, Ties, join, require_ties
from metricgrad.metrics.rows import Embeddings, matrix_of, read_rows
from metricgrad.metrics.similarity import Similarities

__all__ = ["rank_tiles", "retrieval_ranks"]


def retrieval_ranks(
    embeddings: Embeddings,
    labels: Labels,
    *,
    reference_embeddings: Embeddings | None = None,
    reference_labels: Labels | None = None,
    exclude: Int[Tensor, "query"] | None = None,
    ties: Ties = "pessimistic",
    normalize: bool = True,
    tile: int = TILE,
) -> ExactRanks:
    """Exact ranks of the items that share a query's label, by the similarity of embeddings.

    Every embedding is a query against the references, or against all other embeddings where none are given. The
    functions of `metrics.of_ranks` turn the ranks into metrics; `metrics.retrieval_metric` does so tile by tile.

    Args:
        embeddings: one row per query; a tensor, or an array of NumPy, also a memory map.
        labels: one per query, whole numbers or texts; items with an equal label are relevant.
        reference_embeddings: the items; None for the other embeddings. If they are the very rows of the queries (not a
            copy), each query is left out of its own items as well.
        reference_labels: one per reference.
        exclude: number of one reference per query that is passed over (itself, where the references hold the queries
            and others); -1 for none.
        ties: order of equal similarities; `pessimistic` puts relevant items last, `average` takes the mean of a metric
            over all orders.
        normalize: rank by cosine; False by dot product.
        tile: similarities held at a time (8 bytes each, a few copies).

    Returns:
        The ranks, padded to the largest class; `ranks_from_scores` of the whole matrix gives the same.

    Raises:
        InputError: no floating-point matrix, NaN or infinite values, dimensions that differ, labels of another
            length or type, references without labels, an excluded reference out of range or without references.

    Edge cases:
        ties: the order is that of exact similarities (`similarity.py`); copies of an item tie exactly, whatever the
        tile. A query without a relevant item: no valid rank. An embedding of zeros has similarity 0 to everything.

    Gradient: none; `ranking.positive_ranks` has one.

    Cost:
        Time of the product `query * item * dim` in float64, and of `query * item * positive` comparisons (sorting
        the tiles from 17 positives on). Memory: a few tiles and the ranks. Queries with items that float64 cannot tell
        from a positive (copies, codes of few bits, a collapsed model) cost 2 to 8 times as much. A large set of items
        on the CPU (from 2^24 numbers on) is read in blocks, once for 16,384 queries, and compared in float32: half of
        the time, and memory for a block. Rows of few values (signs, bits) cost that product alone there.

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
        exclude=exclude,
        ties=ties,
        normalize=normalize,
        tile=tile,
    )
    return join(list(tiles))


def rank_tiles(
    embeddings: Embeddings,
    labels: Labels,
    *,
    reference_embeddings: Embeddings | None = None,
    reference_labels: Labels | None = None,
    exclude: Int[Tensor, "query"] | None = None,
    ties: Ties = "pessimistic",
    normalize: bool = True,
    tile: int = TILE,
    first_alone: bool = False,
    caller: str = "retrieval_ranks",
) -> Iterator[ExactRanks]:
    """Yield the ranks of `retrieval_ranks` for one group of queries after the other, at least once.

    With `first_alone` the best rank of each query is that of `retrieval_ranks`; others may be missing.
    """
    require_ties(caller, ties)
    if tile < 1:
        raise fail(caller, f"tile is {tile}", "a whole number >= 1")
    given, embeddings = embeddings, matrix_of(caller, "embeddings", embeddings)
    if reference_embeddings is given:
        reference_embeddings = embeddings
    elif reference_embeddings is not None:
        reference_embeddings = matrix_of(caller, "reference_embeddings", reference_embeddings)
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
    device = queries.exact.device
    left_out = torch.arange(len(codes[0]), device=device) if alone else None
    if exclude is not None:
        left_out = _excluded(caller, exclude, len(codes[0]), None if alone else len(items.exact)).to(device)
    similarities = Similarities(queries, items)
    relevance = of_classes(similarities, codes[0].to(device), codes[-1].to(device), first_alone=first_alone)
    yield from counted(similarities, relevance, ties=ties, tile=tile, left_out=left_out)


def _excluded(caller: str, exclude: Tensor, queries: int, references: int | None) -> Tensor:
    """Numbers of references that are passed over, one per query."""
    if references is None:
        raise fail(
            caller, "exclude came without references", "reference_embeddings that hold the queries and others"
        )
    numbers = whole_labels(caller, "exclude", exclude)
    if len(numbers) != queries or bool(((numbers < -1) | (numbers >= references)).any()):
        expected = f"{queries} numbers of references, -1 (none) to {references - 1}"
        raise fail(caller, f"exclude is {describe(exclude)}", expected)
    return numbers

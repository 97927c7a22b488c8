"""Exact ranks of judged documents (qrels): queries and documents are two sets, relevance has grades."""

from collections.abc import Iterator

from jaxtyping import Int
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._labels import whole_labels
from metricgrad._qrels import Qrels
from metricgrad.metrics.counting import counted
from metricgrad.metrics.positives import OfQrels
from metricgrad.metrics.ranks import TILE, ExactRanks, Ties, join, require_ties
from metricgrad.metrics.rows import Embeddings, read_rows
from metricgrad.metrics.similarity import Similarities

__all__ = ["document_tiles", "judged_ranks"]


def judged_ranks(
    queries: Embeddings,
    documents: Embeddings,
    qrels: Qrels,
    *,
    exclude: Int[Tensor, "query"] | None = None,
    ties: Ties = "pessimistic",
    normalize: bool = True,
    tile: int = TILE,
) -> ExactRanks:
    """Exact ranks of the documents that are relevant to each query, by the similarity of embeddings.

    Args:
        queries: one row per query, in the order of the numbers of `qrels`; a tensor, or an array, also a memory map.
        documents: one row per document, likewise.
        qrels: which documents are relevant to which query, with grades.
        exclude: number of one document per query that is passed over (itself, where the queries are documents); -1 for
            none. If it was relevant, it is not any more.
        ties: order of equal similarities, as `retrieval_ranks`; `pessimistic` puts relevant documents last, those of
            smaller grade first.
        normalize: rank by cosine; False by dot product.
        tile: similarities held at a time.

    Returns:
        The ranks, padded to the largest number of relevant documents; `gain` holds the grades.

    Raises:
        InputError: no floating-point matrices of one width, NaN or infinite values, numbers of rows that are not those
            of the qrels, an excluded document out of range.

    Edge cases:
        ties and rows of zeros: as `retrieval_ranks`. A query without a relevant document: no valid rank. A document
        that was not judged is not relevant.

    Gradient: none.

    Cost: as `retrieval_ranks`.

    Example:
        >>> import torch
        >>> queries, documents = (
        ...     torch.tensor([[1.0, 0.0]]),
        ...     torch.tensor([[1.0, 0.2], [1.0, 0.1], [0.0, 1.0]]),
        ... )
        >>> ranks = judged_ranks(
        ...     queries, documents, Qrels.of_pairs([0, 0], [0, 2], [1.0, 2.0], queries=1, items=3)
        ... )
        >>> ranks.among_all.tolist(), ranks.gain.tolist()
        ([[2.0, 3.0]], [[1.0, 2.0]])
    """
    how = {"ties": ties, "normalize": normalize, "tile": tile}
    return join(list(document_tiles("judged_ranks", queries, documents, qrels, exclude=exclude, **how)))


def document_tiles(
    caller: str,
    queries: Embeddings,
    documents: Embeddings,
    qrels: Qrels,
    *,
    exclude: Tensor | None = None,
    ties: Ties,
    normalize: bool,
    tile: int = TILE,
) -> Iterator[ExactRanks]:
    """Yield the ranks of `judged_ranks` for one group of queries after the other, at least once."""
    require_ties(caller, ties)
    if tile < 1:
        raise fail(caller, f"tile is {tile}", "a whole number >= 1")
    rows = read_rows(caller, "queries", queries, normalize=normalize)
    items = read_rows(caller, "documents", documents, normalize=normalize)
    if rows.exact.shape[1] != items.exact.shape[1]:
        came = f"queries are {describe(queries)} and documents {describe(documents)}"
        raise fail(caller, came, "one number of dimensions")
    if (len(queries), len(documents)) != (qrels.queries, qrels.items):
        came = f"{len(queries)} queries and {len(documents)} documents came"
        raise fail(caller, came, f"as many as the qrels have: {qrels.queries} and {qrels.items}")
    device = rows.exact.device
    if exclude is not None:
        exclude = whole_labels(caller, "exclude", exclude).to(device)
        if len(exclude) != len(queries) or bool(((exclude < -1) | (exclude >= len(documents))).any()):
            expected = f"{len(queries)} numbers of documents, -1 (none) to {len(documents) - 1}"
            raise fail(caller, f"exclude is {describe(exclude)}", expected)
    relevance = OfQrels(qrels, device)
    yield from counted(Similarities(rows, items), relevance, ties=ties, tile=tile, left_out=exclude)

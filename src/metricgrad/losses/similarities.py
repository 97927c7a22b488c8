"""What losses of cosine similarities share: who is compared with whom, in one direction or both, in chunks of queries.

Rows under labels are compared with each other; queries with a side of documents by the relevance of the pairs.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metricgrad._checks import describe, fail, require_matrix
from metricgrad._labels import Labels, number_labels
from metricgrad._safe import share
from metricgrad.pairing.similarity import unit_rows

__all__ = ["MEMORY_BUDGET", "Compared", "OneWay", "compared", "in_directions"]

MEMORY_BUDGET = 256 * 2**20
"""Bytes of similarities that are kept for the backward pass; beyond it queries are chunked and recomputed."""

OneWay = Callable[[Tensor, Tensor], Tensor]
"""`(similarities [query, item], relevant [query, item]) -> [query]`; -inf is an item that a query does not meet."""


class Compared(NamedTuple):
    """Two sides and what belongs together.

    Attributes:
        queries: unit rows [query, dim], float32 or wider.
        items: unit rows [item, dim].
        relevant: bool [query, item]; False for a query and itself.
        own: whether query i is item i, which it does not meet.
    """

    queries: Float[Tensor, "query dim"]
    items: Float[Tensor, "item dim"]
    relevant: Bool[Tensor, "query item"]
    own: bool


def compared(
    caller: str, embeddings: Tensor, targets: Labels | Tensor, documents: Tensor | None, *, normalize: bool
) -> Compared:
    """Read the arguments of a loss of similarities.

    Args:
        caller: for messages.
        embeddings: rows, or queries where there are documents.
        targets: one label per row, or relevance [query, document].
        documents: the other side; None where the rows are compared with each other.
        normalize: scale rows to length 1 first.

    Raises:
        InputError: shapes that do not fit.
    """
    queries = _rows(caller, "embeddings", embeddings, normalize)
    if documents is None:
        (codes,) = number_labels(caller, {"targets": targets}, device=queries.device).codes
        if len(codes) != len(queries):
            came = f"{len(codes)} targets for embeddings {describe(embeddings)}"
            raise fail(caller, came, "one label per row")
        return Compared(queries, queries, (codes.unsqueeze(1) == codes).fill_diagonal_(False), True)
    items = _rows(caller, "documents", documents, normalize)
    if items.shape[1] != queries.shape[1]:
        came = f"embeddings are {describe(embeddings)} and documents {describe(documents)}"
        raise fail(caller, came, "the same number of dimensions")
    shape = (len(queries), len(items))
    if not isinstance(targets, Tensor) or targets.shape != shape:
        came = f"targets are {describe(targets)} for {shape[0]} queries and {shape[1]} documents"
        raise fail(caller, came, "the relevance of every pair [query, document]")
    return Compared(queries, items.to(queries.dtype), targets.to(queries.device) > 0, False)


def in_directions(sides: Compared, one_way: OneWay, *, symmetric: bool) -> Float[Tensor, " query"]:
    """Return the loss of every query; 0 where nothing is relevant to it.

    Args:
        sides: what is compared.
        one_way: of a query that has something relevant.
        symmetric: take the mean of this and of the other direction, in which the loss of a document counts for the
            queries that it is relevant to, as the mean over a query's relevant documents. Rows that are compared with
            each other meet in both directions anyway: nothing changes for them.
    """
    with torch.autocast(sides.queries.device.type, enabled=False):
        losses = _in_chunks(sides, one_way)
        if symmetric and not sides.own:
            back = _in_chunks(Compared(sides.items, sides.queries, sides.relevant.T, False), one_way)
            weights = sides.relevant.to(back.dtype)  # [query, item]
            losses = (losses + share(weights @ back, weights.sum(1))) / 2
    return losses


def _rows(caller: str, name: str, given: Tensor, normalize: bool) -> Tensor:
    require_matrix(caller, name, given, "query, dim" if name == "embeddings" else "document, dim")
    rows = unit_rows(given) if normalize else given
    return rows if rows.dtype == torch.float64 else rows.float()


def _in_chunks(sides: Compared, one_way: OneWay) -> Tensor:
    # alive in the backward pass: similarities, what is left of them where masked, and the slopes
    row_bytes = len(sides.items) * sides.queries.element_size() * 4
    size = max(1, MEMORY_BUDGET // max(1, row_bytes))
    places = torch.arange(len(sides.queries), device=sides.queries.device)
    if len(places) <= size:
        return _of_queries(*sides, places, one_way)
    parts = [
        checkpoint(_of_queries, *sides, some, one_way, use_reentrant=False, preserve_rng_state=False)
        for some in places.split(size)
    ]
    return torch.cat(parts)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _of_queries(
    queries: Tensor, items: Tensor, relevant: Tensor, own: bool, places: Tensor, one_way: OneWay
) -> Tensor:
    similarities = queries.index_select(0, places) @ items.T  # [query, item]
    if own:
        itself = places.unsqueeze(1) == torch.arange(len(items), device=places.device)
        similarities = similarities.masked_fill(itself, -torch.inf)
    if len(items) == 0:
        return similarities.sum(1)
    some = relevant.index_select(0, places)
    return torch.where(some.any(1), one_way(similarities, some), 0)

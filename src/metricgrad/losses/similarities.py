"""What losses of cosine similarities share: who is compared with whom, in one direction or both, in chunks of queries.

Rows under labels are compared with each other; queries with a side of documents by the relevance of the pairs.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from metricgrad._checks import describe, fail, require_matrix
from metricgrad._labels import Labels, number_labels
from metricgrad._safe import share
from metricgrad.losses.row_chunks import in_row_chunks
from metricgrad.pairing.similarity import unit_rows

__all__ = ["Compared", "OneWay", "compared", "in_directions", "mean_of_directions"]

OneWay = Callable[[Tensor, Tensor], Tensor]
"""`(similarities [query, item], relevant [query, item]) -> [query]`; -inf is an item that a query does not meet."""


class Compared(NamedTuple):
    """Two sides and what belongs together: by a relevance of every pair, or by codes of classes.

    Attributes:
        queries: unit rows [query, dim], float32 or wider.
        items: unit rows [item, dim].
        relevance: None where there are codes.
        codes: class of every query.
        item_codes: class of every item.
        own: whether query i is item i, which it does not meet.
        met: which items every query meets; None for all.
    """

    queries: Float[Tensor, "query dim"]
    items: Float[Tensor, "item dim"]
    relevance: Bool[Tensor, "query item"] | None = None
    codes: Int[Tensor, " query"] | None = None
    item_codes: Int[Tensor, " item"] | None = None
    own: bool = False
    met: Bool[Tensor, "query item"] | None = None

    def relevant(self, places: Int[Tensor, " place"]) -> Bool[Tensor, "place item"]:
        """Return which items are relevant to some of the queries; none of these is the query itself."""
        if self.codes is None:
            same = self.relevance.index_select(0, places)  # pyright: ignore[reportOptionalMemberAccess]
        else:
            same = self.codes[places].unsqueeze(1) == self.item_codes
        apart = self.apart(places)
        return same if apart is None else same & ~apart  # pyright: ignore[reportReturnType]

    def similarities(self, places: Int[Tensor, " place"]) -> Float[Tensor, "place item"]:
        """Return the similarities of some of the queries; -inf with an item that the query does not meet."""
        found = self.queries.index_select(0, places) @ self.items.T
        apart = self.apart(places)
        return found if apart is None else found.masked_fill(apart, -torch.inf)

    def apart(self, places: Int[Tensor, " place"]) -> Bool[Tensor, "place item"] | None:
        """Return which items some of the queries do not meet; None where they meet all."""
        itself = None
        if self.own:
            itself = places.unsqueeze(1) == torch.arange(len(self.items), device=places.device)
        if self.met is None:
            return itself
        unmet = ~self.met.index_select(0, places)
        return unmet if itself is None else unmet | itself


def compared(
    caller: str,
    embeddings: Tensor,
    targets: Labels | Tensor,
    documents: Tensor | None,
    *,
    normalize: bool,
    pairs: Tensor | None = None,
) -> Compared:
    """Read the arguments of a loss of similarities.

    Args:
        caller: for messages.
        embeddings: rows, or queries where there are documents.
        targets: one label per row, or relevance [query, document].
        documents: the other side; None where the rows are compared with each other.
        normalize: scale rows to length 1 first.
        pairs: bool [query, item], which pairs are compared; None for all.

    Raises:
        InputError: shapes that do not fit.
    """
    queries = _rows(caller, "embeddings", embeddings, normalize)
    if documents is None:
        (codes,) = number_labels(caller, {"targets": targets}, device=queries.device).codes
        if len(codes) != len(queries):
            came = f"{len(codes)} targets for embeddings {describe(embeddings)}"
            raise fail(caller, came, "one label per row")
        met = _met(caller, pairs, queries, queries)
        return Compared(queries, queries, codes=codes, item_codes=codes, own=True, met=met)
    items = _rows(caller, "documents", documents, normalize)
    if items.shape[1] != queries.shape[1]:
        came = f"embeddings are {describe(embeddings)} and documents {describe(documents)}"
        raise fail(caller, came, "the same number of dimensions")
    shape = (len(queries), len(items))
    if not isinstance(targets, Tensor) or targets.shape != shape:
        came = f"targets are {describe(targets)} for {shape[0]} queries and {shape[1]} documents"
        raise fail(caller, came, "the relevance of every pair [query, document]")
    met = _met(caller, pairs, queries, items)
    return Compared(queries, items.to(queries.dtype), targets.to(queries.device) > 0, met=met)


def in_directions(sides: Compared, one_way: OneWay, *, symmetric: bool) -> Float[Tensor, " query"]:
    """Return the loss of every query, which is 0 where nothing is relevant to it, in chunks of queries.

    Args:
        sides: what is compared.
        one_way: of a query that has something relevant.
        symmetric: see `mean_of_directions`.
    """

    def of_relevant(similarities: Tensor, relevant: Tensor) -> Tensor:
        if similarities.shape[1] == 0:
            return similarities.sum(1)
        return torch.where(relevant.any(1), one_way(similarities, relevant), 0)

    return mean_of_directions(sides, partial(_query_by_query, of_relevant), symmetric=symmetric)


def mean_of_directions(
    sides: Compared, losses: Callable[[Compared], Tensor], *, symmetric: bool
) -> Float[Tensor, "*query"]:
    """Return the loss of every query, in float32 or wider also under autocast.

    Args:
        sides: what is compared.
        losses: of the queries.
        symmetric: take the mean of this and of the other direction, in which the loss of a document counts for the
            queries that it is relevant to, as the mean over a query's relevant documents. Rows that are compared with
            each other meet in both directions anyway: nothing changes for them.
    """
    with torch.autocast(sides.queries.device.type, enabled=False):
        found = losses(sides)
        if symmetric and sides.relevance is not None:
            met = None if sides.met is None else sides.met.T
            back = losses(Compared(sides.items, sides.queries, sides.relevance.T, met=met))
            shared = sides.relevance if sides.met is None else sides.relevance & sides.met
            weights = shared.to(back.dtype)  # [query, item]
            found = (found + share(weights @ back, weights.sum(1))) / 2
    return found


def _query_by_query(one_way: OneWay, sides: Compared) -> Tensor:
    places = torch.arange(len(sides.queries), device=sides.queries.device)
    return in_row_chunks(
        partial(_of_places, one_way, sides),
        places,
        (sides.queries, sides.items),
        # alive in the backward pass are some sixteen such matrices; parts of a quarter of that are faster, too: they
        # stay in the caches
        row_bytes=64 * len(sides.items) * sides.queries.element_size(),
    )


def _of_places(one_way: OneWay, sides: Compared, places: Tensor, queries: Tensor, items: Tensor) -> Tensor:
    sides = sides._replace(queries=queries, items=items)
    return one_way(sides.similarities(places), sides.relevant(places))


def _met(caller: str, pairs: Tensor | None, queries: Tensor, items: Tensor) -> Tensor | None:
    if pairs is None:
        return None
    shape = (len(queries), len(items))
    if not isinstance(pairs, Tensor) or pairs.dtype != torch.bool or pairs.shape != shape:
        came = f"pairs are {describe(pairs)} for {shape[0]} queries and {shape[1]} items"
        raise fail(caller, came, "bool [query, item], which pairs are compared")
    return pairs.to(queries.device)


def _rows(caller: str, name: str, given: Tensor, normalize: bool) -> Tensor:
    require_matrix(caller, name, given, "query, dim" if name == "embeddings" else "document, dim")
    rows = unit_rows(given) if normalize else given
    return rows if rows.dtype == torch.float64 else rows.float()

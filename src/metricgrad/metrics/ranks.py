"""Exact ranks of the relevant items: the one thing that every retrieval metric is computed from.

The items of a query are ordered by score, highest first. Equal scores are ordered by a rule that the caller names:

* `pessimistic`: among equals the relevant items come last (a collapsed model scores worst, not perfect);
* `optimistic`: among equals the relevant items come first;
* `mid`: every item of a group of equals gets the mean of the ranks that the group covers: two relevant items tied on
  top are both at 1.5, so that neither is within the first 1;
* `average`: a metric is its mean over all orders of the equals (`tied.py` has the formulas); the ranks themselves are
  then those of `mid`.

An item that was not retrieved is at no rank. Where it is relevant its rank is infinite: it counts among what there was
to find, and no metric counts it as found.

Two routes lead here: scores that are at hand (`ranks_from_scores`) and embeddings (`retrieval_ranks`), where the
similarities are computed tile by tile and never stored whole. Both give the same numbers, see `similarity.py`.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad.metrics.count_kernel import split

__all__ = ["ExactRanks", "TiedBlocks", "Ties", "ranks_from_scores"]

Ties = Literal["pessimistic", "mid", "optimistic", "average"]

_FEW_POSITIVES = 16
"""Up to here one comparison of a tile per positive is cheaper than sorting the tile once (measured on a CPU)."""

TILE = 4_000_000
"""Similarities that are held at a time: 32 MB in float64, a few of which are alive at once."""


class TiedBlocks(NamedTuple):
    """The group of equals that each relevant item stands in; whole numbers as float64.

    Attributes:
        above: items ranked before the group; infinite for an item that was not retrieved.
        size: items in the group, 1 for an item without an equal; 0 where padded.
        relevant_above: relevant items before the group.
        relevant: relevant items in the group.
    """

    above: Float[Tensor, "query positive"]
    size: Float[Tensor, "query positive"]
    relevant_above: Float[Tensor, "query positive"]
    relevant: Float[Tensor, "query positive"]


class ExactRanks(NamedTuple):
    """Ranks of the relevant items of every query, rows padded to the longest.

    Attributes:
        among_all: rank among all items but the query, best 1 (halves occur with `mid` and `average`); infinite where
            the item was not retrieved; 0 where padded.
        among_positives: rank among the relevant items; likewise.
        gain: relevance of the item, 1 where it is yes or no; 0 where padded.
        valid: False where padded.
        competitors: number of items that were ranked (the query itself left out).
        blocks: with `average`, the group of equals of each item; None with the other rules.
    """

    among_all: Float[Tensor, "query positive"]
    among_positives: Float[Tensor, "query positive"]
    gain: Float[Tensor, "query positive"]
    valid: Bool[Tensor, "query positive"]
    competitors: Int[Tensor, "query"]
    blocks: TiedBlocks | None = None


def require_ties(caller: str, ties: str) -> None:
    """Raise InputError unless `ties` is one of the rules."""
    if ties not in get_args(Ties):
        raise fail(caller, f"ties is {ties!r}", f"one of {', '.join(get_args(Ties))}")


def ranks_from_scores(
    scores: Shaped[Tensor, "query item"],
    relevance: Shaped[Tensor, "query item"],
    *,
    ties: Ties = "pessimistic",
    query_item: Int[Tensor, "query"] | None = None,
    retrieved: Bool[Tensor, "query item"] | None = None,
) -> ExactRanks:
    """Exact ranks of the relevant items among the scored items of each query.

        pessimistic  r[q,x] = 1 + #{z: s[q,z] > s[q,x]} + #{tied irrelevant} + place among the tied relevant
        optimistic   r[q,x] = 1 + #{z: s[q,z] > s[q,x]} + place among the tied relevant
        mid          r[q,x] = 1 + #{z: s[q,z] > s[q,x]} + #{z != x: s[q,z] = s[q,x]} / 2
        average      as mid, with the group of equals of every item (`blocks`) for the mean over all orders

    With graded relevance the tied relevant items are placed by gain, the worst order first for `pessimistic` and
    the best for `optimistic`.

    Args:
        scores: any real numbers, higher is ranked earlier; negative scores are scores, infinities are ordered, whole
            numbers of any size are compared as such.
        relevance: bool, or gains >= 0 (0 is irrelevant).
        ties: the rule for equal scores.
        query_item: index of the query among its own items, which is left out; -1 where it is not among them.
        retrieved: False for an item that was not retrieved, whose score (NaN or not) is not looked at; None where all
            were. Pass `~scores.isnan()` where NaN says so.

    Returns:
        The ranks, float64, one row per query, padded to the largest number of relevant items.

    Raises:
        InputError: shapes that differ, complex scores, NaN scores of retrieved items, gains that are negative or not
            finite, an index out of range.

    Edge cases:
        A query without a relevant item has an all-padded row. No item at all: `competitors` 0. A relevant item that was
        not retrieved: rank infinite.

    Gradient: none.

    Cost:
        O(query * item * positive) comparisons for few positives, else O(query * item * log(item)).

    Reference:
        [mcsherry2008ties] on what a metric means where scores are tied.

    Example:
        >>> ranks = ranks_from_scores(torch.tensor([[0.9, 0.5, 0.5, -1.0]]), torch.tensor([[0, 1, 0, 1]]))
        >>> ranks.among_all
        tensor([[3., 4.]], dtype=torch.float64)
    """
    gains, excluded = _checked("ranks_from_scores", scores, relevance, ties, query_item, retrieved)
    queries, items = scores.shape
    present = excluded >= 0
    if bool(present.any()):
        gains = gains.clone()
        gains[present, excluded[present]] = 0
    counts = (gains > 0).sum(1)  # [query]
    width = int(counts.max()) if queries else 0
    # A stable sort on "relevant or not" puts the relevant items first, in the order in which they came.
    index = torch.argsort((gains > 0).to(torch.int8), dim=1, descending=True, stable=True)[:, :width]
    valid = torch.arange(width, device=scores.device) < counts[:, None]  # [query, positive]
    chunk = max(1, TILE // max(items, 1))
    parts = []
    for rows in [slice(start, start + chunk) for start in range(0, max(queries, 1), chunk)]:
        tile = as_numbers(scores[rows].detach(), None if retrieved is None else retrieved[rows])
        positive_scores = tile.gather(1, index[rows])
        own = tile.gather(1, excluded[rows, None].clamp(min=0))[:, 0] if items else tile.new_zeros(len(tile))
        ranks = settle(
            *count_above(tile, positive_scores),
            positive_scores,
            gains[rows].gather(1, index[rows]).double(),
            valid[rows],
            ties,
            own=own,
            present=present[rows],
            items=items,
        )
        if retrieved is not None:
            ranks = _without_rank(
                ranks, positive_scores < 0, (tile < 0).sum(1) - (present[rows] & (own < 0)).long()
            )
        parts.append(ranks)
    return join(parts)


def as_numbers(
    scores: Shaped[Tensor, "query item"], retrieved: Bool[Tensor, "query item"] | None = None
) -> Float[Tensor, "query item"]:
    """Numbers in the order of the scores of each query, equal where these are; -1 for what was not retrieved.

    Every float format fits into float64, and so do whole numbers up to 2^53; others, and scores of which some were not
    retrieved, become their place in the order, from 0 on.
    """
    if scores.dtype == torch.uint64:  # hardly any function knows it: the same order as signed numbers
        scores = scores.view(torch.int64) ^ torch.iinfo(torch.int64).min
    large = scores.dtype == torch.int64 and bool(((scores > 2**53) | (scores < -(2**53))).any())
    if retrieved is None and not large:
        return scores.double()
    if not large:
        scores = scores.double()
    if retrieved is not None:
        scores = scores.masked_fill(~retrieved, 0)
    scores = scores.contiguous()
    places = torch.searchsorted(scores.sort(dim=1).values, scores).double()
    return places if retrieved is None else places.masked_fill(~retrieved, -1)


def _without_rank(ranks: ExactRanks, missing: Tensor, others: Tensor) -> ExactRanks:
    """Give relevant items that were not retrieved an infinite rank, and count only what was retrieved."""
    missing = missing & ranks.valid
    infinite = {"among_all": ranks.among_all, "among_positives": ranks.among_positives}
    infinite = {name: rank.masked_fill(missing, torch.inf) for name, rank in infinite.items()}
    blocks = ranks.blocks
    if blocks is not None:
        blocks = blocks._replace(above=blocks.above.masked_fill(missing, torch.inf))
    return ranks._replace(**infinite, blocks=blocks, competitors=ranks.competitors - others)


def join(parts: list[ExactRanks]) -> ExactRanks:
    """Stack the ranks of several groups of queries, padding to the widest."""
    width = max(part.valid.shape[1] for part in parts)

    def joined(fields: Iterable[Tensor]) -> Tensor:
        return torch.cat([torch.nn.functional.pad(field, (0, width - field.shape[1])) for field in fields])

    ranks = ExactRanks(
        *map(joined, zip(*(part[:4] for part in parts), strict=True)),
        competitors=torch.cat([part.competitors for part in parts]),
    )
    blocks = [part.blocks for part in parts if part.blocks is not None]
    if not blocks:
        return ranks
    return ranks._replace(blocks=TiedBlocks(*map(joined, zip(*blocks, strict=True))))


def count_above(
    scores: Shaped[Tensor, "query item"], positive_scores: Shaped[Tensor, "query positive"], margin: float = 0
) -> tuple[Int[Tensor, "query positive"], Int[Tensor, "query positive"]]:
    """Count for each positive the items with a greater score, and those with a score at least as great.

    With a margin: those that are greater by more than it, and those that are not less by more than it.
    """
    above, below = positive_scores + margin, positive_scores - margin
    if positive_scores.shape[1] <= _FEW_POSITIVES:
        greater = torch.zeros_like(positive_scores, dtype=torch.int64)
        at_least = torch.zeros_like(greater)
        for column in range(positive_scores.shape[1]):
            # Sums of truth values in int64, PyTorch's default, take three times as long.
            greater[:, column] = (scores > above[:, column, None]).sum(1, dtype=torch.int32)
            at_least[:, column] = (scores >= below[:, column, None]).sum(1, dtype=torch.int32)
        return greater, at_least
    if scores.device.type == "cpu":
        order = positive_scores.argsort(dim=1)
        low, high = (edge.gather(1, order) for edge in (below, above))
        found = split(scores.contiguous(), low, high, 0)
        back = order.argsort(dim=1)
        return found.above.gather(1, back), (found.above + found.within).gather(1, back)
    ascending = scores.sort(dim=1).values
    items = scores.shape[1]
    not_above = torch.searchsorted(ascending, above.contiguous(), right=True)
    return items - not_above, items - torch.searchsorted(ascending, below.contiguous())


def settle(
    greater: Int[Tensor, "query positive"],
    at_least: Int[Tensor, "query positive"],
    positive_scores: Float[Tensor, "query positive"],
    gain: Float[Tensor, "query positive"],
    valid: Bool[Tensor, "query positive"],
    ties: Ties,
    *,
    own: Float[Tensor, "query"],
    present: Bool[Tensor, "query"],
    items: int,
) -> ExactRanks:
    """Turn counts over all items into ranks: leave the query itself out (`own` is its score) and settle ties."""
    own, counted = own[:, None], present[:, None]
    greater = greater - (counted & (own > positive_scores)).long()
    tied = at_least - (counted & (own >= positive_scores)).long() - greater - 1
    place, positives_greater, positives_tied = _order_of_positives(positive_scores, gain, valid, ties)
    if ties in ("mid", "average"):
        among_all = 1 + greater + tied / 2
        among_positives = 1 + positives_greater + positives_tied / 2
    else:
        tied_irrelevant = tied - positives_tied if ties == "pessimistic" else torch.zeros_like(tied)
        among_all = 1 + greater + tied_irrelevant + place - positives_greater
        among_positives = 1 + place
    nothing = torch.zeros((), dtype=torch.float64, device=valid.device)
    blocks = None
    if ties == "average":
        fields = (greater, 1 + tied, positives_greater, 1 + positives_tied)
        blocks = TiedBlocks(*(torch.where(valid, field.double(), nothing) for field in fields))
    return ExactRanks(
        among_all=torch.where(valid, among_all.double(), nothing),
        among_positives=torch.where(valid, among_positives.double(), nothing),
        gain=torch.where(valid, gain, nothing),
        valid=valid,
        competitors=items - present.long(),
        blocks=blocks,
    )


def _order_of_positives(
    scores: Float[Tensor, "query positive"],
    gain: Float[Tensor, "query positive"],
    valid: Bool[Tensor, "query positive"],
    ties: Ties,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each positive how many positives stand before it, score higher, and score the same."""
    best_first = ties == "optimistic"
    last = (
        -torch.inf if best_first else torch.inf
    )  # padding comes last among equals, also among scores of -inf
    by_gain = torch.where(valid, gain, last).argsort(dim=1, descending=best_first, stable=True)
    key = torch.where(valid, -scores, torch.inf)
    ascending, by_score = key.gather(1, by_gain).sort(dim=1, stable=True)
    order = by_gain.gather(1, by_score)  # [query, place] -> positive
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    place = torch.empty_like(order).scatter_(1, order, places)
    greater = torch.searchsorted(ascending, key)
    not_below = torch.minimum(torch.searchsorted(ascending, key, right=True), valid.sum(1, keepdim=True))
    return place, greater, not_below - greater - 1


def _checked(
    caller: str,
    scores: Tensor,
    relevance: Tensor,
    ties: str,
    query_item: Tensor | None,
    retrieved: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Check the arguments of the score form; return relevance and the index of the query among its items."""
    require_ties(caller, ties)
    both = isinstance(scores, Tensor) and isinstance(relevance, Tensor)
    if not both or scores.ndim != 2 or relevance.shape != scores.shape:
        raise fail(
            caller,
            f"scores are {describe(scores)} and relevance is {describe(relevance)}",
            "two tensors of one shape (query, item)",
        )
    if retrieved is not None and not (
        isinstance(retrieved, Tensor) and retrieved.shape == scores.shape and retrieved.dtype == torch.bool
    ):
        expected = f"a bool tensor of the scores' shape {tuple(scores.shape)}"
        raise fail(caller, f"retrieved is {describe(retrieved)}", expected)
    if scores.is_complex():
        raise fail(caller, f"scores are {describe(scores)}", "real numbers")
    if scores.is_floating_point():
        unknown = torch.isnan(scores) if retrieved is None else torch.isnan(scores) & retrieved
        if bool(unknown.any()):
            row = int(unknown.any(1).nonzero()[0])
            remedy = "Infinite scores are allowed; items that were not retrieved: retrieved=~scores.isnan()."
            raise fail(caller, f"scores have NaN, first in row {row}", "numbers", remedy)
    if relevance.dtype != torch.bool and not bool(((relevance >= 0) & (relevance < torch.inf)).all()):
        raise fail(caller, "relevance has values that are negative or not finite", "bool, or gains >= 0")
    if query_item is None:
        return relevance, torch.full((len(scores),), -1, dtype=torch.int64, device=scores.device)
    if (
        not isinstance(query_item, Tensor)
        or query_item.shape != scores.shape[:1]
        or query_item.is_floating_point()
        or query_item.dtype == torch.bool
    ):
        raise fail(
            caller,
            f"query_item is {describe(query_item)}",
            f"a tensor of {len(scores)} whole numbers, one a query",
        )
    if not bool(((query_item >= -1) & (query_item < scores.shape[1])).all()):
        raise fail(caller, "query_item has an index out of range", f"-1 (none) to {scores.shape[1] - 1}")
    return relevance, query_item.long()

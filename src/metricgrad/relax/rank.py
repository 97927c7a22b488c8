"""Soft ranks of the positives: the one hot operator under every ranking loss.

Recall@k, average precision, reciprocal rank and NDCG need, of a whole ranking, only the ranks of the few relevant
items. Each rank is one plus a count of the items above, and a soft rank replaces the count by a sum of steps. The
operator never holds query x item x positive: it works through tiles of queries, keeps its inputs and the numbers
of the positives, and makes similarities and slopes anew in the backward pass. A small problem keeps its similarities.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import Number, describe, fail, positive_number, require_matrix
from metricgrad.relax import operator
from metricgrad.relax.setting import Setting
from metricgrad.relax.step import StepName, require_step

__all__ = ["PositiveRanks", "positive_ranks_from_products", "positive_ranks_from_scores", "positives_of"]

IncludeQuery = bool | Literal["positive"]


class PositiveRanks(NamedTuple):
    """The (soft) ranks of the relevant items of every query.

    Rows are padded to the largest number of positives (at least one column); where `valid` is False the ranks are
    1 and carry no gradient. The positives of a query stand in the order of their item numbers.

    Attributes:
        among_all: [query, positive] 1 + (soft) number of items above the positive.
        among_positives: [query, positive] 1 + (soft) number of other positives above it.
        valid: [query, positive] bool.
        competitors: [query] number of items that are ranked.
    """

    among_all: Float[Tensor, "query positive"]
    among_positives: Float[Tensor, "query positive"]
    valid: Bool[Tensor, "query positive"]
    competitors: Tensor


def positive_ranks_from_scores(
    scores: Float[Tensor, "query item"],
    relevance: Bool[Tensor, "query item"],
    *,
    query_item: Tensor | Sequence[int | None] | None = None,
    include_query: IncludeQuery = False,
    temperature: Number,
    step: StepName = "logistic",
) -> PositiveRanks:
    """Return the soft ranks of the relevant items from given scores (surrogate; exact for `temperature=0`).

    r[q, x] = 1 + sum over z in C_q, z != x, of step((s[q, z] - s[q, x]) / temperature), for x in P_q: the relevant
    items of q, never q itself. C_q are the items without q, or with it where `include_query` is set.

    Args:
        scores: higher is ranked earlier; any real numbers, -inf for an item that shall not compete.
        relevance: True where the item is relevant to the query.
        query_item: which item each query is: [query], -1 or None for none. That item is never a positive.
        include_query: whether the query competes with the other items. "positive" also makes it a positive of its
            own, for a query that has another: the smooth AP of the official code.
        temperature: width of the step in units of score, >= 0. 0 gives the exact ranks: a tie counts 1/2.
        step: "logistic" or "laplace".

    Returns:
        The ranks, in float32 or wider.

    Raises:
        InputError: shapes or types that do not fit; `query_item` out of range; a negative temperature; NaN scores
            where `temperature` is 0 or under `torch.autograd.set_detect_anomaly(True)` (otherwise the ranks of
            their query are NaN).

    Edge cases:
        Ties count 1/2 each. A query without positives has no valid entry.

    Gradient:
        Exact for the soft ranks, made by formula in the backward pass; falls like exp(-gap / temperature), so that
        items further than some 15 temperatures from every positive feel nothing. None for `temperature=0`. There
        is no second derivative: asking for one raises. Half precision is computed in float32.

    Cost:
        Time O(query x positive x item); extra memory one tile (at most 256 MB, typically far less).

    Differs from the paper:
        The query is left out of its own ranking; `include_query=True` is the official code.

    Reference:
        [patel2022recall] section 3; [brown2020smoothap] for `among_positives`.

    Example:
        >>> scores = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
        >>> relevance = torch.tensor([[True, False, True, False]])
        >>> positive_ranks_from_scores(scores, relevance, temperature=0).among_all
        tensor([[1., 3.]])
    """
    caller = "positive_ranks_from_scores"
    temperature = _check_options(caller, include_query, temperature, step)
    require_matrix(caller, "scores", scores, "query, item")
    if not isinstance(relevance, Tensor) or relevance.dtype != torch.bool or relevance.shape != scores.shape:
        raise fail(
            caller,
            f"relevance is {describe(relevance)} and scores are {describe(scores)}",
            "a bool tensor of the shape of scores (query, item)",
        )
    own = _query_items(caller, query_item, scores)
    if temperature == 0 or torch.is_anomaly_enabled():
        _refuse_nan(caller, "scores", scores)
    positives, counts = positives_of(relevance, own, include_query)
    setting = _setting(positives, counts, own, include_query, temperature, step)
    among_all, among_positives = operator.scores(scores, setting)
    return _packed(among_all, among_positives, setting, scores.shape[1])


def positive_ranks_from_products(
    queries: Float[Tensor, "query dim"],
    items: Float[Tensor, "item dim"],
    positives: Tensor,
    counts: Tensor,
    *,
    query_item: Tensor | None,
    include_query: IncludeQuery,
    temperature: Number,
    step: str,
) -> PositiveRanks:
    """Return the soft ranks of listed positives for the scores `queries @ items.T`; a large problem never stores them.

    `metricgrad.positive_ranks` is the door to this: it makes the lists from labels.

    Args:
        queries: rows as they are.
        items: rows as they are.
        positives: [query, positive] item numbers of the relevant items, padded with any item number.
        counts: [query] how many of them are there.
        query_item: [query] the item that a query is, -1 for none; None for none at all.
        include_query: as in `positive_ranks_from_scores`, with the lists made accordingly.
        temperature: as there.
        step: as there.

    Returns:
        The ranks, in float32 or wider.

    Raises:
        InputError: a negative temperature, an unknown step, NaN where it is looked for.

    Gradient:
        To `queries` and to `items`; saved for it are these and the lists, O((query + item) x dim), and of a small
        problem the scores.

    Cost:
        One matrix product forward, three backward, and O(query x positive x item) steps in tiles.
    """
    caller = "positive_ranks"
    temperature = _check_options(caller, include_query, temperature, step)
    if temperature == 0 or torch.is_anomaly_enabled():
        _refuse_nan(caller, "embeddings", queries)
        _refuse_nan(caller, "reference_embeddings", items)
    setting = _setting(positives, counts, query_item, include_query, temperature, step)
    among_all, among_positives = operator.products(queries, items, setting)
    return _packed(among_all, among_positives, setting, items.shape[0])


def _setting(
    positives: Tensor,
    counts: Tensor,
    query_item: Tensor | None,
    include_query: IncludeQuery,
    temperature: float,
    step: str,
) -> Setting:
    return Setting(positives, counts, None if include_query else query_item, temperature, step)


def _check_options(caller: str, include_query: IncludeQuery, temperature: Number, step: str) -> float:
    """Return the temperature as a number."""
    require_step(caller, step)
    if include_query not in (False, True, "positive"):
        raise fail(caller, f"include_query is {include_query!r}", "False, True or 'positive'")
    return positive_number(caller, "temperature", temperature, zero=True)


def _packed(among_all: Tensor, among_positives: Tensor, setting: Setting, items: int) -> PositiveRanks:
    if setting.excluded is None:
        competitors = torch.full_like(setting.counts, items)
    else:
        competitors = items - (setting.excluded >= 0).to(setting.counts.dtype)
    return PositiveRanks(among_all, among_positives, setting.valid, competitors)


def _query_items(
    caller: str, query_item: Tensor | Sequence[int | None] | None, scores: Tensor
) -> Tensor | None:
    if query_item is None:
        return None
    if not isinstance(query_item, Tensor):
        query_item = torch.tensor([-1 if item is None else item for item in query_item], dtype=torch.long)
    queries, items = scores.shape
    own = query_item.to(scores.device, torch.long)
    if own.shape != (queries,) or bool(((own < -1) | (own >= items)).any()):
        raise fail(
            caller,
            f"query_item is {describe(query_item)} for scores {describe(scores)}",
            f"one item number below {items} (or -1 for none) for each of the {queries} queries",
        )
    return own


def _refuse_nan(caller: str, name: str, value: Tensor) -> None:
    bad = torch.isnan(value).any(1)
    if bool(bad.any()):
        rows = f"{int(bad.sum())} of {value.shape[0]} rows, first in row {int(bad.nonzero()[0])}"
        raise fail(
            caller,
            f"{name} has NaN in {rows}",
            "numbers",
            "Ranks need an order: find out where NaN comes from.",
        )


def positives_of(
    relevance: Bool[Tensor, "query item"], own: Tensor | None = None, include_query: IncludeQuery = False
) -> tuple[Tensor, Tensor]:
    """Return the item numbers of the positives [query, positive], rising, padded with 0, and their counts [query].

    Args:
        relevance: True where the item is relevant to the query.
        own: which item each query is [query], -1 for none; it is no positive.
        include_query: as in `positive_ranks_from_scores`.
    """
    if own is not None:
        rows = torch.nonzero(own >= 0).squeeze(1)
        relevance = relevance.clone()
        relevance[rows, own[rows]] = False
        if include_query == "positive":
            relevance[rows, own[rows]] = relevance[rows].any(1)
    counts = relevance.sum(1)
    width = max(1, int(counts.max())) if len(counts) else 1
    positives = torch.zeros(len(counts), width, dtype=torch.long, device=relevance.device)
    row, item = torch.nonzero(relevance, as_tuple=True)
    first = torch.cumsum(counts, 0) - counts
    positives[row, torch.arange(len(row), device=row.device) - first[row]] = item
    return positives, counts

"""From embeddings, and labels or relevance, to soft ranks."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from metricgrad._checks import Number, describe, fail, require_matrix
from metricgrad._labels import Labels, label_keys
from metricgrad.metrics.own_references import same_rows
from metricgrad.pairing.relevance import without_query
from metricgrad.ranking.lists import lists_of
from metricgrad.relax.rank import IncludeQuery, PositiveRanks, positive_ranks_from_products, positives_of
from metricgrad.relax.step import StepName

__all__ = ["positive_ranks"]


def positive_ranks(
    embeddings: Float[Tensor, "query dim"],
    labels: Labels | None = None,
    *,
    reference_embeddings: Float[Tensor, "item dim"] | None = None,
    reference_labels: Labels | None = None,
    relevance: Shaped[Tensor, "query item"] | None = None,
    query_item: Int[Tensor, " query"] | None = None,
    temperature: Number,
    step: StepName = "logistic",
    include_query: IncludeQuery = False,
) -> PositiveRanks:
    """Return the soft ranks of every query's positives by dot product (surrogate; exact for `temperature=0`).

    r[q, x] = 1 + sum over items z != x of step((<e_q, e_z> - <e_q, e_x>) / temperature), for the items x that have
    the label of q, or that `relevance` names. Without references every row is ranked against the other rows.

    Args:
        embeddings: taken as they are; normalise them for cosine similarity (`RankingLoss` does so).
        labels: integers or strings, one per row, in any order and any class sizes.
        reference_embeddings: items to rank instead of the rows themselves. The queries are not among them, unless
            these are the very rows of `embeddings` in memory (detached, too) or `query_item` says where.
        reference_labels: their labels.
        relevance: instead of labels, which items are relevant to each query: bool, or grades that are relevant above 0.
        query_item: which of the references each query is, -1 for none, where they hold the queries among others
            (`torch.arange(len(embeddings))` for references that begin with them). A query is never its own
            positive and does not compete with itself.
        temperature: width of the step in units of similarity, >= 0. 0 gives the exact ranks: a tie counts 1/2.
        step: "logistic" or "laplace".
        include_query: whether a query competes with the other rows; "positive" also makes it one of its positives.

    Returns:
        Ranks in float32 or wider, padded to the largest number of positives.

    Raises:
        InputError: shapes or item numbers that do not fit, labels beside relevance, a negative temperature; NaN where
            `temperature` is 0 or under `torch.autograd.set_detect_anomaly(True)` (otherwise the ranks become NaN).

    Edge cases:
        A row without another of its label has no valid entry. Ties count 1/2.

    Gradient:
        Exact for the soft ranks, to `embeddings` and `reference_embeddings`; it falls like
        exp(-gap / temperature). None for `temperature=0`; no second derivative (raises). Half precision and
        autocast are computed in float32.

    Cost:
        Time O(query x item x (dim + positive)). Nothing of size query x item is kept: similarities are made in
        tiles of at most 256 MB and once more in the backward pass. A small problem on the CPU (query x item x positive
        up to 2**21) keeps them instead, at most 16 MB.

    Differs from the paper:
        The query is left out of its own ranking; `include_query=True` is the official code.

    Reference:
        [patel2022recall] section 3.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> ranks = positive_ranks(embeddings, ["a", "b", "a"], temperature=0)
        >>> ranks.among_all[ranks.valid]
        tensor([2., 2.])
    """
    caller = "positive_ranks"
    require_matrix(caller, "embeddings", embeddings, "query, dim")
    items = embeddings if reference_embeddings is None else reference_embeddings
    if reference_embeddings is None and query_item is not None:
        raise fail(caller, "query_item came without reference_embeddings", "the items that it numbers")
    require_matrix(caller, "reference_embeddings", items, "item, dim")
    if items.shape[1] != embeddings.shape[1]:
        raise fail(
            caller,
            f"embeddings are {describe(embeddings)} and reference_embeddings {describe(items)}",
            "the same number of dimensions",
        )
    if relevance is not None:
        if labels is not None or reference_labels is not None:
            raise fail(caller, "labels came beside relevance", "one of them: each says what is relevant")
        relevant = _relevant(caller, relevance, embeddings, items)
        query_item = _found_item(caller, query_item, embeddings, items)
        lists = positives_of(relevant, query_item, include_query)
    else:
        lists, query_item = _by_labels(
            caller, embeddings, labels, reference_embeddings, reference_labels, query_item, include_query
        )
    return positive_ranks_from_products(
        embeddings,
        items,
        *lists,
        query_item=query_item,
        include_query=include_query,
        temperature=temperature,
        step=step,
    )


def _relevant(caller: str, relevance: Tensor, queries: Tensor, items: Tensor) -> Tensor:
    """Return which items are relevant to each query, bool [query, item]."""
    shape = (len(queries), len(items))
    if not isinstance(relevance, Tensor) or relevance.shape != shape:
        came = f"relevance is {describe(relevance)} for {shape[0]} queries and {shape[1]} items"
        raise fail(caller, came, "bool or grades [query, item]")
    return relevance.to(queries.device) > 0


def _found_item(caller: str, query_item: Tensor | None, queries: Tensor, items: Tensor) -> Tensor | None:
    """Return which of the items each query is: as it is given, or by the rows being the same in memory."""
    if query_item is not None:
        return _item_numbers(caller, query_item, queries, items)
    return torch.arange(len(queries), device=queries.device) if same_rows(items, queries) else None


def _by_labels(
    caller: str,
    embeddings: Tensor,
    labels: Labels | None,
    reference_embeddings: Tensor | None,
    reference_labels: Labels | None,
    query_item: Tensor | None,
    include_query: IncludeQuery,
) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
    """Return the lists of the positives under labels, and which of the items each query is."""
    if labels is None:
        raise fail(caller, "neither labels nor relevance came", "one of them")
    others = reference_embeddings is not None and reference_embeddings is not embeddings
    if reference_labels is None and others:
        raise fail(caller, "reference_embeddings came without reference_labels", "both or none")
    if reference_embeddings is None and reference_labels is not None:
        raise fail(caller, "reference_labels came without reference_embeddings", "both or none")
    items = embeddings if reference_embeddings is None else reference_embeddings
    item_labels = labels if reference_labels is None else reference_labels
    sets = {"labels": labels} | ({} if item_labels is labels else {"reference_labels": item_labels})
    keys = label_keys(caller, sets, device=embeddings.device)
    codes, item_codes = keys[0], keys[-1]
    _same_length(caller, "labels", codes, embeddings)
    _same_length(caller, "reference_labels", item_codes, items)
    own = query_item is None and not others
    if query_item is None and same_rows(items, embeddings) and (items is not embeddings or len(sets) > 1):
        own, query_item = False, torch.arange(len(embeddings), device=embeddings.device)
    keep = include_query == "positive"
    if query_item is None:
        lists = lists_of(codes, item_codes, own, own and keep)
        return lists, torch.arange(len(embeddings), device=embeddings.device) if own else None
    query_item = _item_numbers(caller, query_item, embeddings, items)
    lists = lists_of(codes, item_codes, False, False)
    return without_query(*lists, query_item, keep), query_item


def _item_numbers(caller: str, query_item: Tensor, queries: Tensor, items: Tensor) -> Tensor:
    own = query_item.to(queries.device, torch.long)
    if own.shape != (len(queries),) or bool(((own < -1) | (own >= len(items))).any()):
        raise fail(
            caller,
            f"query_item is {describe(query_item)} for {len(queries)} queries",
            f"one item number below {len(items)} (or -1 for none) for each query",
        )
    return own


def _same_length(caller: str, name: str, labels: Labels, rows: Tensor) -> None:
    if len(labels) != len(rows):
        raise fail(caller, f"{name} has {len(labels)} entries for {describe(rows)}", "one label per row")

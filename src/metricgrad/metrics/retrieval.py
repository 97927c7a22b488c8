"""Exact retrieval metrics of scored items: how good is the ranking of each query?

Each takes scores and relevance, both [query, item], and returns one value per query: in [0, 1], higher is better,
NaN for a query without a relevant item. Increasing maps of the scores change nothing, negative scores included.
For embeddings of many items use `metrics.retrieval_ranks` with the functions of the same names in
`metrics.of_ranks`, or the records of `metrics.retrieval_metric`: the numbers are the same and no [query, item]
matrix is stored.

What metric learning prints as recall@k (R@k) is `hit_at_k` here; `recall_at_k` is the share of the relevant items
that is found. They differ as soon as a query has two relevant items.

Equal scores are ordered by `ties`: `pessimistic` and `optimistic` take the worst and the best order, `average` is the
mean of the metric over all orders, `mid` gives every item of a group of equals the middle of the group's ranks. A
relevant item that was not retrieved (`retrieved`) counts in every denominator and is never found, as in trec_eval.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from metricgrad.metrics import of_ranks
from metricgrad.metrics.of_ranks import Gains, Normalizer
from metricgrad.metrics.query_rows import ranked
from metricgrad.metrics.ranks import Ties, ranks_from_scores

__all__ = [
    "hit_at_k",
    "ndcg",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "reciprocal_rank",
]


def recall_at_k(
    scores: Shaped[Tensor, "query item"],
    relevance: Shaped[Tensor, "query item"],
    *,
    k: int,
    ties: Ties = "pessimistic",
    query_item: Int[Tensor, "query"] | None = None,
    retrieved: Bool[Tensor, "query item"] | None = None,
    normalizer: Normalizer = "positives",
) -> Float[Tensor, "query"]:
    """Share of a query's relevant items that is within its first k (exact).

        positives        #{x: r[x] <= k} / p
        min_k_positives  min(#{x: r[x] <= k}, k) / min(k, p)

    r is the rank (see `ranks_from_scores` for ties), p the number of relevant items. This is not what metric
    learning prints as recall@k: that is `hit_at_k`.

    Args:
        scores: higher is ranked earlier; any real numbers.
        relevance: bool, or gains >= 0 of which every positive one counts as relevant.
        k: number of first places, >= 1.
        ties: order of equal scores; `pessimistic` puts relevant items last.
        query_item: index of the query among its own items, which is left out; -1 for none.
        retrieved: False for an item that was not retrieved: it is at no rank. None where all were.
        normalizer: what full marks are: all p relevant items, or as many of them as k places can hold.

    Returns:
        One float64 value per query, in [0, 1].

    Raises:
        InputError: shapes that differ, NaN scores, negative gains, k < 1, an index out of range.

    Edge cases:
        ties: by the rule. No relevant item: NaN. k > number of items: used as is.

    Gradient: none; `losses.recall_at_k_loss` has one.

    Cost:
        O(query * item * positive) or O(query * item * log(item)), whichever is less; the scores are not copied
        whole.

    Reference:
        [patel2022recall]; the second normaliser is that of its official code.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.5, 0.1, -0.4]])
        >>> recall_at_k(scores, torch.tensor([[True, False, True, False]]), k=1)
        tensor([0.5000], dtype=torch.float64)
    """
    ranks = ranks_from_scores(scores, relevance, ties=ties, query_item=query_item, retrieved=retrieved)
    return of_ranks.recall_at_k(ranks, k=k, normalizer=normalizer)


def hit_at_k(
    scores: Shaped[Tensor, "query item"],
    relevance: Shaped[Tensor, "query item"],
    *,
    k: int,
    ties: Ties = "pessimistic",
    query_item: Int[Tensor, "query"] | None = None,
    retrieved: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, "query"]:
    """1 where any relevant item is within the first k, else 0 (exact): metric learning's recall@k.

        [min_x r[x] <= k]

    Args:
        scores: higher is ranked earlier; any real numbers.
        relevance: bool, or gains >= 0 of which every positive one counts as relevant.
        k: number of first places, >= 1.
        ties: order of equal scores; `pessimistic` puts relevant items last.
        query_item: index of the query among its own items, which is left out; -1 for none.
        retrieved: False for an item that was not retrieved: it is at no rank. None where all were.

    Returns:
        One float64 value per query, 0 or 1.

    Raises:
        InputError: as `recall_at_k`.

    Edge cases:
        ties: by the rule; with `mid` a group of equals around k counts if its mean rank is <= k, so that two relevant
        items tied on top are no hit@1 (they are one with `average`). No relevant item: NaN. k > number of items: used
        as is.

    Gradient: none; `losses.recall_at_k_loss` is the surrogate.

    Cost: as `recall_at_k`.

    Reference:
        [ohsong2016lifted] and after it all of metric learning report it under the name recall@k.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.5, 0.1, -0.4]])
        >>> hit_at_k(scores, torch.tensor([[True, False, True, False]]), k=1)
        tensor([1.], dtype=torch.float64)
    """
    return of_ranks.hit_at_k(
        ranks_from_scores(scores, relevance, ties=ties, query_item=query_item, retrieved=retrieved), k=k
    )


def precision_at_k(
    scores: Shaped[Tensor, "query item"],
    relevance: Shaped[Tensor, "query item"],
    *,
    k: int,
    ties: Ties = "pessimistic",
    query_item: Int[Tensor, "query"] | None = None,
    retrieved: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, "query"]:
    """Share of the first k places that hold a relevant item (exact).

        min(#{x: r[x] <= k}, k) / k

    Args:
        scores: higher is ranked earlier; any real numbers.
        relevance: bool, or gains >= 0 of which every positive one counts as relevant.
        k: number of first places, >= 1.
        ties: order of equal scores; `pessimistic` puts relevant items last.
        query_item: index of the query among its own items, which is left out; -1 for none.
        retrieved: False for an item that was not retrieved: it is at no rank. None where all were.

    Returns:
        One float64 value per query, in [0, min(p, k) / k].

    Raises:
        InputError: as `recall_at_k`.

    Edge cases:
        ties: by the rule; `mid` can put more than k items at ranks <= k, hence the cap. No relevant item: NaN.
        k > number of items: used as is, missing places count as not relevant.

    Gradient: none; `losses.precision_at_k_loss` has one.

    Cost: as `recall_at_k`.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.5, 0.1, -0.4]])
        >>> precision_at_k(scores, torch.tensor([[True, False, True, False]]), k=4)
        tensor([0.5000], dtype=torch.float64)
    """
    return of_ranks.precision_at_k(
        ranks_from_scores(scores, relevance, ties=ties, query_item=query_item, retrieved=retrieved), k=k
    )


def r_precision(
    scores: Shaped[Tensor, "query item"],
    relevance: Shaped[Tensor, "query item"],
    *,
    ties: Ties = "pessimistic",
    query_item: Int[Tensor, "query"] | None = None,
    retrieved: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, "query"]:
    """Precision (and recall) at p, the query's own number of relevant items (exact).

        #{x: r[x] <= p} / p

    Args:
        scores: higher is ranked earlier; any real numbers.
        relevance: bool, or gains >= 0 of which every positive one counts as relevant.
        ties: order of equal scores; `pessimistic` puts relevant items last.
        query_item: index of the query among its own items, which is left out; -1 for none.
        retrieved: False for an item that was not retrieved: it is at no rank. None where all were.

    Returns:
        One float64 value per query, in [0, 1].

    Raises:
        InputError: as `recall_at_k`.

    Edge cases:
        ties: by the rule. No relevant item: NaN.

    Gradient: none.

    Cost: as `recall_at_k`.

    Reference:
        [buckley2000measure]

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.5, 0.1, -0.4]])
        >>> r_precision(scores, torch.tensor([[True, False, True, False]]))
        tensor([0.5000], dtype=torch.float64)
    """
    return of_ranks.r_precision(
        ranks_from_scores(scores, relevance, ties=ties, query_item=query_item, retrieved=retrieved)
    )


def reciprocal_rank(
    scores: Shaped[Tensor, "query item"],
    relevance: Shaped[Tensor, "query item"],
    *,
    k: int | None = None,
    ties: Ties = "pessimistic",
    query_item: Int[Tensor, "query"] | None = None,
    retrieved: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, "query"]:
    """1 / rank of the first relevant item (exact); its mean over queries is MRR.

        1 / min_x r[x], 0 where that is beyond k

    Args:
        scores: higher is ranked earlier; any real numbers.
        relevance: bool, or gains >= 0 of which every positive one counts as relevant.
        k: number of first places that count, >= 1; None for all.
        ties: order of equal scores; `pessimistic` puts relevant items last.
        query_item: index of the query among its own items, which is left out; -1 for none.
        retrieved: False for an item that was not retrieved: it is at no rank. None where all were.

    Returns:
        One float64 value per query, in (0, 1], with a k in [0, 1].

    Raises:
        InputError: as `recall_at_k`.

    Edge cases:
        ties: by the rule. No relevant item: NaN.

    Gradient: none; `losses.reciprocal_rank_loss` has one.

    Cost: as `recall_at_k`.

    Reference:
        [voorhees1999trec]

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.5, 0.1, -0.4]])
        >>> reciprocal_rank(scores, torch.tensor([[False, True, False, True]]))
        tensor([0.5000], dtype=torch.float64)
    """
    ranks = ranks_from_scores(scores, relevance, ties=ties, query_item=query_item, retrieved=retrieved)
    return of_ranks.reciprocal_rank(ranks, k=k)


def ndcg(
    scores: Shaped[Tensor, "query item"],
    relevance: Shaped[Tensor, "query item"],
    *,
    k: int | None = None,
    gains: Gains = "linear",
    ties: Ties = "pessimistic",
    query_item: Int[Tensor, "query"] | None = None,
    retrieved: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, "query"]:
    """Discounted gain of the ranking over that of the best possible ranking (exact).

        sum_{x: r[x] <= k} gain[x] / log2(1 + r[x])  /  the same of the ranking by gain

    gain is the relevance (`linear`, as in trec_eval) or 2^relevance - 1 (`exponential`).

    Args:
        scores: higher is ranked earlier; any real numbers.
        relevance: bool, or grades >= 0.
        k: number of first places that count, >= 1; None for all.
        gains: `linear` or `exponential`.
        ties: order of equal scores; `pessimistic` puts items of smaller gain first.
        query_item: index of the query among its own items, which is left out; -1 for none.
        retrieved: False for an item that was not retrieved: it is at no rank. None where all were.

    Returns:
        One float64 value per query, in [0, 1].

    Raises:
        InputError: as `recall_at_k`.

    Edge cases:
        ties: by the rule; with `mid` and k the value is capped at 1, as a group of equals around k counts whole.
        No relevant item: NaN. k > number of items: used as is.

    Gradient: none; `losses.ndcg_loss` has one.

    Cost: as `recall_at_k`.

    Differs from other libraries:
        scikit-learn's `ndcg_score` has the ties of `average`, and gives 0 where nothing is relevant.

    Reference:
        [jarvelin2002ndcg]

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.5, 0.1]])
        >>> ndcg(scores, torch.tensor([[0.0, 1.0, 3.0]]))
        tensor([0.5869], dtype=torch.float64)
    """
    ranks = ranks_from_scores(scores, relevance, ties=ties, query_item=query_item, retrieved=retrieved)
    return of_ranks.ndcg(ranks, k=k, gains=gains)


def _any_within(settings: Mapping[str, Any]) -> str:
    k = settings["k"]
    place = "at rank 1" if k == 1 else f"within the first {k}"
    return f"any relevant item {place} (metric learning's recall@{k})"


def _share_within(settings: Mapping[str, Any]) -> str:
    k = settings["k"]
    return f"share of the relevant items within the first {k} (metric learning's recall@{k} is hit@{k})"


FACTS = (
    ranked(hit_at_k, _any_within, aliases={"recall@k": {}, "hit@k": {}}),
    ranked(ndcg),
    ranked(precision_at_k, aliases={"precision@k": {}}),
    ranked(r_precision),
    ranked(recall_at_k, _share_within, short="recall_at_{k}"),
    ranked(reciprocal_rank, aliases={"mrr": {}}),
)

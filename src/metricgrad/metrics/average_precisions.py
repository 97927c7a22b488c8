"""Exact average precision of scored items, whole, cut at k and cut at the number of relevant items.

Scores, relevance, ties and edge cases are those of `retrieval.py`.
"""

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from metricgrad.metrics import of_ranks
from metricgrad.metrics.query_rows import ranked
from metricgrad.metrics.ranks import Ties, ranks_from_scores

__all__ = ["average_precision", "average_precision_at_r"]


def average_precision(
    scores: Shaped[Tensor, "query item"],
    relevance: Shaped[Tensor, "query item"],
    *,
    k: int | None = None,
    ties: Ties = "pessimistic",
    query_item: Int[Tensor, "query"] | None = None,
    retrieved: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, "query"]:
    """Mean over the relevant items of the precision at their ranks (exact); its mean over queries is mAP.

        (1 / p) sum_{x: r[x] <= k} rP[x] / r[x]      rP: rank among the relevant items, r: rank among all

    p is the number of relevant items. With a k a relevant item beyond it adds 0 and stays in p (trec_eval's map_cut).

    Args:
        scores: higher is ranked earlier; any real numbers.
        relevance: bool, or gains >= 0 of which every positive one counts as relevant.
        k: number of first places that count, >= 1; None for all.
        ties: order of equal scores; `pessimistic` puts relevant items last. `binary_average_precision` has the
            reading of scikit-learn instead (equal scores form one threshold).
        query_item: index of the query among its own items, which is left out; -1 for none.
        retrieved: False for an item that was not retrieved: it is at no rank. None where all were.

    Returns:
        One float64 value per query, in (0, 1], with a k in [0, min(p, k) / p].

    Raises:
        InputError: as `recall_at_k`.

    Edge cases:
        ties: by the rule, for r and rP alike. No relevant item: NaN.

    Gradient: none; `losses.average_precision_loss` has one.

    Cost: as `recall_at_k`.

    Reference:
        [manning2008retrieval]; as a ratio of two ranks [brown2020smoothap] equation 1.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.5, 0.1, -0.4]])
        >>> average_precision(scores, torch.tensor([[True, False, False, True]]))
        tensor([0.7500], dtype=torch.float64)
    """
    ranks = ranks_from_scores(scores, relevance, ties=ties, query_item=query_item, retrieved=retrieved)
    return of_ranks.average_precision(ranks, k=k)


def average_precision_at_r(
    scores: Shaped[Tensor, "query item"],
    relevance: Shaped[Tensor, "query item"],
    *,
    ties: Ties = "pessimistic",
    query_item: Int[Tensor, "query"] | None = None,
    retrieved: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, "query"]:
    """Mean over the first R places of the precision at those that hold a relevant item (exact): MAP@R.

        (1 / R) sum_{i <= R} precision(i) [place i is relevant]  =  (1 / R) sum_{x: r[x] <= R} rP[x] / r[x]

    R is the query's own number of relevant items. Unlike `average_precision` it counts only places that a perfect
    ranking would fill; unlike `r_precision` it asks for the best order within them.

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
        ties: by the rule. No relevant item: NaN. One relevant item: 1 where it is first, else 0.

    Gradient: none; `losses.average_precision_loss` is the surrogate of the whole average precision.

    Cost: as `recall_at_k`.

    Reference:
        [musgrave2020reality] equation 4.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.5, 0.1, -0.4]])
        >>> average_precision_at_r(scores, torch.tensor([[True, False, False, True]]))
        tensor([0.5000], dtype=torch.float64)
    """
    return of_ranks.average_precision_at_r(
        ranks_from_scores(scores, relevance, ties=ties, query_item=query_item, retrieved=retrieved)
    )


FACTS = (
    ranked(average_precision, aliases={"map": {}}),
    ranked(average_precision_at_r, short="map@r", aliases={"map@r": {}}),
)

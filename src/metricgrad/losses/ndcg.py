"""Normalised discounted cumulative gain as a loss: gains of the relevant items, discounted by the log of the rank.

Helps where relevance is graded, or where the top counts more but the rest still counts. With binary relevance and
few positives it behaves much like smooth AP.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, Whole, describe, fail, finite_number, positive_number, require_ks
from metricgrad._safe import ratio
from metricgrad.relax.cutoff import cutoff_temperatures
from metricgrad.relax.rank import PositiveRanks
from metricgrad.relax.step import logistic_step

__all__ = ["ndcg_loss"]

STANDS_FOR = ("ndcg",)
"""Metrics that it is a surrogate of."""


def ndcg_loss(
    ranks: PositiveRanks,
    *,
    gains: Float[Tensor, "query positive"] | None = None,
    k: Whole | None = None,
    cutoff_temperature: Number = 1.0,
    offset: Number = 0.0,
) -> Float[Tensor, " query"]:
    """Return 1 - NDCG per query (surrogate).

    loss[q] = 1 - (sum over positives x of w[q, x] gain[q, x] / log2(1 + r[q, x])) / ideal[q], with w = 1, or
    sigma((k + offset - r) / cutoff_temperature) where k is given; ideal: the gains in descending order at ranks
    1, 2, ... (the first k of them where k is given).

    Args:
        ranks: soft ranks of the positives, from `positive_ranks` with a positive temperature.
        gains: >= 0, of the positives in the order of their item numbers, padded like the ranks; None for 1 each.
            Grades are gains only after the map of your choice, e.g. 2^grade - 1.
        k: cut-off, a whole number >= 1; None for the whole list.
        cutoff_temperature: width of the soft cut-off in ranks, > 0; used with k only.
        offset: with 0 a positive exactly at rank k counts 1/2; with 0.5 the switch stands between two ranks.

    Returns:
        One value per query, lower is better; in [0, 1] without k.

    Raises:
        InputError: gains of another shape than the ranks, negative, or that ask for a gradient; k < 1; a cut-off
            temperature <= 0.

    Edge cases:
        A query without positives, or whose gains are all 0, has 0 and zero gradient. `mean_valid(loss, ranks)`
        counts the latter kind as a loss of 0.

    Gradient:
        Exact for the surrogate, by the ranks; the gains carry none.

    Cost:
        O(query x positive log positive).

    Differs from the paper:
        The sum runs over positives only, since all others have gain 0.

    Reference:
        [jarvelin2002ndcg] for the metric; [qin2010approximation] for the smooth ranks in it.

    Example:
        >>> from metricgrad.relax.rank import positive_ranks_from_scores
        >>> relevance = torch.tensor([[True, False, True]])
        >>> ranks = positive_ranks_from_scores(torch.tensor([[0.9, 0.8, 0.1]]), relevance, temperature=0.01)
        >>> ndcg_loss(ranks, gains=torch.tensor([[1.0, 3.0]]))
        tensor([0.3115])
    """
    gains = _gains(ranks, gains)
    gained = gains / torch.log2(1 + ranks.among_all)  # [query, positive]
    ideal = torch.sort(gains, dim=1, descending=True).values
    places = torch.arange(1, ideal.shape[1] + 1, dtype=ideal.dtype, device=ideal.device)
    ideal = ideal / torch.log2(1 + places)
    if k is not None:
        (k,) = require_ks("ndcg_loss", k)
        (temperature,) = cutoff_temperatures("ndcg_loss", cutoff_temperature, (k,))
        offset = finite_number("ndcg_loss", "offset", offset)
        gained = gained * logistic_step((k + offset - ranks.among_all) / temperature)
        ideal = ideal[:, :k]
    ideal = ideal.sum(1)
    return 1 - ratio(gained.sum(1), ideal, otherwise=1)


def _gains(ranks: PositiveRanks, gains: Tensor | None) -> Tensor:
    """Return the gains in the type of the ranks, 0 where there is no positive."""
    if gains is None:
        return ranks.valid.to(ranks.among_all.dtype)
    if gains.shape != ranks.valid.shape:
        raise fail(
            "ndcg_loss",
            f"gains are {describe(gains)} and the ranks {describe(ranks.among_all)}",
            "one gain per positive (query, positive)",
        )
    if gains.requires_grad:
        raise fail(
            "ndcg_loss",
            "gains ask for a gradient",
            "gains without one: they are given, not learned",
            "Pass gains.detach().",
        )
    gains = torch.where(ranks.valid, gains.to(ranks.among_all), 0)
    positive_number("ndcg_loss", "the smallest gain", float(gains.min()) if gains.numel() else 0.0, zero=True)
    return gains

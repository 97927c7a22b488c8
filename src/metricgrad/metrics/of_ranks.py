"""Retrieval metrics as functions of the exact ranks of the relevant items: where each formula stands once.

`retrieval.py` gives them scores, the records give them the ranks of embeddings. All of them are exact, have no
gradient, return float64 [query] and NaN for a query without a relevant item: it is undefined, a summary skips it
and counts it. Names and settings are those of `retrieval.py`. Ranks with `blocks` (`ties="average"`) give the mean over
all orders of tied items, others the value at their ranks.
"""

from numbers import Integral
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import describe, fail, require_ks
from metricgrad.metrics import tied
from metricgrad.metrics.ranks import ExactRanks

__all__ = [
    "average_precision",
    "average_precision_at_r",
    "hit_at_k",
    "ndcg",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "reciprocal_rank",
]

Normalizer = Literal["positives", "min_k_positives"]
Gains = Literal["linear", "exponential"]


def recall_at_k(ranks: ExactRanks, *, k: int, normalizer: Normalizer = "positives") -> Float[Tensor, "query"]:
    """Share of the relevant items within the first k."""
    hits, positives = _hits(ranks, _cutoff("recall_at_k", k))
    if normalizer == "positives":
        return hits / positives
    if normalizer != "min_k_positives":
        raise fail("recall_at_k", f"normalizer is {normalizer!r}", "'positives' or 'min_k_positives'")
    return hits.clamp(max=k) / positives.clamp(max=k)


def hit_at_k(ranks: ExactRanks, *, k: int) -> Float[Tensor, "query"]:
    """1 where any relevant item is within the first k."""
    hits, positives = _hits(ranks, _cutoff("hit_at_k", k))
    if ranks.blocks is not None:
        hits = tied.chance_of_hit(ranks.blocks, ranks.valid, k)
    return hits.clamp(max=1) * (positives / positives)


def precision_at_k(ranks: ExactRanks, *, k: int) -> Float[Tensor, "query"]:
    """Share of the first k places that hold a relevant item."""
    hits, positives = _hits(ranks, _cutoff("precision_at_k", k))
    return hits.clamp(max=k) / k * (positives / positives)


def r_precision(ranks: ExactRanks) -> Float[Tensor, "query"]:
    """Share of the first p places that hold a relevant item, p the number of relevant items."""
    hits, positives = _hits(ranks, ranks.valid.sum(1, keepdim=True).double())
    return hits / positives


def average_precision(ranks: ExactRanks, *, k: int | None = None) -> Float[Tensor, "query"]:
    """Mean over the relevant items of the precision at their ranks; 0 for those beyond k."""
    return _mean_precision(ranks, torch.inf if k is None else _cutoff("average_precision", k))


def average_precision_at_r(ranks: ExactRanks) -> Float[Tensor, "query"]:
    """The same, 0 for those beyond the number of relevant items."""
    return _mean_precision(ranks, ranks.valid.sum(1, keepdim=True).double())


def reciprocal_rank(ranks: ExactRanks, *, k: int | None = None) -> Float[Tensor, "query"]:
    """1 / rank of the first relevant item; 0 beyond k."""
    limit = torch.inf if k is None else _cutoff("reciprocal_rank", k)
    if ranks.blocks is not None:
        expected = tied.expected_reciprocal(ranks.blocks, ranks.valid, limit)
        return torch.where(ranks.valid.any(1), expected, torch.nan)
    best = torch.where(ranks.valid & (ranks.among_all <= limit), 1 / ranks.among_all, 0.0)
    best = torch.cat([best, best.new_zeros(len(best), 1)], 1)  # a column for tables without a positive
    return torch.where(ranks.valid.any(1), best.amax(1), torch.nan)


def ndcg(ranks: ExactRanks, *, k: int | None = None, gains: Gains = "linear") -> Float[Tensor, "query"]:
    """Discounted gain of the ranking over that of the best ranking."""
    limit = torch.inf if k is None else _cutoff("ndcg", k)
    if gains not in get_args(Gains):
        raise fail("ndcg", f"gains is {gains!r}", "'linear' or 'exponential'")
    gain = ranks.gain if gains == "linear" else torch.exp2(ranks.gain) - 1
    if ranks.blocks is not None:
        discounted = gain * tied.expected_discount(ranks.blocks, limit)
    else:
        discounted = torch.where(ranks.among_all <= limit, gain / torch.log2(1 + ranks.among_all), 0.0)
    gained = torch.where(ranks.valid, discounted, 0.0).sum(1)
    best_first = gain.sort(dim=1, descending=True).values
    places = torch.arange(1, best_first.shape[1] + 1, dtype=torch.float64, device=best_first.device)
    ideal = torch.where(places <= limit, best_first / torch.log2(1 + places), 0.0).sum(1)
    # With mid ranks a group of equals that straddles k counts whole, which can exceed the ideal.
    return torch.minimum(gained, ideal) / ideal


def _mean_precision(ranks: ExactRanks, limit: float | Float[Tensor, "query 1"]) -> Float[Tensor, "query"]:
    """Mean over the relevant items of the precision at their ranks, 0 beyond the limit."""
    if ranks.blocks is not None:
        precision = tied.expected_precision(ranks.blocks, limit)
    else:
        precision = torch.where(ranks.among_all <= limit, ranks.among_positives / ranks.among_all, 0.0)
    precision = torch.where(ranks.valid & ranks.among_all.isfinite(), precision, 0.0)
    return precision.sum(1) / ranks.valid.sum(1)


def _cutoff(caller: str, k: int) -> int:
    """Return k as an int; InputError unless it is one whole number >= 1."""
    if not isinstance(k, Integral):
        raise fail(caller, f"k is {describe(k)}", "one whole number >= 1")
    return require_ks(caller, (int(k) if not isinstance(k, bool) else k,))[0]


def _hits(ranks: ExactRanks, k: int | Float[Tensor, "query 1"]) -> tuple[Tensor, Tensor]:
    """Return for each query the number of relevant items within the first k, and the number of them all."""
    if ranks.blocks is None:
        hits = (ranks.valid & (ranks.among_all <= k)).sum(1).double()
    else:
        hits = torch.where(ranks.valid, tied.share_within(ranks.blocks, k), 0.0).sum(1)
    return hits, ranks.valid.sum(1).double()

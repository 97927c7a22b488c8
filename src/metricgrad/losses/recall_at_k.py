"""Recall@k as a loss: the share of the relevant items within the first k, softened.

Problem: recall@k counts, and counts have no gradient. Idea: soft ranks of the positives, a soft cut-off at k, the
mean over several k. Helps where an embedding already ranks fairly well and the reported figure is recall or hit
rate; large batches help. Does not help with fewer than two samples per class in a batch or with noisy labels, whose
hard positives dominate it. It is the share of relevant items found, not `hit_at_k` (any found): report the exact
metric beside it.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, Whole, fail, require_ks
from metricgrad._safe import share
from metricgrad.relax.cutoff import cutoff_temperatures, soft_counts
from metricgrad.relax.rank import PositiveRanks

__all__ = ["recall_at_k_loss"]

STANDS_FOR = ("hit_at_k", "recall_at_k")
"""Metrics that it is a surrogate of."""


def recall_at_k_loss(
    ranks: PositiveRanks,
    *,
    k: Whole | Sequence[Whole] = (1, 2, 4, 8, 16),
    cutoff_temperature: Number | Sequence[Number] = 1.0,
    normalizer: Literal["min_k_positives", "positives"] = "min_k_positives",
    cap: bool = True,
    offset: Number = 0.0,
    clamp_k: bool = False,
) -> Float[Tensor, " query"]:
    """Return 1 - recall@k averaged over the given k, per query (surrogate).

    count[q, k] = sum over positives x of sigma((k + offset - r[q, x]) / cutoff_temperature);
    loss[q] = 1 - mean over k of min(count[q, k], k) / min(k, p), with p the number of positives of q.

    Args:
        ranks: soft ranks of the positives, from `positive_ranks` with a positive temperature.
        k: one or several cut-offs, whole numbers >= 1.
        cutoff_temperature: width of the soft cut-off in ranks, > 0; one for all, or one per k. Larger ones let
            more positives pull. 1 is the official code's value.
        normalizer: "min_k_positives" divides by min(k, p), "positives" by p.
        cap: limit the soft count at k. Without it many tied positives exceed 1 and the loss turns negative.
        offset: with 0 a positive exactly at rank k counts 1/2; with 0.5 the switch stands between two ranks.
        clamp_k: lower every k to the number of ranked items (official code).

    Returns:
        One value per query, lower is better, in [0, 1] with the cap on. It does not reach 0: a perfect ranking of
        3 positives has 0.1021 with the defaults.

    Raises:
        InputError: no k or k < 1; a cut-off temperature <= 0 or of another number than k; an unknown normalizer.

    Edge cases:
        A query without positives has 0 and zero gradient; `mean_valid` leaves it out. k beyond the number of items
        is used as it is unless `clamp_k`.

    Gradient:
        Exact for the surrogate. 0 where the cap is active and 1/2 of it exactly at the cap; falls like
        exp(-gap / temperature) for items far from a positive and like exp(-|k - r|) for positives far from k.

    Cost:
        O(query x positive) for each k.

    Differs from the paper:
        The official code keeps the query among the items (`RankingLoss(preset="official")`), and a former release
        used cutoff_temperature = k.

    Reference:
        [patel2022recall] section 3.

    Example:
        >>> from metricgrad.relax.rank import positive_ranks_from_scores
        >>> scores = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
        >>> relevance = torch.tensor([[True, False, True, False]])
        >>> ranks = positive_ranks_from_scores(scores, relevance, temperature=0.01)
        >>> recall_at_k_loss(ranks, k=(1, 2, 4))
        tensor([0.3463])
    """
    ks = require_ks("recall_at_k_loss", k)
    temperatures = cutoff_temperatures("recall_at_k_loss", cutoff_temperature, ks)
    if normalizer not in ("min_k_positives", "positives"):
        raise fail("recall_at_k_loss", f"normalizer is {normalizer!r}", "'min_k_positives' or 'positives'")
    positives = ranks.valid.sum(1, keepdim=True).to(ranks.among_all.dtype)  # [query, 1]
    cutoffs = torch.tensor(ks, dtype=positives.dtype, device=positives.device).expand(len(positives), -1)
    if clamp_k:
        cutoffs = torch.minimum(cutoffs, ranks.competitors.unsqueeze(1).to(cutoffs.dtype))
    counts = soft_counts(ranks, cutoffs, temperatures, offset=offset)  # [query, k]
    if cap:
        counts = torch.minimum(counts, cutoffs)  # its gradient is shared evenly at the tie
    possible = torch.minimum(cutoffs, positives) if normalizer == "min_k_positives" else positives
    recall = share(counts, possible).mean(1)
    return torch.where(positives.squeeze(1) > 0, 1 - recall, 0)

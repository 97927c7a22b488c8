"""Precision@k as a loss: the share of the first k items that is relevant, softened.

Helps where a fixed number of results is shown and each counts. A query with fewer than k relevant items cannot
reach precision 1, so that its loss has a floor: recall@k suits small classes better.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, Whole, require_ks
from metricgrad.relax.cutoff import cutoff_temperatures, soft_counts
from metricgrad.relax.rank import PositiveRanks

__all__ = ["precision_at_k_loss"]

STANDS_FOR = ("precision_at_k",)
"""Metrics that it is a surrogate of."""


def precision_at_k_loss(
    ranks: PositiveRanks,
    *,
    k: Whole | Sequence[Whole] = (1, 2, 4, 8, 16),
    cutoff_temperature: Number | Sequence[Number] = 1.0,
    cap: bool = True,
    offset: Number = 0.0,
) -> Float[Tensor, " query"]:
    """Return 1 - precision@k averaged over the given k, per query (surrogate).

    loss[q] = 1 - mean over k of min(sum over positives x of sigma((k + offset - r[q, x]) / cutoff_temperature), k) / k.

    Args:
        ranks: soft ranks of the positives, from `positive_ranks` with a positive temperature.
        k: one or several cut-offs, whole numbers >= 1.
        cutoff_temperature: width of the soft cut-off in ranks, > 0; one for all, or one per k.
        cap: limit the soft count at k.
        offset: with 0 a positive exactly at rank k counts 1/2; with 0.5 the switch stands between two ranks.

    Returns:
        One value per query, lower is better, in [0, 1] with the cap on.

    Raises:
        InputError: no k or k < 1; a cut-off temperature <= 0 or of another number than k.

    Edge cases:
        A query without positives has 0 and zero gradient; k beyond the number of items is used as it is.

    Gradient:
        Exact for the surrogate; 0 where the cap is active, 1/2 of it exactly at the cap.

    Cost:
        O(query x positive) for each k.

    Differs from the paper:
        A variant of the recall loss with k as the divisor; the paper has recall only.

    Reference:
        [patel2022recall] section 3, for the soft count.

    Example:
        >>> from metricgrad.relax.rank import positive_ranks_from_scores
        >>> relevance = torch.tensor([[True, True, False]])
        >>> ranks = positive_ranks_from_scores(torch.tensor([[0.9, 0.8, 0.1]]), relevance, temperature=0.01)
        >>> precision_at_k_loss(ranks, k=1, cutoff_temperature=0.1)
        tensor([0.5001])
    """
    ks = require_ks("precision_at_k_loss", k)
    temperatures = cutoff_temperatures("precision_at_k_loss", cutoff_temperature, ks)
    cutoffs = torch.tensor(ks, dtype=ranks.among_all.dtype, device=ranks.among_all.device)
    cutoffs = cutoffs.expand(len(ranks.valid), -1)  # [query, k]
    counts = soft_counts(ranks, cutoffs, temperatures, offset=offset)
    if cap:
        counts = torch.minimum(counts, cutoffs)  # its gradient is shared evenly at the tie
    return torch.where(ranks.valid.any(1), 1 - (counts / cutoffs).mean(1), 0)

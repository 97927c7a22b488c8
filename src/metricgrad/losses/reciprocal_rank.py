"""Reciprocal rank as a loss: one over the rank of the best relevant item, softened.

Helps where the user wants one good answer and reads from the top. Only the best positive of a query is pulled, so
that the others are left where they are; use recall@k or average precision where all of them count.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad.relax.rank import PositiveRanks

__all__ = ["reciprocal_rank_loss"]

STANDS_FOR = ("reciprocal_rank",)
"""Metrics that it is a surrogate of."""


def reciprocal_rank_loss(ranks: PositiveRanks) -> Float[Tensor, " query"]:
    """Return 1 - reciprocal rank per query (surrogate).

    loss[q] = 1 - 1 / min over positives x of r[q, x].

    Args:
        ranks: soft ranks of the positives, from `positive_ranks` with a positive temperature.

    Returns:
        One value per query in [0, 1), lower is better; goes to 0 where a positive stands clearly first.

    Edge cases:
        A query without positives has 0 and zero gradient; `mean_valid` leaves it out.

    Gradient:
        Exact for the surrogate; to the best positive only, shared evenly among equally good ones.

    Cost:
        O(query x positive).

    Differs from the paper:
        Smooth ranks in the reciprocal rank are older than the recall surrogate; the rank is the one of that paper.

    Reference:
        [patel2022recall] section 3, for the soft rank; [qin2010approximation] for the principle.

    Example:
        >>> from metricgrad.relax.rank import positive_ranks_from_scores
        >>> relevance = torch.tensor([[False, True, True]])
        >>> ranks = positive_ranks_from_scores(torch.tensor([[0.9, 0.8, 0.1]]), relevance, temperature=0.01)
        >>> reciprocal_rank_loss(ranks)
        tensor([0.5000])
    """
    best = torch.where(ranks.valid, ranks.among_all, torch.inf).amin(1)
    return torch.where(ranks.valid.any(1), 1 - 1 / best, 0)

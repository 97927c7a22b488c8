"""Average precision as a loss (smooth AP): precision at every relevant item, averaged, softened.

Problem: AP depends on the order of all items. Idea: at a relevant item the precision is its rank among the relevant
items divided by its rank among all, and both ranks are softened. Helps where the whole list of relevant items
counts, not only the first few; with a large number of items the many far ones add up to a bias of the soft ranks.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._safe import ratio
from metricgrad.relax.rank import PositiveRanks

__all__ = ["average_precision_loss"]

STANDS_FOR = ("average_precision", "binary_average_precision")
"""Metrics that it is a surrogate of."""


def average_precision_loss(ranks: PositiveRanks) -> Float[Tensor, " query"]:
    """Return 1 - average precision per query (surrogate: smooth AP).

    loss[q] = 1 - (1 / p) sum over positives x of rank_among_positives[q, x] / rank_among_all[q, x].

    Args:
        ranks: soft ranks of the positives, from `positive_ranks` with a positive temperature.

    Returns:
        One value per query in [0, 1], lower is better, 0 for a perfect ranking as the temperature goes to 0.

    Edge cases:
        A query without positives has 0 and zero gradient; `mean_valid` leaves it out.

    Gradient:
        Exact for the surrogate; through both ranks.

    Cost:
        O(query x positive), and O(query x positive^2) for the ranks among the positives.

    Differs from the paper:
        The official code keeps the query among the items and among its positives, which adds a constant perfect
        hit: `RankingLoss(average_precision_loss, preset="official", temperature=0.01)`.

    Reference:
        [brown2020smoothap] section 3.

    Example:
        >>> from metricgrad.relax.rank import positive_ranks_from_scores
        >>> scores = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
        >>> relevance = torch.tensor([[True, False, True, False]])
        >>> average_precision_loss(positive_ranks_from_scores(scores, relevance, temperature=0.01))
        tensor([0.1667])
    """
    precisions = torch.where(ranks.valid, ranks.among_positives / ranks.among_all, 0)  # [query, positive]
    positives = ranks.valid.sum(1)
    return 1 - ratio(precisions.sum(1), positives, otherwise=1)

"""From embeddings and labels to soft ranks, and from a loss of ranks to a training criterion."""

from metricgrad.ranking.criterion import RankingLoss as RankingLoss
from metricgrad.ranking.ranks import positive_ranks as positive_ranks

__all__ = ["RankingLoss", "positive_ranks"]

"""Differentiable losses, one idea a file, one value per unit, lower is better."""

from metricgrad.losses.average_precision import average_precision_loss as average_precision_loss
from metricgrad.losses.contrastive import supcon_loss as supcon_loss
from metricgrad.losses.generalized_cross_entropy import (
    generalized_cross_entropy_loss as generalized_cross_entropy_loss,
)
from metricgrad.losses.ndcg import ndcg_loss as ndcg_loss
from metricgrad.losses.precision_at_k import precision_at_k_loss as precision_at_k_loss
from metricgrad.losses.recall_at_k import recall_at_k_loss as recall_at_k_loss
from metricgrad.losses.reciprocal_rank import reciprocal_rank_loss as reciprocal_rank_loss

__all__ = [
    "average_precision_loss",
    "generalized_cross_entropy_loss",
    "ndcg_loss",
    "precision_at_k_loss",
    "recall_at_k_loss",
    "reciprocal_rank_loss",
    "supcon_loss",
]

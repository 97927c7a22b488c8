"""Differentiable losses, one idea a file, lower is better: one value per unit, or one for a whole batch.

A loss that remembers something between calls has a class beside its function. `relaxed` and `interpolated` make losses
of a metric that was written once in comparisons.
"""

from metricgrad.losses.active_passive import active_passive_loss as active_passive_loss
from metricgrad.losses.average_precision import average_precision_loss as average_precision_loss
from metricgrad.losses.balanced_softmax import balanced_softmax_loss as balanced_softmax_loss
from metricgrad.losses.circle import circle_loss as circle_loss
from metricgrad.losses.circle_class import CircleClassLoss as CircleClassLoss
from metricgrad.losses.circle_class import circle_class_loss as circle_class_loss
from metricgrad.losses.class_tree import ClassTree as ClassTree
from metricgrad.losses.class_weighted_cross_entropy import (
    class_weighted_cross_entropy_loss as class_weighted_cross_entropy_loss,
)
from metricgrad.losses.complement_cross_entropy import (
    complement_cross_entropy_loss as complement_cross_entropy_loss,
)
from metricgrad.losses.complement_entropy import complement_entropy_loss as complement_entropy_loss
from metricgrad.losses.contrastive import supcon_loss as supcon_loss
from metricgrad.losses.domain_mixup import domain_mixup_loss as domain_mixup_loss
from metricgrad.losses.expected_cost import expected_cost_loss as expected_cost_loss
from metricgrad.losses.extended_supcon import ExtendedSupConLoss as ExtendedSupConLoss
from metricgrad.losses.extended_supcon import extended_supcon_loss as extended_supcon_loss
from metricgrad.losses.focal import focal_loss as focal_loss
from metricgrad.losses.generalized_cross_entropy import (
    generalized_cross_entropy_loss as generalized_cross_entropy_loss,
)
from metricgrad.losses.guided_complement_entropy import (
    guided_complement_entropy_loss as guided_complement_entropy_loss,
)
from metricgrad.losses.hardest_triplet import hardest_triplet_loss as hardest_triplet_loss
from metricgrad.losses.hierarchical_complement_entropy import (
    hierarchical_complement_entropy_loss as hierarchical_complement_entropy_loss,
)
from metricgrad.losses.info_nce import info_nce_loss as info_nce_loss
from metricgrad.losses.interpolated import interpolated as interpolated
from metricgrad.losses.lovasz_hinge import lovasz_hinge_loss as lovasz_hinge_loss
from metricgrad.losses.lovasz_softmax import lovasz_softmax_loss as lovasz_softmax_loss
from metricgrad.losses.mean_absolute_error import mean_absolute_error_loss as mean_absolute_error_loss
from metricgrad.losses.ndcg import ndcg_loss as ndcg_loss
from metricgrad.losses.precision_at_k import precision_at_k_loss as precision_at_k_loss
from metricgrad.losses.recall_at_k import recall_at_k_loss as recall_at_k_loss
from metricgrad.losses.recall_weighted_cross_entropy import (
    RecallWeightedCrossEntropyLoss as RecallWeightedCrossEntropyLoss,
)
from metricgrad.losses.recall_weighted_cross_entropy import (
    recall_weighted_cross_entropy_loss as recall_weighted_cross_entropy_loss,
)
from metricgrad.losses.reciprocal_rank import reciprocal_rank_loss as reciprocal_rank_loss
from metricgrad.losses.relaxed import relaxed as relaxed
from metricgrad.losses.slope import SlopeLoss as SlopeLoss
from metricgrad.losses.slope import slope_loss as slope_loss
from metricgrad.losses.soft_confusion import SoftConfusionLoss as SoftConfusionLoss
from metricgrad.losses.soft_confusion import soft_confusion_loss as soft_confusion_loss
from metricgrad.losses.soft_counts import soft_counts_loss as soft_counts_loss
from metricgrad.losses.structural_similarity import (
    structural_similarity_loss as structural_similarity_loss,
)
from metricgrad.losses.symmetric_cross_entropy import (
    symmetric_cross_entropy_loss as symmetric_cross_entropy_loss,
)

__all__ = [
    "CircleClassLoss",
    "ClassTree",
    "ExtendedSupConLoss",
    "RecallWeightedCrossEntropyLoss",
    "SlopeLoss",
    "SoftConfusionLoss",
    "active_passive_loss",
    "average_precision_loss",
    "balanced_softmax_loss",
    "circle_class_loss",
    "circle_loss",
    "class_weighted_cross_entropy_loss",
    "complement_cross_entropy_loss",
    "complement_entropy_loss",
    "domain_mixup_loss",
    "expected_cost_loss",
    "extended_supcon_loss",
    "focal_loss",
    "generalized_cross_entropy_loss",
    "guided_complement_entropy_loss",
    "hardest_triplet_loss",
    "hierarchical_complement_entropy_loss",
    "info_nce_loss",
    "interpolated",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "mean_absolute_error_loss",
    "ndcg_loss",
    "precision_at_k_loss",
    "recall_at_k_loss",
    "recall_weighted_cross_entropy_loss",
    "reciprocal_rank_loss",
    "relaxed",
    "slope_loss",
    "soft_confusion_loss",
    "soft_counts_loss",
    "structural_similarity_loss",
    "supcon_loss",
    "symmetric_cross_entropy_loss",
]

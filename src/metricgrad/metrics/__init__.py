"""Exact metrics, without gradient.

Functions of scores (`hit_at_k`, `average_precision`, `f_beta`, ...), the same over embeddings without the whole
similarity matrix (`retrieval_ranks` and `judged_ranks` with `of_ranks`, `nearest_items`, `knn_classify`), functions of
texts and boxes (`edit_distance`, `rotated_iou`, ...), and `Metric` records that `tune` and the bootstrap use
(`retrieval_metric`, `judged`, `classification_metric`, `sample_metric`, `adapt`, `exact`, `command`, `per_sample`);
`of_kind` lets one read the outputs of a network.
"""

from metricgrad.metrics.adapt import adapt as adapt
from metricgrad.metrics.adapt import metric_calls as metric_calls
from metricgrad.metrics.agreement import cohen_kappa as cohen_kappa
from metricgrad.metrics.agreement import matthews_corrcoef as matthews_corrcoef
from metricgrad.metrics.average_precisions import average_precision as average_precision
from metricgrad.metrics.average_precisions import average_precision_at_r as average_precision_at_r
from metricgrad.metrics.class_costs import expected_cost as expected_cost
from metricgrad.metrics.class_recalls import balanced_accuracy as balanced_accuracy
from metricgrad.metrics.class_recalls import g_mean as g_mean
from metricgrad.metrics.class_shares import jaccard as jaccard
from metricgrad.metrics.class_shares import precision as precision
from metricgrad.metrics.class_shares import recall as recall
from metricgrad.metrics.class_shares import specificity as specificity
from metricgrad.metrics.classification import accuracy as accuracy
from metricgrad.metrics.classification import balanced_error as balanced_error
from metricgrad.metrics.classification import binary_average_precision as binary_average_precision
from metricgrad.metrics.classification import error_rate as error_rate
from metricgrad.metrics.classification import f_beta as f_beta
from metricgrad.metrics.classification import roc_auc as roc_auc
from metricgrad.metrics.command import command as command
from metricgrad.metrics.decoded import of_kind as of_kind
from metricgrad.metrics.decoded import per_sample as per_sample
from metricgrad.metrics.embedded import retrieval_ranks as retrieval_ranks
from metricgrad.metrics.exact import exact as exact
from metricgrad.metrics.judgements import judged as judged
from metricgrad.metrics.label_shares import multilabel_jaccard as multilabel_jaccard
from metricgrad.metrics.label_shares import multilabel_precision as multilabel_precision
from metricgrad.metrics.label_shares import multilabel_recall as multilabel_recall
from metricgrad.metrics.multilabel import hamming_loss as hamming_loss
from metricgrad.metrics.multilabel import multilabel_f_beta as multilabel_f_beta
from metricgrad.metrics.multilabel import subset_accuracy as subset_accuracy
from metricgrad.metrics.names import metric_by_name as metric_by_name
from metricgrad.metrics.names import named_metrics as named_metrics
from metricgrad.metrics.nearest import NearestItems as NearestItems
from metricgrad.metrics.nearest import nearest_items as nearest_items
from metricgrad.metrics.neighbours import KnnPrediction as KnnPrediction
from metricgrad.metrics.neighbours import knn_accuracy as knn_accuracy
from metricgrad.metrics.neighbours import knn_classify as knn_classify
from metricgrad.metrics.neighbours import knn_classify_from_scores as knn_classify_from_scores
from metricgrad.metrics.neighbours import knn_error as knn_error
from metricgrad.metrics.one_vs_rest import macro_average_precision as macro_average_precision
from metricgrad.metrics.one_vs_rest import roc_auc_ovo as roc_auc_ovo
from metricgrad.metrics.one_vs_rest import roc_auc_ovr as roc_auc_ovr
from metricgrad.metrics.over_documents import judged_ranks as judged_ranks
from metricgrad.metrics.overlap import iou as iou
from metricgrad.metrics.overlap import iou_above as iou_above
from metricgrad.metrics.overlap import rotated_iou as rotated_iou
from metricgrad.metrics.overlap import rotated_iou_above as rotated_iou_above
from metricgrad.metrics.probabilities import brier_score as brier_score
from metricgrad.metrics.probabilities import expected_calibration_error as expected_calibration_error
from metricgrad.metrics.probabilities import log_loss as log_loss
from metricgrad.metrics.ranks import ExactRanks as ExactRanks
from metricgrad.metrics.ranks import ranks_from_scores as ranks_from_scores
from metricgrad.metrics.records import classification_metric as classification_metric
from metricgrad.metrics.records import knn_metric as knn_metric
from metricgrad.metrics.records import retrieval_metric as retrieval_metric
from metricgrad.metrics.records import sample_metric as sample_metric
from metricgrad.metrics.retrieval import hit_at_k as hit_at_k
from metricgrad.metrics.retrieval import ndcg as ndcg
from metricgrad.metrics.retrieval import precision_at_k as precision_at_k
from metricgrad.metrics.retrieval import r_precision as r_precision
from metricgrad.metrics.retrieval import recall_at_k as recall_at_k
from metricgrad.metrics.retrieval import reciprocal_rank as reciprocal_rank
from metricgrad.metrics.score_thresholds import partial_roc_auc as partial_roc_auc
from metricgrad.metrics.score_thresholds import precision_at_recall as precision_at_recall
from metricgrad.metrics.score_thresholds import recall_at_precision as recall_at_precision
from metricgrad.metrics.segmentation import dice as dice
from metricgrad.metrics.segmentation import mean_iou as mean_iou
from metricgrad.metrics.sequence import character_error_rate as character_error_rate
from metricgrad.metrics.sequence import edit_distance as edit_distance
from metricgrad.metrics.sequence import sequence_accuracy as sequence_accuracy
from metricgrad.metrics.sequence import total_edit_distance as total_edit_distance
from metricgrad.metrics.sequence import word_edit_distance as word_edit_distance
from metricgrad.metrics.sequence import word_error_rate as word_error_rate

__all__ = [
    "ExactRanks",
    "KnnPrediction",
    "NearestItems",
    "accuracy",
    "adapt",
    "average_precision",
    "average_precision_at_r",
    "balanced_accuracy",
    "balanced_error",
    "binary_average_precision",
    "brier_score",
    "character_error_rate",
    "classification_metric",
    "cohen_kappa",
    "command",
    "dice",
    "edit_distance",
    "error_rate",
    "exact",
    "expected_calibration_error",
    "expected_cost",
    "f_beta",
    "g_mean",
    "hamming_loss",
    "hit_at_k",
    "iou",
    "iou_above",
    "jaccard",
    "judged",
    "judged_ranks",
    "knn_accuracy",
    "knn_classify",
    "knn_classify_from_scores",
    "knn_error",
    "knn_metric",
    "log_loss",
    "macro_average_precision",
    "matthews_corrcoef",
    "mean_iou",
    "metric_by_name",
    "metric_calls",
    "multilabel_f_beta",
    "multilabel_jaccard",
    "multilabel_precision",
    "multilabel_recall",
    "named_metrics",
    "ndcg",
    "nearest_items",
    "of_kind",
    "partial_roc_auc",
    "per_sample",
    "precision",
    "precision_at_k",
    "precision_at_recall",
    "r_precision",
    "ranks_from_scores",
    "recall",
    "recall_at_k",
    "recall_at_precision",
    "reciprocal_rank",
    "retrieval_metric",
    "retrieval_ranks",
    "roc_auc",
    "roc_auc_ovo",
    "roc_auc_ovr",
    "rotated_iou",
    "rotated_iou_above",
    "sample_metric",
    "sequence_accuracy",
    "specificity",
    "subset_accuracy",
    "total_edit_distance",
    "word_edit_distance",
    "word_error_rate",
]

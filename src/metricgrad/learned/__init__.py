"""Learned surrogates: an embedding learns any per-sample metric, and its distance is the loss."""

from metricgrad._types import OutputKind
from metricgrad.learned.embedding import Fit, LearnedSurrogate
from metricgrad.learned.filtered import FilteredSurrogate, filtered_mean, ramp_filter
from metricgrad.learned.kinds.boxes import BoxEncoder, box_features, rotated_boxes, upright_boxes
from metricgrad.learned.kinds.classes import ClassEncoder, classes
from metricgrad.learned.kinds.lines import LineEncoder, lines
from metricgrad.learned.kinds.vectors import VectorEncoder, vectors
from metricgrad.learned.kinds.words import SequenceEncoder, words
from metricgrad.learned.sample_errors import SampleErrors
from metricgrad.learned.trust import Agreement, agreement, kendall_tau_b, sign_agreement

__all__ = [
    "Agreement",
    "BoxEncoder",
    "ClassEncoder",
    "FilteredSurrogate",
    "Fit",
    "LearnedSurrogate",
    "LineEncoder",
    "OutputKind",
    "SampleErrors",
    "SequenceEncoder",
    "VectorEncoder",
    "agreement",
    "box_features",
    "classes",
    "filtered_mean",
    "kendall_tau_b",
    "lines",
    "ramp_filter",
    "rotated_boxes",
    "sign_agreement",
    "upright_boxes",
    "vectors",
    "words",
]

"""Learned surrogates: an embedding learns any per-sample metric, and its distance is the loss."""

from metricgrad._types import OutputKind
from metricgrad.learned.embedding import Fit, LearnedSurrogate
from metricgrad.learned.encoders import (
    BoxEncoder,
    ClassEncoder,
    SequenceEncoder,
    VectorEncoder,
    box_features,
)
from metricgrad.learned.filtered import FilteredSurrogate, filtered_mean, ramp_filter
from metricgrad.learned.kinds import classes, rotated_boxes, upright_boxes, vectors, words
from metricgrad.learned.sample_errors import SampleErrors
from metricgrad.learned.trust import Agreement, agreement, kendall_tau_b, sign_agreement

__all__ = [
    "Agreement",
    "BoxEncoder",
    "ClassEncoder",
    "FilteredSurrogate",
    "Fit",
    "LearnedSurrogate",
    "OutputKind",
    "SampleErrors",
    "SequenceEncoder",
    "VectorEncoder",
    "agreement",
    "box_features",
    "classes",
    "filtered_mean",
    "kendall_tau_b",
    "ramp_filter",
    "rotated_boxes",
    "sign_agreement",
    "upright_boxes",
    "vectors",
    "words",
]

"""Differentiable primitives that know no metric: soft step, ranks and cut-offs, interpolation, a turned gradient."""

from metricgrad.relax.cutoff import soft_counts as soft_counts
from metricgrad.relax.interpolation import interpolate as interpolate
from metricgrad.relax.rank import PositiveRanks as PositiveRanks
from metricgrad.relax.rank import positive_ranks_from_scores as positive_ranks_from_scores
from metricgrad.relax.reversal import reverse_gradient as reverse_gradient
from metricgrad.relax.soft_rank import soft_ranks as soft_ranks
from metricgrad.relax.step import hard_step as hard_step
from metricgrad.relax.step import laplace_step as laplace_step
from metricgrad.relax.step import logistic_step as logistic_step

__all__ = [
    "PositiveRanks",
    "hard_step",
    "interpolate",
    "laplace_step",
    "logistic_step",
    "positive_ranks_from_scores",
    "reverse_gradient",
    "soft_counts",
    "soft_ranks",
]

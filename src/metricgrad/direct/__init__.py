"""Direct loss minimisation: exact gradients of a task loss from two decodes."""

from metricgrad.direct.brute_force import BruteForce
from metricgrad.direct.candidates import Candidates, candidate_losses, gumbel_candidates
from metricgrad.direct.contingency import Contingency
from metricgrad.direct.direct_loss import DirectLoss
from metricgrad.direct.frame_edit import FrameEdit
from metricgrad.direct.hinge import hinge_average_precision_loss
from metricgrad.direct.interleaving import Interleaving
from metricgrad.direct.multiclass import Multiclass
from metricgrad.direct.top_k import TopK

__all__ = [
    "BruteForce",
    "Candidates",
    "Contingency",
    "DirectLoss",
    "FrameEdit",
    "Interleaving",
    "Multiclass",
    "TopK",
    "candidate_losses",
    "gumbel_candidates",
    "hinge_average_precision_loss",
]

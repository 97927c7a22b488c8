"""Direct loss minimisation: exact gradients of a task loss from two decodes."""

from metricgrad.direct.gradient import DirectLoss
from metricgrad.direct.interleaving import Interleaving

__all__ = ["DirectLoss", "Interleaving"]

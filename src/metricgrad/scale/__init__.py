"""Batches larger than memory and runs of several processes: takes any loss, knows none."""

from metricgrad.scale.chunk import fitting_chunk as fitting_chunk
from metricgrad.scale.compression import Saved as Saved
from metricgrad.scale.compression import compress_activations as compress_activations
from metricgrad.scale.gather import gather_parts as gather_parts
from metricgrad.scale.gather import gather_rows as gather_rows
from metricgrad.scale.gather import sum_gradients as sum_gradients
from metricgrad.scale.processes import Processes as Processes
from metricgrad.scale.processes import ProcessLost as ProcessLost
from metricgrad.scale.processes import current as current
from metricgrad.scale.processes import joined as joined
from metricgrad.scale.shared_backward import SharedBackward as SharedBackward
from metricgrad.scale.staged_backward import StagedBackward as StagedBackward

__all__ = [
    "ProcessLost",
    "Processes",
    "Saved",
    "SharedBackward",
    "StagedBackward",
    "compress_activations",
    "current",
    "fitting_chunk",
    "gather_parts",
    "gather_rows",
    "joined",
    "sum_gradients",
]

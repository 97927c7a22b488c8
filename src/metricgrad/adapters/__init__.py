"""What is put on a trained network so that a run moves less of it: rotations of the inputs of its layers."""

from metricgrad.adapters.orthogonal import Rotation as Rotation
from metricgrad.adapters.orthogonal import attach_orthogonal_adapter as attach_orthogonal_adapter
from metricgrad.adapters.orthogonal import limit_rotation as limit_rotation
from metricgrad.adapters.orthogonal import merge_orthogonal_adapter as merge_orthogonal_adapter
from metricgrad.adapters.orthogonal import merged_state as merged_state
from metricgrad.adapters.rotation import cayley as cayley
from metricgrad.adapters.rotation import cayley_neumann as cayley_neumann
from metricgrad.adapters.rotation import hyperspherical_energy as hyperspherical_energy
from metricgrad.adapters.rotation import lowdin as lowdin
from metricgrad.adapters.rotation import skew_symmetric as skew_symmetric

__all__ = [
    "Rotation",
    "attach_orthogonal_adapter",
    "cayley",
    "cayley_neumann",
    "hyperspherical_energy",
    "limit_rotation",
    "lowdin",
    "merge_orthogonal_adapter",
    "merged_state",
    "skew_symmetric",
]

"""What is put on a trained network (rotations of layer inputs, splines, gates), and which untrained head to train."""

from metricgrad.adapters.calibrator import MonotoneSpline as MonotoneSpline
from metricgrad.adapters.calibrator import fit_calibrator as fit_calibrator
from metricgrad.adapters.gates import HardConcrete as HardConcrete
from metricgrad.adapters.gates import HardConcreteGate as HardConcreteGate
from metricgrad.adapters.gates import hard_concrete_gate as hard_concrete_gate
from metricgrad.adapters.gates import zero_norm as zero_norm
from metricgrad.adapters.naswot import Untrained as Untrained
from metricgrad.adapters.naswot import agreement as agreement
from metricgrad.adapters.naswot import log_determinant as log_determinant
from metricgrad.adapters.naswot import naswot_score as naswot_score
from metricgrad.adapters.naswot import rank_untrained as rank_untrained
from metricgrad.adapters.orthogonal import Rotation as Rotation
from metricgrad.adapters.orthogonal import attach_orthogonal_adapter as attach_orthogonal_adapter
from metricgrad.adapters.orthogonal import limit_rotation as limit_rotation
from metricgrad.adapters.orthogonal import merge_orthogonal_adapter as merge_orthogonal_adapter
from metricgrad.adapters.orthogonal import merged_state as merged_state
from metricgrad.adapters.pruning import Pruned as Pruned
from metricgrad.adapters.pruning import prune_by_swarms as prune_by_swarms
from metricgrad.adapters.pruning import prune_greedily as prune_greedily
from metricgrad.adapters.pruning import swarm_mask_step as swarm_mask_step
from metricgrad.adapters.pruning import swarm_step as swarm_step
from metricgrad.adapters.rotation import cayley as cayley
from metricgrad.adapters.rotation import cayley_neumann as cayley_neumann
from metricgrad.adapters.rotation import hyperspherical_energy as hyperspherical_energy
from metricgrad.adapters.rotation import lowdin as lowdin
from metricgrad.adapters.rotation import skew_symmetric as skew_symmetric
from metricgrad.adapters.spline import LinearSpline as LinearSpline
from metricgrad.adapters.spline import from_slope_changes as from_slope_changes
from metricgrad.adapters.spline import linear_spline as linear_spline
from metricgrad.adapters.spline import nearest_monotone as nearest_monotone
from metricgrad.adapters.spline import slope_changes as slope_changes
from metricgrad.adapters.spline import sparser as sparser
from metricgrad.adapters.spline import tv2 as tv2

__all__ = [
    "HardConcrete",
    "HardConcreteGate",
    "LinearSpline",
    "MonotoneSpline",
    "Pruned",
    "Rotation",
    "Untrained",
    "agreement",
    "attach_orthogonal_adapter",
    "cayley",
    "cayley_neumann",
    "fit_calibrator",
    "from_slope_changes",
    "hard_concrete_gate",
    "hyperspherical_energy",
    "limit_rotation",
    "linear_spline",
    "log_determinant",
    "lowdin",
    "merge_orthogonal_adapter",
    "merged_state",
    "naswot_score",
    "nearest_monotone",
    "prune_by_swarms",
    "prune_greedily",
    "rank_untrained",
    "skew_symmetric",
    "slope_changes",
    "sparser",
    "swarm_mask_step",
    "swarm_step",
    "tv2",
    "zero_norm",
]

"""Rules that turn scores into classes, fitted to held-out data for the metric that judges the classes."""

from metricgrad.decision.class_biases import ClassBiases as ClassBiases
from metricgrad.decision.cut_points import CutPoints as CutPoints
from metricgrad.decision.fitting import Fitted as Fitted
from metricgrad.decision.fitting import cross_fitted as cross_fitted
from metricgrad.decision.fitting import fit_rule as fit_rule
from metricgrad.decision.label_thresholds import LabelThresholds as LabelThresholds
from metricgrad.decision.plain_rules import Midpoint as Midpoint
from metricgrad.decision.plain_rules import Rounding as Rounding
from metricgrad.decision.prior_shift import PriorShift as PriorShift
from metricgrad.decision.rule import Argmax as Argmax
from metricgrad.decision.rule import Rule as Rule
from metricgrad.decision.rule_file import load_rule as load_rule
from metricgrad.decision.rule_file import save_rule as save_rule
from metricgrad.decision.slope_decode import SlopeDecode as SlopeDecode
from metricgrad.decision.threshold import Threshold as Threshold

__all__ = [
    "Argmax",
    "ClassBiases",
    "CutPoints",
    "Fitted",
    "LabelThresholds",
    "Midpoint",
    "PriorShift",
    "Rounding",
    "Rule",
    "SlopeDecode",
    "Threshold",
    "cross_fitted",
    "fit_rule",
    "load_rule",
    "save_rule",
]

"""Which rule `auto` is, by the metric and the form of what it decides."""

from typing import Any

from metricgrad._checks import tensor_of
from metricgrad._columns import one_column
from metricgrad._decision_records import plain_name
from metricgrad._types import Metric
from metricgrad.decision.cut_points import CutPoints
from metricgrad.decision.label_thresholds import LabelThresholds
from metricgrad.metrics import cohen_kappa

__all__ = ["is_ordered", "reads_one_number", "suited"]


def suited(p: Any, y: Any, metric: Metric) -> str:
    """Name of the rule that suits outputs and a metric.

    Example:
        >>> from metricgrad.metrics import adapt
        >>> suited([0.2, 1.4, 1.9], [0, 1, 2], adapt("qwk")), suited([0.2, 0.9], [0, 1], adapt("f1"))
        ('cuts', 'threshold')
    """
    if metric.reads == "labels":
        return LabelThresholds.name
    scores = one_column(tensor_of("fit_rule", "scores", p, "[sample, class], or one number per sample"))
    if scores.ndim == 1 and is_ordered(metric):
        levels = one_column(tensor_of("fit_rule", "targets", y, "class numbers"))
        if bool((levels > 1).any()):  # of two classes the number is the score of class 1
            return CutPoints.name
    return "threshold" if scores.shape[1:] in ((), (2,)) else "slope"


def reads_one_number(rule: str | None) -> bool:
    """Whether a rule of that name decides between ordered classes by one number."""
    return rule is not None and plain_name([rule]) == plain_name([CutPoints.name])


def is_ordered(metric: Metric) -> bool:
    """Whether a metric is one of ordered classes: a weighted kappa."""
    return metric.function is cohen_kappa and metric.settings.get("weights") in ("linear", "quadratic")

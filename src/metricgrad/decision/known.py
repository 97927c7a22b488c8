"""Rules of class scores by their names."""

import copy
from collections.abc import Mapping
from typing import Any

from metricgrad._checks import fail
from metricgrad.decision.class_biases import ClassBiases
from metricgrad.decision.cut_points import CutPoints
from metricgrad.decision.label_thresholds import LabelThresholds
from metricgrad.decision.prior_shift import PriorShift
from metricgrad.decision.rule import Argmax, Rule
from metricgrad.decision.scores import Kind
from metricgrad.decision.slope_decode import SlopeDecode
from metricgrad.decision.threshold import Threshold

__all__ = ["OF_FILES", "RULES", "check_rule", "new_rule"]

RULES: Mapping[str, type[Rule]] = {
    rule.name: rule for rule in (Argmax, Threshold, SlopeDecode, PriorShift, ClassBiases)
}
"""Rules of class scores by name; `auto` is the threshold for two classes and slope decode for more."""

OF_FILES: Mapping[str, type[Rule]] = {
    **RULES,
    CutPoints.name: CutPoints,
    LabelThresholds.name: LabelThresholds,
}
"""Rules that a file may hold."""


def check_rule(rule: str | Rule) -> None:
    """Raise InputError for a rule that decides something else than class scores: it is fitted by itself."""
    made = type(rule) if isinstance(rule, Rule) else OF_FILES.get(rule, Argmax)
    if issubclass(made, CutPoints | LabelThresholds):
        raise fail(
            "fit_rule",
            f"{made.__name__} came, which does not read class scores",
            f"one of {', '.join(RULES)}",
            f"Fit it by itself: {made.__name__}().fit(p, y, metric); judge it on data that it was not fitted to.",
        )


def new_rule(rule: str | Rule, kind: Kind, classes: int, class_counts: Any = None) -> Rule:
    """Return a new rule of that name, or a copy of the one that is given; it reads scores of that kind."""
    if isinstance(rule, Rule):
        wanted = copy.deepcopy(rule)
        wanted.inputs = kind
        return wanted
    name = ("threshold" if classes == 2 else "slope") if rule == "auto" else rule
    if name not in RULES:
        raise fail("fit_rule", f"there is no rule {rule!r}", f"one of auto, {', '.join(RULES)}")
    made = RULES[name]
    if issubclass(made, PriorShift | ClassBiases):
        return made(class_counts=class_counts, inputs=kind)
    return made(inputs=kind)

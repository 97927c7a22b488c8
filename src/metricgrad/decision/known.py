"""Rules by their names."""

import copy
from collections.abc import Mapping
from typing import Any

from metricgrad._checks import fail
from metricgrad.decision.class_biases import ClassBiases
from metricgrad.decision.cut_points import CutPoints
from metricgrad.decision.label_thresholds import LabelThresholds
from metricgrad.decision.plain_rules import Midpoint, Rounding
from metricgrad.decision.prior_shift import PriorShift
from metricgrad.decision.rule import Argmax, Rule
from metricgrad.decision.scores import Kind
from metricgrad.decision.slope_decode import SlopeDecode
from metricgrad.decision.threshold import Threshold

__all__ = ["RULES", "Asked", "kind_of_rule", "new_rule", "plain_for"]

Asked = str | Rule
"""A rule, or the name of one, or `auto`."""

RULES: Mapping[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        *(Argmax, Threshold, SlopeDecode, PriorShift, ClassBiases),
        *(CutPoints, Rounding),
        *(LabelThresholds, Midpoint),
    )
}
"""Rules by name: of class scores, of one real number, of several labels."""


def kind_of_rule(rule: Asked) -> type[Rule]:
    """The class of a rule; `Rule` itself for `auto`.

    Raises:
        InputError: a name that is none.
    """
    if isinstance(rule, Rule):
        return type(rule)
    if rule != "auto" and rule not in RULES:
        raise fail("fit_rule", f"there is no rule {rule!r}", f"one of auto, {', '.join(RULES)}")
    return RULES.get(rule, Rule)


def plain_for(rule: type[Rule]) -> type[Rule]:
    """The rule that decides as is done without one of that kind."""
    if issubclass(rule, LabelThresholds):
        return Midpoint
    return Rounding if issubclass(rule, CutPoints) else Argmax


def new_rule(rule: Asked, kind: Kind, classes: int, class_counts: Any = None) -> Rule:
    """Return a new rule of that name, or a copy of the one that is given; it reads scores of that kind."""
    if isinstance(rule, Rule):
        wanted = copy.deepcopy(rule)
        wanted.inputs = kind
    else:
        made = RULES[rule]
        counted = issubclass(made, PriorShift | ClassBiases)
        wanted = made(class_counts=class_counts, inputs=kind) if counted else made(inputs=kind)
    if isinstance(wanted, CutPoints):
        wanted.wanted = classes  # a half of the pool may lack the last one
    return wanted

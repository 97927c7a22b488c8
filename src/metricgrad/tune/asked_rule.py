"""From what was asked of decisions to what decides them in a run; a rule that fits no metric of its kind is refused."""

from typing import Any

from metricgrad._checks import caller, describe, fail
from metricgrad._types import Metric
from metricgrad.decision import CutPoints, LabelThresholds
from metricgrad.decision.known import kind_of_rule
from metricgrad.decision.rule import Rule
from metricgrad.metrics.records import of_classes, of_labels, of_pixels
from metricgrad.tune.deciding import ARGMAX, AUTO, Deciding
from metricgrad.tune.groups import groups_of
from metricgrad.tune.splits import Splits

__all__ = ["AUTO", "deciding_of"]


def deciding_of(given: Any, metric: Metric, splits: Splits) -> Deciding | None:
    """Return how a run decides; None where outputs are left as they are.

    Args:
        given: `auto`, the name of a rule, or a rule.
        metric: of the run.
        splits: of the run: fit says how frequent classes are, and groups of select stay in one half.

    Raises:
        InputError: no rule, or a rule for a metric that does not read what it decides.
    """
    if not isinstance(given, str | Rule):
        raise fail(
            caller(), f"decision is {describe(given)}", "'auto', 'argmax', the name of a rule, or a rule"
        )
    kind = kind_of_rule(given)
    several = issubclass(kind, LabelThresholds)
    judge = of_labels(metric) if several else of_classes(metric) or of_pixels(metric)
    if given == ARGMAX or (given == AUTO and judge is None):
        return None
    name = given if isinstance(given, str) else given.name
    if judge is None:
        reads = "outputs as they are" if metric.reads is None else metric.reads
        expected = (
            "a metric of decided classes (f1), or of one score above 0 (a logit) or 0.5 (a probability)"
        )
        remedy = "A rule would change nothing of it: leave decision out."
        if several:
            expected = "a metric of several labels per sample (multilabel_f1_macro), of a threshold 0 or 0.5"
            remedy = "Leave decision out."
        elif metric.reads == "labels":
            remedy = "Several labels per sample are decided by decision='labels'."
        elif metric.reads is None:
            remedy = (
                "If it takes (predicted classes, targets), say so: metrics.adapt(function, reads='classes')."
            )
        raise fail(caller(), f"decision is {name!r}, but {metric.name} reads {reads}", expected, remedy)
    cut = metric.settings.get("threshold")
    if issubclass(kind, CutPoints) and cut is not None:
        came = f"decision is {name!r}, but {metric.name} compares one score with {cut:g}"
        raise fail(caller(), came, "decision='threshold', or the metric without its threshold")
    return Deciding(metric, given, splits.fit, groups_of("select", splits))

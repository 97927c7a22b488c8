"""How the outputs of every arm become decisions: by one rule, fitted for the metric on the same select data.

On select every item is decided by the rule that was fitted on the other half, so that the metric of these decisions
may choose steps and arms. On test the rule decides that was fitted on all of select, for the weights of that arm.
"""

from typing import Any

from torch import Tensor, nn

from metricgrad._checks import caller, describe, fail
from metricgrad._types import Metric, Split
from metricgrad.decision import CutPoints, Fitted, LabelThresholds, fit_rule
from metricgrad.decision.known import kind_of_rule
from metricgrad.decision.rule import Rule
from metricgrad.decision.suited import is_ordered
from metricgrad.methods.class_counts import class_counts
from metricgrad.metrics.records import of_classes, of_labels, of_pixels
from metricgrad.metrics.table_metric import TableMetric
from metricgrad.tune.decidable import (
    as_outputs,
    decidable_scores,
    decided_by,
    decided_plainly,
    kind_of,
    levels_in,
    marked_of,
    numbered_of,
    pool_of,
    scores_of,
)
from metricgrad.tune.outputs import Outputs, collect_targets
from metricgrad.tune.pixel_rules import fitted_to_pixels

__all__ = ["ARGMAX", "AUTO", "Deciding"]

AUTO, ARGMAX = "auto", "argmax"
"""Whatever rule suits the outputs; none."""


class Deciding:
    """The rule that is fitted for every arm.

    Args:
        metric: of the run; `of_classes` (`of_labels`, `of_pixels`) knows what it is of decisions.
        rule: `auto`, the name of a rule, or a rule.
        fit: where a rule that was named learns how frequent classes are, and one of ordered classes how many there are.
        groups: of the items of select that belong together; None for none.

    Attributes:
        metric: of decisions: that of the run without a cut of its own.
    """

    def __init__(
        self, metric: Metric, rule: str | Rule, fit: Split | None = None, groups: Any = None
    ) -> None:
        kind = kind_of_rule(rule)
        self._of_labels = issubclass(kind, LabelThresholds)
        self._of_pixels = metric.reads == "pixels"
        judge = of_labels if self._of_labels else of_pixels if self._of_pixels else of_classes
        self.metric = judge(metric) or metric
        self.rule, self.fit, self.groups = rule, fit, groups
        self._cut = metric.settings.get("threshold")
        self._of_numbers = issubclass(kind, CutPoints) or (
            rule == AUTO and self._cut is None and is_ordered(metric)
        )
        self._levels = -1
        self._counts: Tensor | None = None

    @property
    def name(self) -> str:
        """What was asked for, for the record."""
        return self.rule if isinstance(self.rule, str) else self.rule.name

    def fitted(self, found: Outputs, known: dict[bytes, float] | None = None) -> Fitted | None:
        """Fit the rule to all items; each is also decided by the rule of the other half. None where no rule applies.

        Args:
            found: scores and targets.
            known: values of tables that the metric was called for before; see `TableMetric`.
        """
        return self._fitted(found, self.rule, known)

    def argmax(self, found: Outputs) -> Fitted | None:
        """What argmax decides, in the form of a rule; None where no rule applies."""
        return self._fitted(found, ARGMAX)

    def _fitted(
        self, found: Outputs, rule: str | Rule, known: dict[bytes, float] | None = None
    ) -> Fitted | None:
        if self._of_pixels:
            return fitted_to_pixels(found, self.metric, rule, self._cut, self.groups, self._class_counts)
        levels = self._levels_of(found)
        if levels:
            pool, kind = numbered_of(found), "logits"
        else:
            pool = marked_of(found) if self._of_labels else pool_of(found)
            kind = None if pool is None else kind_of(pool[0], self._cut, labels=self._of_labels)
        if pool is None or kind is None or (issubclass(kind_of_rule(rule), CutPoints) and not levels):
            return None
        scores, targets = pool
        if self._of_labels:
            return fit_rule(scores, targets, self.metric, rule, inputs=kind, groups=self.groups)
        if levels and rule == AUTO:
            rule = CutPoints.name
        classes = levels or (2 if scores.ndim == 1 else scores.shape[1])
        counts = None if levels else self._class_counts(classes)
        value = TableMetric(
            self.metric,
            classes,
            known=known,
            form=lambda decided: as_outputs(self.metric, found._replace(decided=decided)),
        )
        return fit_rule(scores, targets, value, rule, class_counts=counts, inputs=kind, groups=self.groups)

    def plainly(self, found: Outputs) -> Outputs:
        """Decide one real number per sample by the nearest class, as no metric of classes does; others as they are."""
        levels = self._levels_of(found)
        if not levels:
            return found
        scores = scores_of(found.outputs)
        assert scores is not None
        return found._replace(decided=decided_plainly(scores, levels))

    def _levels_of(self, found: Outputs) -> int:
        """How many ordered classes one real number per sample decides between; 0 where outputs are something else."""
        numbered = numbered_of(found) if self._of_numbers else None
        if numbered is None or numbered[0].ndim != 1:
            return 0
        if self._levels < 0:
            asked = getattr(self.rule, "wanted", None)
            self._levels = asked or levels_in(
                found.targets if self.fit is None else collect_targets(self.fit)
            )
        return self._levels if self._levels > (2 if self.rule == AUTO else 1) else 0

    def _class_counts(self, classes: int) -> Tensor | None:
        """How often each class comes in fit; None where any rule is taken, and for a rule that brings its own."""
        if self.fit is None or self.rule in (AUTO, ARGMAX) or isinstance(self.rule, Rule):
            return None
        if self._counts is None:
            self._counts = class_counts(self.fit)
        return nn.functional.pad(self._counts, (0, classes - len(self._counts)))

    def by(self, rule: Rule, found: Outputs) -> Outputs:
        """Decide every item by a rule that was fitted before."""
        scores = decidable_scores(found.outputs)
        if scores is None:  # the outputs of select were scores
            raise fail(self.metric.name, f"outputs are {describe(found.outputs)}", "scores, as on select")
        return found._replace(decided=decided_by(rule, scores))

    def check(self, found: Outputs) -> None:
        """Raise InputError where a rule was named that does not exist, or cannot decide these outputs."""
        if self.fitted(found) is None:
            expected = "class scores [sample, class] and the number of the class of every sample"
            if self._of_labels:
                expected = (
                    "scores and 0 or 1 [sample, label], two labels or more; of a threshold 0.5 probabilities"
                )
            elif self._of_pixels:
                expected = (
                    "scores [image, class, row, column] and the class of every pixel [image, row, column]"
                )
            elif self._of_numbers:
                expected = (
                    "one real number per sample and, also in fit, a class per sample: 0, 1, 2, ... in order"
                )
            raise fail(
                caller(),
                f"decision is {self.name!r}, but outputs are {describe(found.outputs)} and targets "
                f"{describe(found.targets)}",
                expected,
                "decision='auto' leaves outputs that no rule can decide as they are.",
            )

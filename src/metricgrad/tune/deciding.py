"""How the class scores of every arm become classes: by one rule, fitted for the metric on the same select data.

On select every item is decided by the rule that was fitted on the other half, so that the metric of these decisions
may choose steps and arms. On test the rule decides that was fitted on all of select, for the weights of that arm.
"""

from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import caller, describe, fail, require_finite
from metricgrad._columns import are_probabilities, one_column
from metricgrad._types import Metric, Split
from metricgrad.decision import Fitted, fit_rule
from metricgrad.decision.rule import Rule
from metricgrad.decision.scores import Inputs
from metricgrad.methods.class_counts import class_counts
from metricgrad.metrics.records import of_classes
from metricgrad.metrics.table_metric import TableMetric
from metricgrad.tune.groups import groups_of
from metricgrad.tune.outputs import Outputs
from metricgrad.tune.splits import Splits

__all__ = [
    "ARGMAX",
    "AUTO",
    "Deciding",
    "as_outputs",
    "decided_by",
    "deciding_of",
    "names_classes",
    "pool_of",
    "scores_of",
]

AUTO, ARGMAX = "auto", "argmax"
"""Whatever rule suits the outputs; none."""


class Deciding:
    """The rule that is fitted for every arm.

    Args:
        metric: of the run; `of_classes` knows what it is of decided classes.
        rule: `auto`, the name of a rule, or a rule.
        fit: where a rule that was named learns how frequent classes are.
        groups: of the items of select that belong together; None for none.

    Attributes:
        metric: of decided classes: that of the run without a cut of its own.
    """

    def __init__(
        self, metric: Metric, rule: str | Rule, fit: Split | None = None, groups: Any = None
    ) -> None:
        self.metric, self.rule, self.fit = of_classes(metric) or metric, rule, fit
        self.groups = groups
        self._cut = metric.settings.get("threshold")
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
        pool = pool_of(found)
        kind = None if pool is None else self._kind(pool[0])
        if pool is None or kind is None:
            return None
        scores, targets = pool
        classes = 2 if scores.ndim == 1 else scores.shape[1]
        counts = self._class_counts(classes)
        value = TableMetric(
            self.metric,
            classes,
            known=known,
            form=lambda decided: as_outputs(self.metric, found._replace(decided=decided)),
        )
        return fit_rule(scores, targets, value, rule, class_counts=counts, inputs=kind, groups=self.groups)

    def _kind(self, scores: Tensor) -> Inputs | None:
        """What scores are; None where one score per sample is compared with 0.5 and is no probability.

        Logits of an early network may lie within [0, 1] by chance: what they are is not guessed from that.
        """
        if scores.ndim == 2:
            return "probabilities" if are_probabilities(scores) else "logits"
        if self._cut is None:
            return "auto"
        within = bool(((scores >= 0) & (scores <= 1)).all())
        return "logits" if self._cut == 0 else "probabilities" if within else None

    def _class_counts(self, classes: int) -> Tensor | None:
        """How often each class comes in fit; None where any rule is taken, and for a rule that brings its own."""
        if self.fit is None or self.rule in (AUTO, ARGMAX) or isinstance(self.rule, Rule):
            return None
        if self._counts is None:
            self._counts = class_counts(self.fit)
        return nn.functional.pad(self._counts, (0, classes - len(self._counts)))

    def by(self, rule: Rule, found: Outputs) -> Outputs:
        """Decide every item by a rule that was fitted before."""
        scores = scores_of(found.outputs)
        if scores is None:  # the outputs of select were class scores
            raise fail(
                self.metric.name, f"outputs are {describe(found.outputs)}", "class scores, as on select"
            )
        return found._replace(decided=decided_by(rule, scores))

    def check(self, found: Outputs) -> None:
        """Raise InputError where a rule was named that does not exist, or cannot decide these outputs."""
        if self.fitted(found) is None:
            raise fail(
                caller(),
                f"decision is {self.name!r}, but outputs are {describe(found.outputs)} and targets "
                f"{describe(found.targets)}",
                "class scores [sample, class] and the number of the class of every sample",
                "decision='auto' leaves outputs that no rule can decide as they are.",
            )


def pool_of(found: Outputs) -> tuple[Tensor, Tensor] | None:
    """Class scores and the numbers of the classes, on the CPU; None where outputs or targets are something else."""
    numbered = _numbered(found)
    return None if numbered is None or len(_without_column(*numbered)) else numbered


def names_classes(found: Outputs) -> bool:
    """Whether outputs are scores [sample, class] and targets the number of one of these classes.

    Raises:
        InputError: a target is a whole number, and no class of the outputs.
    """
    numbered = _numbered(found)
    if numbered is None or numbered[0].ndim != 2:
        return False
    wrong, classes = _without_column(*numbered), numbered[0].shape[1]
    if len(wrong):
        came = f"a target of select is {int(wrong[0])}, and the network gives scores of {classes} classes"
        raise fail(caller(), came, f"numbers from 0 to {classes - 1}")
    return True


def _numbered(found: Outputs) -> tuple[Tensor, Tensor] | None:
    """Scores and a whole number for each of them, on the CPU; None where outputs or targets are something else."""
    scores, targets = scores_of(found.outputs), found.targets
    if scores is None or not isinstance(targets, Tensor):
        return None
    targets = one_column(targets.detach()).cpu()
    whole = targets.shape == scores.shape[:1] and bool((targets == targets.long()).all())
    return (scores, targets.long()) if whole else None


def _without_column(scores: Tensor, targets: Tensor) -> Tensor:
    """The targets for which there is no score."""
    classes = 2 if scores.ndim == 1 else scores.shape[1]
    return targets[(targets < 0) | (targets >= classes)]


def scores_of(outputs: Any) -> Tensor | None:
    """Class scores [sample, class], or one score of class 1 per sample [sample], on the CPU; None for anything else."""
    if not isinstance(outputs, Tensor):
        return None
    scores = one_column(outputs.detach()).cpu()
    if (
        not outputs.is_floating_point()
        or scores.ndim not in (1, 2)
        or (scores.ndim == 2 and scores.shape[1] < 2)
    ):
        return None
    return scores


def decided_by(rule: Rule, scores: Tensor) -> Tensor:
    """The class that a rule decides for every row of scores [item].

    Raises:
        InputError: another number of classes than the rule was fitted to; NaN or infinite scores.
    """
    columns = 2 if scores.ndim == 1 else scores.shape[1]
    if columns != rule.classes:
        raise fail(
            "decision rule", f"outputs are scores of {columns} classes", f"{rule.classes}, as it was fitted"
        )
    require_finite("decision rule", "outputs", scores)
    with torch.no_grad():
        return rule(scores)


def as_outputs(metric: Metric, found: Outputs) -> Tensor:
    """Decided classes in the form in which a metric that reads classes takes outputs.

    Class numbers for ours; one score per sample for one that compares it with a threshold; for a record of anybody else
    scores of 0 and 1, [sample, class] or one per sample as those of the network, which it is known to take.
    """
    decided, threshold = found.decided, metric.settings.get("threshold")
    assert decided is not None
    if threshold is not None:
        return torch.where(decided == 1, threshold + 1.0, threshold - 1.0)
    if metric.function is not None:
        return decided
    if one_column(found.outputs).ndim == 1:
        return decided.float()
    return nn.functional.one_hot(decided, found.outputs.shape[1]).float()


def deciding_of(given: Any, metric: Metric, splits: Splits) -> Deciding | None:
    """Return how a run decides; None where outputs are left as they are.

    Args:
        given: `auto`, the name of a rule, or a rule.
        metric: of the run.
        splits: of the run: fit says how frequent classes are, and groups of select stay in one half.

    Raises:
        InputError: no rule, or a rule for a metric that does not read classes.
    """
    if not isinstance(given, str | Rule):
        raise fail(
            caller(), f"decision is {describe(given)}", "'auto', 'argmax', the name of a rule, or a rule"
        )
    judge = of_classes(metric)
    if given == ARGMAX or (given == AUTO and judge is None):
        return None
    if judge is None:
        reads = "outputs as they are" if metric.reads is None else metric.reads
        raise fail(
            caller(),
            f"decision is {given!r}, but {metric.name} reads {reads}",
            "a metric of decided classes (f1), or of one score above 0 (a logit) or 0.5 (a probability)",
            "A rule would change nothing of it: leave decision out."
            if metric.reads is not None
            else "If it takes (predicted classes, targets), say so: metrics.adapt(function, reads='classes').",
        )
    return Deciding(metric, given, splits.fit, groups_of("select", splits))

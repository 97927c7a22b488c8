"""The data that a rule is fitted to: outputs, what is true, and the metric, read and checked once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor

from metricgrad._checks import fail, tensor_of
from metricgrad._columns import one_column
from metricgrad._labels import number_labels
from metricgrad._types import Metric
from metricgrad.decision.cut_points import CutPoints
from metricgrad.decision.known import kind_of_rule, new_rule
from metricgrad.decision.label_thresholds import LabelThresholds
from metricgrad.decision.plain_rules import Midpoint, Rounding, plain_for
from metricgrad.decision.rule import Rule, table_of
from metricgrad.decision.scores import Inputs, Kind, class_numbers, read_scores
from metricgrad.metrics.adapt import adapt, metric_calls
from metricgrad.metrics.agreement import cohen_kappa
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["Pool", "is_ordered", "read_pool"]


@dataclass(frozen=True)
class Pool:
    """Outputs that were read, what is true of them, and the metric.

    Attributes:
        rule: the rule that was asked for; for `auto` the name of the one that suits the outputs.
        scores: of classes, or of class 1; one real number per sample; or scores of labels [sample, label].
        kind: what scores are; of real numbers `logits`.
        y: true classes [sample], or 0 and 1 [sample, label].
        value: the metric, of labels as its record.
        classes: how many classes, or labels, there are.
        groups: of every item, where there are some.
    """

    rule: str | Rule
    scores: Tensor
    kind: Kind
    y: Tensor
    value: TableMetric | Metric
    classes: int
    groups: Tensor | None = None

    def wanted(self, class_counts: Any = None) -> Rule:
        """The rule, not fitted yet."""
        return new_rule(self.rule, self.kind, self.classes, class_counts)

    def plain(self, class_names: Sequence[str] = ()) -> Rule:
        """What decides without the rule."""
        rule = new_rule(plain_for(kind_of_rule(self.rule)).name, self.kind, self.classes)
        rule.class_names = tuple(class_names)
        return rule.fit(self.scores, self.y, self.value)

    def value_of(self, decided: Tensor) -> float:
        """Value of the metric for decisions of the pool."""
        if isinstance(self.value, Metric):
            return float(self.value.summarise(self.value.measure(decided, self.y)))
        return float(self.value(table_of(decided, self.y, self.value.classes)))

    @property
    def calls(self) -> int:
        """Calls so far of a metric without a formula."""
        return metric_calls(self.value) if isinstance(self.value, Metric) else self.value.calls

    @property
    def failure(self) -> str | None:
        """What the metric raised where it is undefined."""
        return None if isinstance(self.value, Metric) else self.value.failure

    @property
    def nothing_to_decide(self) -> str:
        """Why there is nothing to decide between; empty where there is."""
        if self.y.ndim == 1:
            return "" if len(self.y.unique()) > 1 else "the pool holds one class only"
        mixed = (self.y != self.y[0]).any()
        return "" if mixed else "every label of the pool is there in all samples or in none"


def is_ordered(metric: Metric) -> bool:
    """Whether a metric is one of ordered classes: a weighted kappa."""
    return metric.function is cohen_kappa and metric.settings.get("weights") in ("linear", "quadratic")


def read_pool(p: Any, y: Any, metric: Any, inputs: Inputs, rule: str | Rule, groups: Any = None) -> Pool:
    """Read a pool; InputError for what does not fit."""
    wanted = kind_of_rule(rule)
    given = metric if isinstance(metric, Metric | TableMetric) else adapt(metric)
    record = given.metric if isinstance(given, TableMetric) else given
    if wanted is Rule and record.reads == "labels":
        wanted, rule = LabelThresholds, LabelThresholds.name
    elif wanted is Rule and is_ordered(record) and _are_levels(p, y):
        wanted, rule = CutPoints, CutPoints.name
    if issubclass(wanted, LabelThresholds):
        read = Midpoint(inputs=inputs).fit(p, y, record)
        scores, marks = (tensor_of("fit_rule", "p and y", part, "numbers").cpu() for part in (p, y))
        pool = Pool(rule, scores.double(), cast(Kind, read.inputs), marks.long(), record, read.classes)
    elif issubclass(wanted, CutPoints):
        most = given.classes if isinstance(given, TableMetric) else getattr(rule, "wanted", None)
        classes = Rounding(classes=most).fit(p, y, given).classes
        scores = one_column(tensor_of("fit_rule", "p", p, "numbers")).cpu().double()
        pool = _of_classes(rule, scores, "logits", y, given, classes)
    else:
        scores, kind = read_scores("fit_rule", p, inputs)
        classes = scores.shape[1] if scores.ndim == 2 else 2
        rule = ("threshold" if classes == 2 else "slope") if rule == "auto" else rule
        pool = _of_classes(rule, scores, kind, y, given, classes)
    if groups is None:
        return pool
    codes = number_labels("fit_rule", {"groups": groups}, device="cpu").codes[0]
    if len(codes) != len(scores):
        came = f"groups has {len(codes):,} labels"
        raise fail("fit_rule", came, f"one for each of {len(scores):,} items")
    return replace(pool, groups=codes)


def _of_classes(
    rule: str | Rule, scores: Tensor, kind: Kind, y: Any, given: Metric | TableMetric, classes: int
) -> Pool:
    """A pool of one true class per sample."""
    value = given if isinstance(given, TableMetric) else TableMetric(given, classes)
    if not len(scores):
        raise fail("fit_rule", "there is no item", "at least one")
    return Pool(rule, scores, kind, class_numbers("fit_rule", y, len(scores), classes), value, classes)


def _are_levels(p: Any, y: Any) -> bool:
    """Whether there is one number per sample, and more than two classes."""
    values, levels = (
        one_column(tensor_of("fit_rule", *part))
        for part in (("scores", p, "numbers"), ("targets", y, "class numbers"))
    )
    return values.ndim == 1 and levels.shape == values.shape and bool((levels > 1).any())

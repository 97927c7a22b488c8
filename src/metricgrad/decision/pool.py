"""The data that a rule is fitted to: outputs, what is true, and the metric."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._labels import number_labels
from metricgrad._types import Metric
from metricgrad.decision.known import kind_of_rule, new_rule, plain_for
from metricgrad.decision.rule import Rule, table_of
from metricgrad.decision.scores import Kind
from metricgrad.metrics import metric_calls
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["Pool"]


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
        most: items that a rule is fitted to; None for all.
    """

    rule: str | Rule
    scores: Tensor
    kind: Kind
    y: Tensor
    value: TableMetric | Metric
    classes: int
    groups: Tensor | None = None
    most: int | None = None

    def wanted(self, class_counts: Any = None) -> Rule:
        """The rule, not fitted yet."""
        return new_rule(self.rule, self.kind, self.classes, class_counts)

    def fit(self, rule: Rule, among: Tensor | None = None) -> Rule:
        """Fit a rule to all items, or to these; where there are more than `most`, to so many that are drawn of them.

        Args:
            rule: not fitted yet.
            among: which items; the same ones are drawn for every model.
        """
        items = torch.arange(len(self.y)) if among is None else among.nonzero()[:, 0]
        if self.most is not None and len(items) > self.most:
            drawn = torch.randperm(len(items), generator=torch.Generator().manual_seed(0))[: self.most]
            items = items[drawn.sort().values]
        elif among is None:
            return rule.fit(self.scores, self.y, self.value)
        return rule.fit(self.scores[items], self.y[items], self.value)

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

    def grouped(self, groups: Any) -> "Pool":
        """The same with a group of every item, where some are given."""
        if groups is None:
            return self
        codes = number_labels("fit_rule", {"groups": groups}, device="cpu").codes[0]
        if len(codes) != len(self.scores):
            came = f"groups has {len(codes):,} labels"
            raise fail("fit_rule", came, f"one for each of {len(self.scores):,} items")
        return replace(self, groups=codes)

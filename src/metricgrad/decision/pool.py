"""The data that a rule is fitted to: scores, true classes and the metric, read and checked once."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from metricgrad._checks import fail
from metricgrad._labels import number_labels
from metricgrad.decision.rule import table_of
from metricgrad.decision.scores import Inputs, Kind, class_numbers, log_scores, read_scores
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["Pool", "read_pool"]


@dataclass(frozen=True)
class Pool:
    """Scores that were read, true classes, the metric, and the group of every item where there are some."""

    scores: Tensor
    kind: Kind
    y: Tensor
    value: TableMetric
    groups: Tensor | None = None

    def argmax(self) -> Tensor:
        """Class of the largest score [sample]."""
        return log_scores(self.scores, self.kind).argmax(1)

    def value_of(self, decided: Tensor) -> float:
        """Value of the metric for decisions of the pool."""
        return float(self.value(table_of(decided, self.y, self.value.classes)))


def read_pool(p: Any, y: Any, metric: Any, inputs: Inputs, groups: Any = None) -> Pool:
    """Read a pool; InputError for what does not fit."""
    scores, kind = read_scores("fit_rule", p, inputs)
    classes = scores.shape[1] if scores.ndim == 2 else 2
    value = metric if isinstance(metric, TableMetric) else TableMetric(metric, classes)
    if not len(scores):
        raise fail("fit_rule", "there is no item", "at least one")
    codes = None
    if groups is not None:
        codes = number_labels("fit_rule", {"groups": groups}, device="cpu").codes[0]
        if len(codes) != len(scores):
            raise fail(
                "fit_rule", f"groups has {len(codes):,} labels", f"one for each of {len(scores):,} items"
            )
    return Pool(scores, kind, class_numbers("fit_rule", y, len(scores), classes), value, codes)

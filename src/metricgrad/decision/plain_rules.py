"""What is decided without a rule where outputs are no class scores: the nearest class, labels above one half."""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from metricgrad._types import Metric
from metricgrad.decision.cut_points import CutPoints, rounding_cuts
from metricgrad.decision.label_thresholds import LabelThresholds, Marks, Odds
from metricgrad.decision.rule import Argmax, Rule
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["Midpoint", "Rounding", "is_plain"]


class Rounding(CutPoints):
    """The class whose number is nearest to one real number: what is decided of it without a rule. Ties: the lower one.

    Example:
        >>> rule = Rounding(classes=3).fit([0.2, 1.7, 0.9], [0, 2, 1], "qwk")
        >>> rule.decide([-5.0, 1.4, 9.0]), rule.words()
        (tensor([0, 1, 2]), 'The class whose number is nearest (rounding).')
    """

    name = "rounding"
    least = 0

    def words(self) -> str:
        """One sentence."""
        return "The class whose number is nearest (rounding)."

    def _fit(self, logs: Float64[Tensor, "sample"], y: Int64[Tensor, "sample"], value: TableMetric) -> None:
        self.seen = torch.ones(self.classes, dtype=torch.bool)
        self.cuts = rounding_cuts(self.classes)


class Midpoint(LabelThresholds):
    """A label is there above a probability of one half, a logit of 0: what is decided of several without a rule.

    Example:
        >>> rule = Midpoint().fit([[0.9, 0.2], [0.4, 0.6]], [[1, 0], [1, 1]], "hamming_loss")
        >>> rule.decide([[0.5, 0.7]]), rule.words()
        (tensor([[0, 1]]), 'Labels that are there: those above a probability of one half (midpoint).')
    """

    name = "midpoint"
    least = 0

    def words(self) -> str:
        """One sentence."""
        return "Labels that are there: those above a probability of one half (midpoint)."

    def _search(self, odds: Odds, marks: Marks, metric: Metric) -> None:
        self.cuts = torch.zeros(self.classes, dtype=torch.float64)


def is_plain(rule: Rule) -> bool:
    """Whether a rule decides as is done without one."""
    return isinstance(rule, Argmax | Rounding | Midpoint)

"""The cut of a binary classifier that is best for the metric, among all cuts."""

import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad.decision.cuts import MOST_CALLS, Cut, best_cut
from metricgrad.decision.rule import MARGIN, Classes, LogScores, Rule, table_of
from metricgrad.decision.undefined import Undefined
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["Threshold"]


class Threshold(Rule):
    """Class 1 where its score is above a cut: the best of every cut between two distinct scores and both ends (exact).

    Of equally good cuts the nearest to one half (a logit of 0) is taken, then the one with fewest positives; the cut is
    the middle of its interval. It is kept as log odds, so that logits and probabilities give one rule.

    Attributes:
        cut: log odds of class 1 above which an item is positive; a buffer.
        found: what the search found; None where the rule was loaded.

    Edge cases:
        One item, or all scores equal: two cuts, everything positive or nothing. A metric without a formula is called
        for at most 1,000 cuts, evenly spaced among the items. Undefined for every cut: InputError.

    Gradient: none.

    Cost: O(sample log sample) and one table of two classes per cut.

    Reference:
        [lipton2014optimal]: the best cut for F1 is half the best F1; [koyejo2014consistent]: a cut is optimal for every
        metric that is a ratio of counts.

    Example:
        >>> rule = Threshold().fit([0.1, 0.3, 0.35, 0.8], [0, 1, 1, 1], "f1")
        >>> rule.decide([0.1, 0.25, 0.9]), rule.words()
        (tensor([0, 1, 1]), 'class 1 from a probability of 0.200 on (argmax: from 0.5 on).')
    """

    name = "threshold"
    least = 50
    cut: Tensor
    found: Cut | None = None

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.register_buffer("cut", torch.zeros((), dtype=torch.float64))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """One number."""
        return {**super().shapes(), "cut": ()}

    @property
    def probability(self) -> float:
        """The cut as a probability of class 1."""
        return float(self.cut.sigmoid())

    def words(self) -> str:
        """The cut as a probability, or as a logit where the scores were logits."""
        positive = self.class_name(1)
        if self.inputs == "logits":
            return (
                f"{positive} from a logit of {float(self.cut):.3f} on (probability {_short(self.probability)}; "
                "argmax: from 0 on)."
            )
        return f"{positive} from a probability of {_short(self.probability)} on (argmax: from 0.5 on)."

    def _fit(self, logs: LogScores, y: Classes, value: TableMetric) -> None:
        if self.classes != 2:
            raise fail("Threshold.fit", f"scores have {self.classes} classes", "two", "Use SlopeDecode.")
        odds = logs[:, 1] - logs[:, 0]
        low, high = torch.zeros_like(y), torch.ones_like(y)
        most = None if value.formula is not None else MOST_CALLS
        try:
            self.found = best_cut(
                odds, low, high, y, value.gains, classes=2, present=0.0, distance=torch.sigmoid, most=most
            )
        except Undefined as error:
            raise Undefined("Threshold.fit", value.failure) from error
        if self.found.thinned:
            self.note = f"the metric has no formula: {MOST_CALLS:,} cuts were looked at, not every one"
        start = float(value.gains(table_of((odds > 0).long(), y, 2)))
        better = self.found.gain > start + MARGIN
        self.cut = torch.tensor(_middle(self.found) if better else 0.0, dtype=torch.float64)
        self.seen = torch.ones(2, dtype=torch.bool)  # a cut says something of both classes

    def _choose(self, logs: LogScores) -> Classes:
        return (logs[:, 1] - logs[:, 0] > self.cut).long()


def _middle(found: Cut) -> float:
    """The middle of the interval as a probability, where float64 holds it; otherwise the cut as it was found."""
    low, high = torch.tensor(found.interval, dtype=torch.float64)
    if found.at == 0 or not bool(torch.isfinite(low) & torch.isfinite(high)):
        return found.at
    middle = torch.logit((low.sigmoid() + high.sigmoid()) / 2)
    return float(middle) if bool((low < middle) & (middle < high)) else found.at


def _short(probability: float) -> str:
    """Three figures that are not 0 or 1 unless they are."""
    return f"{probability:.3f}" if 0.001 <= probability <= 0.999 else f"{probability:.3g}"

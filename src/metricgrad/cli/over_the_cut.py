"""The metric over the cut between two classes, on the rows that the cut was fitted to: how flat it is there."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from metricgrad._types import Metric
from metricgrad.cli.scored import Scored
from metricgrad.decision import Fitted, Threshold
from metricgrad.decision.cut_curve import cut_curve
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["over_the_cut", "shown_rows"]

_SHARES = (0.9, 0.75, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
"""Of rows that are decided as the second class, at the cuts that are shown as text."""


def over_the_cut(metric: Metric, fitted: Fitted, pool: Scored) -> dict[str, Any] | None:
    """Return the metric at many cuts with its band, and between which ends the best cut of 90 % of the resamples lies.

    Cuts are probabilities of the second class where the scores are such, else differences of logits.

    Args:
        metric: that the rule was fitted for.
        fitted: the rule.
        pool: the rows that it was fitted to.

    Returns:
        What the document holds; None where the rule is no cut.
    """
    rule = fitted.rule
    if not isinstance(rule, Threshold):
        return None
    assert pool.targets is not None
    curve = cut_curve(rule, pool.scores, pool.targets, TableMetric(metric, 2), pool.groups)
    ends = [curve.best.quantile(q) for q in (0.05, 0.95)] if len(curve.best) else []

    def scale(odds: Tensor) -> Any:
        return (odds.sigmoid() if rule.inputs == "probabilities" else odds).tolist()

    return {
        "cuts": scale(curve.cuts),
        "decided": curve.above.tolist(),
        "values": curve.values.tolist(),
        "low": curve.low.tolist(),
        "high": curve.high.tolist(),
        "cut": scale(rule.cut),
        "argmax": scale(torch.zeros(())),
        "best_cut": [scale(end) for end in ends] or None,
        "resamples": len(curve.best),
    }


def shown_rows(curve: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield place and mark of the cuts that stand for the curve, ascending: argmax, the rule, and one per share."""
    cuts, decided = curve["cuts"], curve["decided"]

    def nearest(values: list[float], wanted: float) -> int:
        return min(range(len(values)), key=lambda place: abs(values[place] - wanted))

    marks = {nearest(decided, share): "" for share in _SHARES}
    marks[nearest(cuts, curve["argmax"])] = "argmax"
    marks[nearest(cuts, curve["cut"])] = "rule"
    yield from sorted(marks.items())

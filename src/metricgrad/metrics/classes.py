"""Every metric of decided classes beside those of `classification`: one module for each idea."""

from metricgrad.metrics import agreement, class_costs, class_recalls, class_shares
from metricgrad.metrics.facts import Facts

__all__ = ["FACTS"]

FACTS: tuple[Facts, ...] = (
    *agreement.FACTS,
    *class_costs.FACTS,
    *class_recalls.FACTS,
    *class_shares.FACTS,
)

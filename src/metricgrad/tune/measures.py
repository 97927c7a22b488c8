"""What a run measures, and on what: the splits as they are used, the metric, the side metrics."""

from collections.abc import Sequence
from typing import NamedTuple

from metricgrad._types import Metric
from metricgrad.metrics import adapt
from metricgrad.tune.asked import Asked
from metricgrad.tune.over_judgements import over_judgements
from metricgrad.tune.side_metrics import SideMetric, side_metrics_of
from metricgrad.tune.splits import Splits
from metricgrad.tune.usable import usable_splits

__all__ = ["Measures", "measures"]


class Measures(NamedTuple):
    """What `measures` finds.

    Attributes:
        splits: in one form, in batches of the plan.
        metric: the exact metric.
        sides: what is measured beside it.
        told: what the record must say of the splits, as sentences.
    """

    splits: Splits
    metric: Metric
    sides: tuple[SideMetric, ...]
    told: Sequence[str]


def measures(asked: Asked, batch: int | None) -> Measures:
    """Check splits and metrics against each other.

    Args:
        asked: the arguments of the call.
        batch: rows of a fit batch; None as the split has them.

    Raises:
        InputError: as `adapt`, `usable_splits` and `side_metrics_of`.
    """
    named = adapt(asked.metric, higher_is_better=asked.higher_is_better)
    splits, told = usable_splits(asked.splits, named, batch)
    metric = over_judgements(named, asked.metric, splits.fit)
    sides = side_metrics_of(asked.side_metrics, asked.may_fall, metric, splits.fit)
    return Measures(splits, metric, sides, told)

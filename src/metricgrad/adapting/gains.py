"""What a map brings on test: over the best control, and over the vectors as they came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from metricgrad._types import Metric
from metricgrad.differences import Claim, Differences
from metricgrad.tune import Splits
from metricgrad.tune.groups import grouping_of

__all__ = ["Gain", "Over", "gain_over_control", "gain_over_raw"]

Outcome = Literal["gain", "no evidence", "worse", "nothing to gain", "nothing claimed"]


@dataclass(frozen=True)
class Gain:
    """The map beside the vectors as they came, on test.

    Attributes:
        raw: the metric of the vectors as they came; None where the sides have no common space.
        adapted: of the map.
        low: lower end of the interval of adapted - raw.
        high: upper end.
        scope: what the interval is over.
        outcome: what may be said of it.
    """

    raw: float | None
    adapted: float
    low: float | None
    high: float | None
    scope: str
    outcome: Outcome


@dataclass(frozen=True)
class Over:
    """A map that was trained beside a control, on test: the best one by select, or the best closed form.

    Attributes:
        control: name of the control's arm.
        words: what the control is.
        value: the metric of the control.
        adapted: of the map.
        low: lower end of the interval of adapted - control; None where there is none.
        high: upper end.
        outcome: what may be claimed; over the best control by Holm over all contenders of the contest.
    """

    control: str
    words: str
    value: float
    adapted: float
    low: float | None
    high: float | None
    outcome: Claim


def gain_over_raw(
    metric: Metric, splits: Splits, adapted: Tensor, raw: Tensor | None, *, unchanged: bool
) -> Gain:
    """Compare test statistics, paired over units that are drawn in the groups of test."""
    value = float(metric.summarise(adapted))
    if raw is None:
        return Gain(None, value, None, None, "", "nothing claimed")
    compared = Differences(metric, {"adapted": [adapted], "raw": [raw]}, grouping_of("test", splits, metric))
    found = compared.interval({"adapted": 1.0, "raw": -1.0})
    outcome: Outcome = "nothing to gain" if unchanged else compared.against("raw")[0].claim
    before, after = (compared.interval({arm: 1.0}).value for arm in ("raw", "adapted"))
    return Gain(before, after, found.low, found.high, compared.scope.partition(";")[0], outcome)


def gain_over_control(
    metric: Metric,
    splits: Splits,
    tables: Mapping[str, Tensor],
    *,
    arm: str,
    control: str,
    words: str,
    contenders: Sequence[str],
) -> Over:
    """Compare test statistics of all arms of one seed, paired over units.

    Args:
        metric: of the statistics.
        splits: whose test says which units are drawn together.
        tables: arm -> statistics [unit, stat].
        arm: that is returned.
        control: that it is held against.
        words: what it is.
        contenders: whose claims hold together.
    """
    grouping = grouping_of("test", splits, metric)
    compared = Differences(metric, {name: [table] for name, table in tables.items()}, grouping)
    found = next(one for one in compared.against(control, contenders) if one.arm == arm)
    before, after = (compared.interval({name: 1.0}).value for name in (control, arm))
    return Over(control, words, before, after, found.interval.low, found.interval.high, found.claim)

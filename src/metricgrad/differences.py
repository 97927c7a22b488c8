"""All figures and differences of arms on the same units, from one table of resamples, and what may be claimed of them.

An arm is whatever was measured: a model of a run, a file of predictions. Every arm has the statistics of one or more
seeds. One draw of groups serves all arms and seeds, so that what is common to them cancels in their differences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._labels import Labels
from metricgrad._resampling import Watch, resampled
from metricgrad._types import Metric
from metricgrad.interval import FEWEST_GROUPS, SEEDS_OF_A_METHOD, Interval, holm, interval_of, p_value

__all__ = ["CONFIDENCE", "Claim", "Difference", "Differences", "Grouping", "plural"]

Claim = Literal["gain", "worse", "no evidence", "nothing claimed"]
"""What may be said of an arm beside another (see docs/statistics.md)."""

CONFIDENCE = 0.95
"""Of every interval: 0.95 says 95 %."""
FEWEST_EFFECTIVE = 10
"""Groups of equal size that unequal ones must count as, at least."""
MOST_UNDEFINED = 0.1
"""Share of the resamples that may be undefined."""


@dataclass(frozen=True)
class Grouping:
    """Which units are drawn together.

    Attributes:
        labels: one label per unit; None: every unit for itself.
        noun: what a group is called: `class`, `group`, or the unit itself.
        told: what a reader must know of it, or None.
    """

    labels: Labels | None
    noun: str
    told: str | None = None


@dataclass(frozen=True)
class Difference:
    """An arm beside the baseline.

    Attributes:
        arm: its name.
        interval: of arm minus baseline, in the metric's own direction: of an error rate, a gain is negative.
        p_value: two-sided, of the hypothesis that there is no difference; None where there is no interval.
        adjusted: the same after Holm's adjustment for all arms that are compared with the baseline.
        claim: `gain` and `worse` where the adjusted p-value is at most 1 - confidence, else `no evidence`;
            `nothing claimed` where no interval can be relied on.
    """

    arm: str
    interval: Interval
    p_value: float | None
    adjusted: float | None
    claim: Claim


class Differences:
    """What the statistics of all arms and seeds say together.

    Args:
        metric: that was measured.
        statistics: for each arm the statistics [unit, stat] of every seed, on the same units in the same order. A unit
            that is undefined (NaN) in some arm or seed is left out of all.
        grouping: which units are drawn together; None: every unit for itself.
        resamples: number of draws.
        watch: is told how far they are.
        confidence: share of repetitions that an interval should hold the true value in.
        seed: of the draws.

    Raises:
        InputError: arms with other units or seeds, groups that are not one per unit, no resample.

    Edge cases:
        A metric that gives one number for the whole set has values and differences, but no intervals.

    Cost:
        `resamples * group` draws; `resamples * arm * seed` calls of a summary that is no mean over units.

    Reference:
        [koehn2004significance], [holm1979simple]

    Example:
        >>> import torch
        >>> from metricgrad.metrics import adapt
        >>> metric, targets = adapt("accuracy"), torch.arange(100) % 2
        >>> outputs = {"old": targets * 0, "new": targets, "copy": targets * 0}
        >>> compared = Differences(
        ...     metric, {arm: [metric.measure(one, targets)] for arm, one in outputs.items()}
        ... )
        >>> [(one.arm, one.interval.value, one.claim) for one in compared.against("old")]
        [('new', 0.5, 'gain'), ('copy', 0.0, 'no evidence')]
    """

    def __init__(
        self,
        metric: Metric,
        statistics: Mapping[str, Sequence[Tensor]],
        grouping: Grouping | None = None,
        resamples: int = 2000,
        watch: Watch | None = None,
        *,
        confidence: float = CONFIDENCE,
        seed: int = 0,
    ) -> None:
        grouping = grouping or Grouping(None, metric.unit)
        self.confidence = confidence
        self.metric, self.grouping, self.arms = metric, grouping, list(statistics)
        self.seeds = len(next(iter(statistics.values())))
        self.table, self._nowhere = None, 0
        if metric.unit == "whole":
            self._values = np.array([[metric.summarise(one) for one in statistics[arm]] for arm in self.arms])
            return
        self.table = resampled(
            "the verdict",
            statistics,
            metric.summarise,
            groups=grouping.labels,
            resamples=resamples,
            seed=seed,
            watch=watch,
        )
        undefined = [one[:, 0].isnan() for ones in statistics.values() for one in ones]
        self._nowhere = int(torch.stack(undefined).all(0).sum())

    def interval(self, signs: Mapping[str, float]) -> Interval:
        """Return the signed sum of arms, mean over seeds, with its interval; a difference is `{one: 1, other: -1}`."""
        factors = [signs.get(arm, 0.0) for arm in self.arms]
        if self.table is not None:
            found = interval_of(self.table, factors, self.confidence, caller="the verdict")
            return found.within(_bounds(self.metric.bounds, [one for one in factors if one]))
        per_seed = factors @ self._values
        return Interval(float(per_seed.mean()), None, None, tuple(per_seed.tolist()), 0, self.confidence, 0)

    def against(self, baseline: str, arms: Sequence[str] | None = None) -> list[Difference]:
        """Return each arm beside the baseline, the claims adjusted by Holm for all of them.

        Args:
            baseline: an arm.
            arms: that are compared with it; None: all others.

        Raises:
            InputError: there is no such arm.
        """
        arms = [arm for arm in self.arms if arm != baseline] if arms is None else arms
        for arm in (baseline, *arms):
            if arm not in self.arms:
                raise fail("the verdict", f"the arm {arm!r} was not measured", f"one of {self.arms}")
        signs = [{arm: 1.0, baseline: -1.0} for arm in arms]
        values = [self._p_value(one) for one in signs]
        return [
            Difference(arm, found, value, adjusted, self._claim(found, adjusted))
            for arm, found, value, adjusted in zip(
                arms, map(self.interval, signs), values, holm(values), strict=True
            )
        ]

    def _p_value(self, signs: Mapping[str, float]) -> float | None:
        if self.table is None:
            return None
        return p_value(self.table, [signs.get(arm, 0.0) for arm in self.arms], caller="the verdict")

    def _claim(self, found: Interval, adjusted: float | None) -> Claim:
        """What may be said of a difference, in words."""
        if self.doubt is not None or found.low is None or adjusted is None:
            return "nothing claimed"
        if adjusted > 1 - self.confidence:
            return "no evidence"
        return (
            "gain" if (found.low > 0) == self.metric.higher_is_better else "worse"
        )  # 0 is outside: p <= adjusted

    @property
    def of_method(self) -> bool:
        """Whether the intervals hold the variance between seeds, so that a claim may name the method."""
        return self.seeds >= SEEDS_OF_A_METHOD

    @property
    def doubt(self) -> str | None:
        """Why nothing may be claimed, whatever the intervals are; None where nothing speaks against it."""
        table = self.table
        if table is None or table.units + table.left_out == 1:  # nor can one row be drawn from
            return "the metric gives one number for the whole set, so that no interval can be given"
        many, share = plural(self.grouping.noun), table.undefined / max(table.undefined + len(table.drawn), 1)
        if table.groups < FEWEST_GROUPS:
            return f"too few {many} ({table.groups}; at least {FEWEST_GROUPS} are needed)"
        if table.effective < FEWEST_EFFECTIVE:
            return (
                f"too few {many} ({table.groups}, but of such unequal sizes that they count as "
                f"{table.effective:.1f}; at least {FEWEST_EFFECTIVE} are needed)"
            )
        if not np.isfinite(table.values).all():
            return "the metric is undefined for some arm"
        if share > MOST_UNDEFINED:
            return f"the metric is undefined on {share:.0%} of the resamples (at most {MOST_UNDEFINED:.0%} may be)"
        return None

    @property
    def marks(self) -> list[str]:
        """What a reader must know of what was left out."""
        if self.table is None:
            return []
        found, unit = [], plural(self.metric.unit)
        partly = self.table.left_out - self._nowhere
        if partly:
            found.append(
                f"{partly:,} of {self.table.left_out + self.table.units:,} test {unit} are undefined in some arm or "
                "seed, but not in all: they are left out of every arm"
            )
        if self.table.undefined:
            total = self.table.undefined + len(self.table.drawn)
            found.append(
                f"{self.table.undefined:,} of {total:,} resamples are left out: the metric is undefined on them"
            )
        return found

    @property
    def scope(self) -> str:
        """What the intervals are over: `2,750 queries in 566 classes and 3 seeds`."""
        table, seeds = self.table, f"{self.seeds} seeds"
        units = "" if table is None else f"{table.units:,} {plural(self.metric.unit)}"
        if table is not None and self.grouping.labels is not None:
            units += f" in {table.groups:,} {plural(self.grouping.noun)}"
        if self.of_method:
            return f"over {units} and {seeds}"
        few = "one seed: of this model" if self.seeds == 1 else f"mean of {seeds}: of these models"
        return f"over {units}; {few}, not of the method"

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of a `Verdict` that say what was resampled."""
        scope = "method" if self.of_method else "models"
        if self.table is None:
            return {"scope": scope}
        return {
            "units": self.table.units,
            "left_out": self.table.left_out,
            "groups": self.table.groups,
            "group": self.grouping.noun,
            "resamples": len(self.table.drawn),
            "undefined": self.table.undefined,
            "scope": scope,
        }


def plural(noun: str) -> str:
    """Return the plural of a unit or a group."""
    if noun.endswith("y"):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith("s") else "s")


def _bounds(of_metric: tuple[float, float], factors: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest value of a weighted sum of values of the metric."""
    ends = [sorted(factor * end for end in of_metric) for factor in factors]
    return sum(low for low, _ in ends), sum(high for _, high in ends)

"""What must hold of a record beyond the types of its fields, before a page is drawn from it."""

import math
from collections.abc import Mapping
from typing import Any

from metricgrad._checks import describe
from metricgrad._records import ARMS, Curve, Fitted, Verdict

__all__ = ["time_of", "wrong_in"]

_LAST_SECOND = 253402300799
"""Of the year 9999."""


def wrong_in(record: Any) -> str | None:
    """Say what is wrong with a record whose fields have their types; None where nothing is."""
    arm = getattr(record, "arm", "start")
    if arm not in ARMS:
        return f"has the arm {describe(arm)}, none of {', '.join(ARMS)}"
    if isinstance(record, Curve) and len(record.k) != len(record.value):
        return f"has {len(record.k)} cut-offs and {len(record.value)} values"
    if isinstance(record, Curve) and not all(0 < k < 10**9 for k in record.k):
        return "has cut-offs that are none"
    if isinstance(record, Fitted):
        wrong = next((point for point in (*record.local, *record.generated) if len(point) != 2), None)
        return None if wrong is None else f"has the point {wrong}, not a pair (metric, estimate)"
    return _wrong_in_verdict(record) if isinstance(record, Verdict) else None


def _wrong_in_verdict(verdict: Verdict) -> str | None:
    """Figures are numbers or missing, under the names of arms."""
    for what, figures in (("arms", verdict.arms), ("gains", verdict.gains)):
        for arm, numbers in figures.items():
            if arm not in ARMS:
                return f"has {what} of {describe(arm)}, none of {', '.join(ARMS)}"
            for name in ("value", "gain", "low", "high", "select"):
                if not _number_or_none(numbers.get(name)):
                    return f"is wrong at {what}.{arm}.{name}: it is {describe(numbers.get(name))}"
            per_seed = numbers.get("per_seed") or []
            seeds = list(per_seed) if isinstance(per_seed, Mapping) else []
            values = per_seed.values() if isinstance(per_seed, Mapping) else per_seed
            if not isinstance(per_seed, Mapping | list) or not all(map(_number_or_none, values)):
                return f"is wrong at {what}.{arm}.per_seed: it is {describe(per_seed)}"
            if not all(isinstance(seed, str) and seed.isdecimal() for seed in seeds):
                return f"is wrong at {what}.{arm}.per_seed: its seeds are {describe(seeds)}"
    return None


def time_of(event: Mapping[str, Any]) -> float:
    """Return when an event happened, in seconds since the epoch; 0 where that is missing or no time."""
    value = event.get("time", 0.0)
    known = isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= _LAST_SECOND
    return float(value) if known else 0.0


def _number_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))

"""What must hold of a record beyond the types of its fields, before a page is drawn from it."""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from metricgrad._checks import describe
from metricgrad._decision_records import CutCurve, DecisionTables
from metricgrad._records import ROLES, Curve, Finished, Fitted, GroupFigures, RunStarted, Verdict, arms_of

__all__ = ["time_of", "wrong_in"]

_NAME = re.compile(r"\w[\w.+-]{0,63}")

_LAST_SECOND = 253402300799
"""Of the year 9999."""


def wrong_in(record: Any, arms: Collection[str]) -> str | None:
    """Say what is wrong with a record whose fields have their types; None where nothing is.

    Args:
        record: a line of a record.
        arms: the names of the run's arms; empty for the first line, which says them.
    """
    if isinstance(record, RunStarted):
        return _wrong_in_arms(record)
    arm = getattr(record, "arm", None)
    if arm is not None and arm not in arms:
        return f"has the arm {describe(arm)}, none of {', '.join(arms)}"
    if isinstance(record, Finished) and record.returned not in arms:
        return f"returned {describe(record.returned)}, none of {', '.join(arms)}"
    if isinstance(record, Curve) and len(record.k) != len(record.value):
        return f"has {len(record.k)} cut-offs and {len(record.value)} values"
    if isinstance(record, Curve) and not all(0 < k < 10**9 for k in record.k):
        return "has cut-offs that are none"
    if isinstance(record, Fitted):
        wrong = next((point for point in (*record.local, *record.generated) if len(point) != 2), None)
        return None if wrong is None else f"has the point {wrong}, not a pair (metric, estimate)"
    if isinstance(record, DecisionTables | CutCurve):
        return _wrong_in_decisions(record)
    if isinstance(record, GroupFigures):
        return _wrong_in_groups(record, arms)
    return _wrong_in_verdict(record, arms) if isinstance(record, Verdict) else None


def _wrong_in_decisions(record: DecisionTables | CutCurve) -> str | None:
    """Tables are square and alike, curves have a value for every cut."""
    if isinstance(record, CutCurve):
        lengths = {len(record.cuts), len(record.values), len(record.low), len(record.high)}
        return None if len(lengths) == 1 else f"has curves of {sorted(lengths)} points"
    sizes = {len(record.argmax), len(record.fitted), *map(len, (*record.argmax, *record.fitted))}
    if len(sizes) > 1:
        return "has tables that are not square"
    return None if len(record.names) in (0, *sizes) else f"has {len(record.names)} names of classes"


def _wrong_in_groups(record: GroupFigures, arms: Collection[str]) -> str | None:
    """Every group has its figures, and a name where any has one."""
    if record.opponent not in arms:
        return f"has the opponent {describe(record.opponent)}, none of {', '.join(arms)}"
    lengths = {len(record.items), len(record.values), len(record.against)}
    if len(lengths) > 1 or len(record.names) not in (0, *lengths):
        return "has groups without all figures"
    return None if record.items or record.why else "has no group"


def _wrong_in_arms(started: RunStarted) -> str | None:
    """One start, at least one contender, every name once and in the form that `tune` gives."""
    arms = arms_of(started)
    for arm in arms:
        if not _NAME.fullmatch(arm.name):
            return f"has the arm {describe(arm.name)}, which is no name of an arm"
    roles = [arm.role for arm in arms]
    if len({arm.name.lower() for arm in arms}) < len(arms):
        return "names two arms alike"
    if roles.count("start") != 1 or "contender" not in roles or roles != sorted(roles, key=ROLES.index):
        return (
            f"has the roles {', '.join(roles)}, not a start, controls, candidates and at least one contender"
        )
    return None


def _wrong_in_verdict(verdict: Verdict, known: Collection[str]) -> str | None:
    """Figures are numbers or missing, under the names of arms."""
    if verdict.contender and verdict.contender not in known:
        return f"speaks of {describe(verdict.contender)}, none of {', '.join(known)}"
    for what, figures in (
        ("arms", verdict.arms),
        ("gains", verdict.gains),
        ("contenders", verdict.contenders),
    ):
        for arm, numbers in figures.items():
            if arm not in known:
                return f"has {what} of {describe(arm)}, none of {', '.join(known)}"
            for name in ("value", "gain", "low", "high", "select", "p_value", "adjusted"):
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

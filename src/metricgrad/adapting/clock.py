"""How long the end of a run will take, so that the time left that is shown while it trains covers test as well."""

import time
from collections.abc import Mapping
from typing import Any

from metricgrad._types import Observer
from metricgrad.adapting.closed_forms import FORMS
from metricgrad.adapting.rows import RowSplit
from metricgrad.tune.launch import plain_lines

__all__ = ["Clock"]

READINGS = 2.0
"""Rankings of test by each arm: its metric, and the curve over k."""


class Clock:
    """Passes events on; those of training are told how many seconds test takes, by what a closed form took on select.

    Args:
        observer: receives the events; None: plain lines on standard error.
        select: of the run.
        test: of the run.
    """

    def __init__(self, observer: Observer | None, select: RowSplit, test: RowSplit) -> None:
        self.observer, self.ratio = observer or plain_lines, _pairs(test) / _pairs(select)
        self.began, self.form, self.models = time.monotonic(), 0.0, 0

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Pass an event on."""
        if event["event"] == "run_started":
            self.models = len(event["arms"]) * len(event["seeds"])
        elif event["event"] == "progress":
            if event["what"] == FORMS and event["done"]:
                self.form = (time.monotonic() - self.began) / event["done"]
            if event.get("stages"):
                event = {**event, "after": self.models * READINGS * self.ratio * self.form}
        self.observer(event)


def _pairs(split: RowSplit) -> int:
    """How many items are compared: those that ask with those that are ranked."""
    others = 0 if split.reference is None else len(split.reference.rows)
    return len(split.rows) * (others + len(split.rows) * (split.side is None))

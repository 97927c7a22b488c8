"""How long a call takes: the one clock of all that is measured here."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

__all__ = ["TURN_SECONDS", "medians", "turn"]

TURN_SECONDS = 0.2
"""A turn of a fast call is many calls, its time their median: one call would measure caches that went cold."""

_Key = TypeVar("_Key")


def turn(call: Callable[[], object]) -> float:
    """Make a call once, or as often as fits into a turn; returns the seconds of one, the median."""
    taken: list[float] = []
    total = 0.0
    while not taken or total < TURN_SECONDS:
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
        total += taken[-1]
    return statistics.median(taken)


def medians(calls: Mapping[_Key, Callable[[], object]], turns: int) -> dict[_Key, float]:
    """Let calls that are warm take turns; returns the seconds of each, the median of its turns.

    They alternate, so that a machine that slows down slows all of them.
    """
    taken: dict[_Key, list[float]] = {key: [] for key in calls}
    for _ in range(turns):
        for key, call in calls.items():
            taken[key].append(turn(call))
    return {key: statistics.median(part) for key, part in taken.items()}

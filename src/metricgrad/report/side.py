"""The side metrics of a run as tables: every arm on test and select, and how far it fell.

Pure functions of a folded record.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from metricgrad._side_records import Fall, Side
from metricgrad.report.reading import Run
from metricgrad.report.wording import interval, number, signed

__all__ = ["FALL", "SideTable", "side_tables"]

FALL = (
    "Fall: start minus arm on select in the direction of the side metric, paired; positive is worse. An arm is held "
    "back, that is not returned, where the lower end of the interval lies above what it may fall."
)


class SideTable(NamedTuple):
    """One side metric: what it is, titles after the arm's name, one row an arm."""

    name: str
    meaning: str
    titles: list[str]
    rows: list[list[str]]


def side_tables(run: Run, *, every_interval: bool = False) -> list[SideTable]:
    """Return a table per side metric; none where the run has not measured any yet.

    Args:
        run: the folded record.
        every_interval: with several seeds the interval of each fall is shown; else only the falls.
    """
    return [_table(run, side, every_interval=every_interval) for side in run.side_metrics]


def _table(run: Run, side: Side, *, every_interval: bool) -> SideTable:
    seeds, rows = sorted(run.start.seeds), []
    for arm in run.arms:
        falls = [run.falls[side.name, arm, seed] for seed in seeds if (side.name, arm, seed) in run.falls]
        rows.append(
            [
                arm,
                _mean(run, side.name, arm, "test"),
                _mean(run, side.name, arm, "select"),
                _fall(falls),
                _by_seed(falls, every_interval=every_interval),
                _outcome(falls, seeds),
            ]
        )
    by_seed = "by seed" if len(seeds) > 1 else ""
    return SideTable(side.name, _meaning(side), ["test", "select", "fall", by_seed, ""], rows)


def _mean(run: Run, name: str, arm: str, split: str) -> str:
    """Mean over seeds of what was measured; empty where nothing was."""
    values = [one.value for key, one in run.sides.items() if (*key[:2], key[3]) == (name, arm, split)]
    if not values:
        return ""
    value = sum(values) / len(values)
    return number(value if math.isfinite(value) else None)


def _fall(falls: Sequence[Fall]) -> str:
    if not falls:
        return ""
    known = [fall.fall for fall in falls if fall.fall is not None]
    return signed(sum(known) / len(known) if len(known) == len(falls) else None)


def _by_seed(falls: Sequence[Fall], *, every_interval: bool) -> str:
    """The fall of each seed, of more than three the least and the largest; of one seed its interval."""
    if len(falls) == 1:
        return _interval(falls[0])
    if every_interval:
        return "; ".join(f"{signed(fall.fall)} {_interval(fall)}".strip() for fall in falls)
    known = [fall.fall for fall in falls if fall.fall is not None]
    if len(known) > 3:
        return f"{signed(min(known))} to {signed(max(known))}"
    return " ".join(signed(fall.fall) for fall in falls)


def _interval(fall: Fall) -> str:
    return interval({"low": fall.low, "high": fall.high}, sign=True)


def _outcome(falls: Sequence[Fall], seeds: Sequence[int]) -> str:
    """Whether the arm is not returned for its fall; the seeds where that is not so with all of them."""
    held = [str(fall.seed) for fall in falls if fall.held_back]
    if held:
        return "held back" if len(held) == len(seeds) else f"held back: {', '.join(held)}"
    return "not judged" if any(fall.told and fall.may_fall is not None for fall in falls) else ""


def _meaning(side: Side) -> str:
    """What it is, which way is better, and how the fall is to be read."""
    better = "higher is better" if side.higher_is_better else "lower is better"
    limit = "it is only measured" if side.may_fall is None else f"it may fall by {side.may_fall:g}"
    described = f"{side.description.rstrip('.')}; " if side.description else ""
    return f"{described}{better}; {limit}."

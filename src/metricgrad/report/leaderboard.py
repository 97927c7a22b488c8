"""All arms of a contest in one table: what each reaches on test, and what is claimed of it.

Pure functions of a folded record. Start and controls stand among the contenders, so that a reader sees where they are.
"""

import math
from typing import NamedTuple

from metricgrad.report.reading import Run
from metricgrad.report.wording import arm_meaning, duration, interval, number, per_seed, signed

__all__ = ["Board", "Cell", "Place", "leaderboard"]


class Cell(NamedTuple):
    """A figure, and below it in small letters what belongs to it, a line each."""

    text: str
    notes: tuple[str, ...] = ()


class Place(NamedTuple):
    """One arm: its name, what it is, and its cells."""

    arm: str
    meaning: str
    returned: bool
    cells: list[Cell]


class Board(NamedTuple):
    """Titles after the name of the arm, and the arms, the best on test first."""

    titles: list[str]
    places: list[Place]


def leaderboard(run: Run) -> Board | None:
    """Return the table of a contest; None for a run with one contender, and before its verdict.

    Args:
        run: a folded record.

    Edge cases:
        without a test split the order is that of select, and no gain is shown. An arm without a value is last.
    """
    if run.verdict is None or len(run.named("contender")) < 2:
        return None
    tested = any(figures.get("value") is not None for figures in run.verdict.arms.values())
    titles = [f"test {run.start.metric}"] if tested else []
    titles += [f"select {run.start.metric}"]
    titles += [f"gain over {run.verdict.baseline}", "p", "p (Holm)", "claim"] if tested else []
    arms = sorted(run.arms, key=lambda arm: _order(run, arm, tested=tested))
    returned = run.finished.returned if run.finished else None
    places = [
        Place(arm, _meaning(run, arm), arm == returned, _cells(run, arm, tested=tested)) for arm in arms
    ]
    return Board([*titles, "trained for"], places)


def _order(run: Run, arm: str, *, tested: bool) -> tuple[bool, float]:
    """The best first, what has no value last."""
    value = run.verdict.arms.get(arm, {}).get("value") if run.verdict and tested else run.select_of(arm)
    if value is None or not math.isfinite(value):
        return True, 0.0
    return False, -value if run.start.higher_is_better else value


def _meaning(run: Run, arm: str) -> str:
    """What the arm is; the one that the contenders are compared with says so."""
    held = "; the contenders are compared with it" if run.verdict and arm == run.verdict.baseline else ""
    return f"{arm_meaning(run, arm)}{held}"


def _cells(run: Run, arm: str, *, tested: bool) -> list[Cell]:
    """What stands after the name; only contenders have gains."""
    verdict = run.verdict
    figures = verdict.arms.get(arm, {}) if verdict else {}
    one = verdict.contenders.get(arm, {}) if verdict else {}
    cells = [Cell(number(figures.get("value")), _known(interval(figures)))] if tested else []
    cells.append(Cell(number(run.select_of(arm))))
    if tested:
        seeds = " ".join(signed(value) for _, value in per_seed(one, run.start.seeds))
        notes = _known(interval(one, sign=True), f"by seed {seeds}" if len(run.start.seeds) > 1 else "")
        cells.append(Cell(signed(one["gain"]), notes) if "gain" in one else Cell(""))
        cells += [Cell(number(one[name]) if name in one else "") for name in ("p_value", "adjusted")]
        cells.append(Cell(str(one.get("claim") or "")))
    seconds = run.seconds_of(arm)
    return [*cells, Cell("" if seconds is None else duration(seconds))]


def _known(*notes: str) -> tuple[str, ...]:
    return tuple(note for note in notes if note)

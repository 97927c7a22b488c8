"""The groups of test: whom an arm serves worst, and who loses by it beside its opponent.

Pure functions of a folded record.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from metricgrad._records import GroupFigures
from metricgrad.report.reading import Run
from metricgrad.report.sections import Table
from metricgrad.report.wording import number, plural, signed

__all__ = ["MOST_GROUPS", "ByGroup", "by_group"]

MOST_GROUPS = 20
"""Of a table: of more groups the worst, and those that lose most."""


class ByGroup(NamedTuple):
    """The part of the page: its heading, sentences, and tables under headings of their own."""

    heading: str
    told: list[str]
    tables: list[tuple[str, Table]]


class _Group(NamedTuple):
    """One group: what it is called, its units, the metric of both arms, the gain, where both are defined."""

    name: str
    items: int
    value: float | None
    against: float | None
    gain: float | None


def by_group(run: Run) -> ByGroup | None:
    """How the groups of test are served; None where units have no groups, or the record does not say."""
    found = run.groups
    if found is None:
        return None
    many = plural(found.noun)
    heading = f"{many.capitalize()} of test"
    if found.why:
        return ByGroup(heading, [f"There is no table: {found.why}."], [])
    groups = _groups(found, run.start.higher_is_better)
    worst = sorted(groups, key=lambda one: _badness(one, run.start.higher_is_better))
    losing = sorted((one for one in groups if (one.gain or 0) < 0), key=lambda one: one.gain or 0)
    titles = [found.noun, plural(run.start.unit), found.arm, found.opponent, "gain"]

    def table(rows: Sequence[_Group]) -> Table:
        return Table(titles, [_cells(one) for one in rows[:MOST_GROUPS]])

    told = [_meaning(run, found), _summary(groups, found.noun), _of_names(found)]
    if len(groups) <= MOST_GROUPS:
        return ByGroup(heading, told, [(f"All {many}, the worst first", table(worst))])
    told[1] += " The line group_figures of record.jsonl has all of them."
    tables = [(f"The {MOST_GROUPS} worst of {len(groups):,}{_as_bad(worst)}", table(worst))]
    if losing:
        shown = min(MOST_GROUPS, len(losing))
        tables.append((f"The {shown} that lose most, of {len(losing):,} that lose", table(losing)))
    return ByGroup(heading, told, tables)


def _groups(found: GroupFigures, higher_is_better: bool) -> list[_Group]:
    """The groups in their order: the first that appears in test is number 1."""
    names = found.names or [f"{found.noun} {place}" for place in range(1, len(found.items) + 1)]
    sign = 1.0 if higher_is_better else -1.0
    return [
        _Group(name, items, value, against, _gain(sign, value, against))
        for name, items, value, against in zip(names, found.items, found.values, found.against, strict=True)
    ]


def _gain(sign: float, value: float | None, against: float | None) -> float | None:
    """Positive is better; a difference that is nothing but rounding is none."""
    if value is None or against is None:
        return None
    same = math.isclose(value, against, rel_tol=1e-9, abs_tol=1e-12)
    return 0.0 if same else sign * (value - against)


def _badness(one: _Group, higher_is_better: bool) -> tuple[bool, float, int]:
    """A key: the worst value first, of equals the group with the most units; without a value last."""
    value = one.value or 0.0
    return one.value is None, value if higher_is_better else -value, -one.items


def _as_bad(worst: Sequence[_Group]) -> str:
    """How many further groups are as bad as the last that is shown."""
    last = worst[MOST_GROUPS - 1].value
    equal = sum(one.value == last for one in worst[MOST_GROUPS:])
    return f"; {equal:,} more are as bad as the last" if equal and last is not None else ""


def _cells(one: _Group) -> list[str]:
    return [one.name, f"{one.items:,}", number(one.value), number(one.against), signed(one.gain)]


def _meaning(run: Run, found: GroupFigures) -> str:
    """What the columns are, and what may not be read from them."""
    seeds = len(run.start.seeds)
    averaged = f", mean over {seeds} seeds" if seeds > 1 else ""
    return (
        f"{run.start.metric} of {found.arm} and of {found.opponent} in every {found.noun}{averaged}. Gain: positive is "
        f"better. Nothing is claimed of a single {found.noun}: where it is small, chance alone moves it."
    )


def _summary(groups: Sequence[_Group], noun: str) -> str:
    """How many gain, stay as they are and lose."""
    gains = [one.gain for one in groups if one.gain is not None]
    counts = {
        "gain": sum(gain > 0 for gain in gains),
        "equal": sum(gain == 0 for gain in gains),
        "lose": sum(gain < 0 for gain in gains),
    }
    shares = [f"{count:,} ({count / len(groups):.0%})" for count in counts.values()]
    told = f"Of {len(groups):,} {plural(noun, len(groups))} {shares[0]} gain, {shares[1]} are equal, {shares[2]} lose."
    undefined = len(groups) - len(gains)
    return f"{told} In {undefined:,} the metric is undefined (n/a)." if undefined else told


def _of_names(found: GroupFigures) -> str:
    """Why there are numbers in the place of names; empty where there are names."""
    if found.names:
        return ""
    return (
        f"The number of a {found.noun} is its place in the order of first appearance in test. Names are left "
        "out unless the run was told to write them: they may be those of persons, and a report is passed on."
    )

"""What a run found, for the terminal: a rich table, and the same as plain lines.

Both are pure functions of the events. The plain form is what `Result.summary()` returns and what goes to a log.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from metricgrad.report.decisions import rule_of, rules_note, without_rule
from metricgrad.report.reading import Run, condense
from metricgrad.report.side import FALL, side_tables
from metricgrad.report.wording import (
    caveats,
    direction,
    duration,
    forms_told,
    gain_meaning,
    headline,
    interval,
    interval_meaning,
    number,
    opponents,
    per_seed,
    resampling,
    signed,
    status,
)

__all__ = ["closing_table", "summary_text"]

_STYLES = {"gain": "bold green", "worse": "bold red", "no evidence": "bold yellow"}


def closing_table(events: Iterable[Mapping[str, Any]], *, folder: Path | None = None) -> Group:
    """Build what the command line prints when a run ends, or when its record is shown.

    Args:
        events: the events of a run, as `record.jsonl` holds them.
        folder: the run folder; with it the places of weights and report are shown.

    Returns:
        a rich renderable: the verdict, the metric by arm with intervals, the gains, the caveats and the files.

    Raises:
        InputError: the events are no record of a run.

    Edge cases:
        an unfinished run: the select values so far, and no verdict.
    """
    run = condense(events)
    arms = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    arms.add_column(Text(run.start.metric), no_wrap=True)
    for title in _arm_titles(run):
        arms.add_column(Text(title), justify="right")
    for arm, *cells in _arm_rows(run):
        arms.add_row(*map(Text, (arm, *cells)), style="bold" if run.role(arm) == "contender" else None)
    parts: list[Any] = [Text(headline(run), style=_STYLES.get(status(run), "bold")), Text(), arms]
    if rows := _gain_rows(run):
        gains = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        gains.add_column(Text(f"gain of {run.contender} over"), no_wrap=True)
        for title in _gain_titles(run):
            gains.add_column(title, justify="right")
        for row in rows:
            gains.add_row(*map(Text, row))
        parts += [Text(), gains]
    for side in side_tables(run):
        parts += [Text(), _rich([[side.name, *side.titles], *side.rows])]
    parts += [Text(line, style="dim") for line in _explanations(run)]
    parts += [Text(f"note: {line}", style="yellow") for line in caveats(run)]
    parts += [Text(line, no_wrap=True, overflow="ignore") for line in _places(run, folder)]
    return Group(*parts)


def summary_text(events: Iterable[Mapping[str, Any]], *, folder: Path | None = None) -> str:
    """Put what a run found into plain lines, without colour and without any width to fit.

    Args:
        events: the events of a run, as `record.jsonl` holds them.
        folder: the run folder; with it the places of weights and report are named.

    Returns:
        lines joined by newlines, without a newline at the end.

    Raises:
        InputError: the events are no record of a run.

    Edge cases:
        an unfinished run: the select values so far, and no verdict.

    Example:
        >>> from metricgrad._records import RunStarted, event_of
        >>> begun = RunStarted(
        ...     "recall@1", "any relevant at 1", True, "query", "surrogate", None, None, [0], {}, {}, 1
        ... )
        >>> print(summary_text([event_of(begun)]).splitlines()[0])
        Unfinished: no training step yet. Nothing is claimed before the run has ended.
    """
    run = condense(events)
    lines = [headline(run), "", *_aligned([[run.start.metric, *_arm_titles(run)], *_arm_rows(run)])]
    if rows := _gain_rows(run):
        lines += ["", *_aligned([[f"gain of {run.contender} over", *_gain_titles(run)], *rows])]
    for side in side_tables(run):
        lines += ["", *_aligned([[side.name, *side.titles], *side.rows])]
    lines += _explanations(run)
    lines += [f"note: {line}" for line in caveats(run)]
    return "\n".join(lines + _places(run, folder))


def _rich(rows: list[list[str]]) -> Table:
    """Rows of text, titles first, as a table; empty columns go."""
    found = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    keep = [index for index in range(len(rows[0])) if any(row[index] for row in rows)]
    for index in keep:
        found.add_column(Text(rows[0][index]), justify="right" if index else "left", no_wrap=True)
    for row in rows[1:]:
        found.add_row(*(Text(row[index]) for index in keep))
    return found


def _arm_titles(run: Run) -> list[str]:
    """Column titles after the arm's name, over which the metric's stands."""
    rules = ["decides by"] if run.rules else []
    argmax = [f"test at {without_rule(run)}"] if run.rules and _tested(run) else []
    return [*(["test", ""] if _tested(run) else []), *argmax, "select", *rules, "trained for"]


def _arm_rows(run: Run) -> list[list[str]]:
    """One row an arm: name, test value and interval where there is a test split, select value, its rule."""
    rows = []
    for arm in run.arms:
        numbers = run.verdict.arms.get(arm, {}) if run.verdict else {}
        test = [number(numbers.get("value")), interval(numbers)] if _tested(run) else []
        argmax = [number(numbers.get("argmax", {}).get("value"))] if run.rules and _tested(run) else []
        rules = [rule_of(run, arm)] if run.rules else []
        seconds = run.seconds_of(arm)
        trained = "" if seconds is None else duration(seconds)
        rows.append([arm, *test, *argmax, number(run.select_of(arm)), *rules, trained])
    return rows


def _tested(run: Run) -> bool:
    """Whether the verdict rests on a test split."""
    return run.verdict is not None and any(arm.get("value") is not None for arm in run.verdict.arms.values())


def _gain_titles(run: Run) -> list[str]:
    """Column titles after the opponent's name."""
    return ["gain", "", "by seed"] if len(run.start.seeds) > 1 else ["gain", ""]


def _gain_rows(run: Run) -> list[list[str]]:
    """One row an opponent: name, gain, interval and, where several seeds were run, the gain of each."""
    rows = []
    for arm in opponents(run):
        gain = run.verdict.gains[arm] if run.verdict else {}
        row = [arm, signed(gain.get("gain")), interval(gain, sign=True)]
        if len(run.start.seeds) > 1:
            row.append(_by_seed([value for _, value in per_seed(gain, run.start.seeds)]))
        rows.append(row)
    return rows


def _by_seed(values: list[float]) -> str:
    """The gain of every seed or, of more than three, the least and the largest."""
    if len(values) > 3:
        return f"{signed(min(values))} to {signed(max(values))}"
    return " ".join(map(signed, values))


def _explanations(run: Run) -> list[str]:
    """What the figures mean: the metric's reading, the interval, the optimism, the metric calls."""
    lines = [
        f"{run.start.metric}: {run.start.metric_description.rstrip('.') or 'as given'}; {direction(run)}."
    ]
    if not run.verdict:
        return lines
    if run.budget and run.budget.arm_steps:
        lines.append("The arms trained for equal time, by steps that were timed before, not for equal steps.")
    elif len(run.trained) > 1:
        lines.append("The arms took equal steps, not equal time; the last column says how long each trained.")
    lines += forms_told(run)
    sides = side_tables(run)
    lines += [rules_note(run)] if run.rules else []
    lines += [f"{side.name}: {side.meaning}" for side in sides] + ([FALL] if sides else [])
    lines += [gain_meaning(run)] if run.verdict.gains else []
    lines += [text] if (text := interval_meaning(run)) else []
    lines += [f"Resamples: {text}"] if (text := resampling(run)) else []
    if run.verdict.optimism is not None:
        lines.append(f"Optimism (gain on select minus gain on test): {signed(run.verdict.optimism)}.")
    calls = ", ".join(f"{count:,} on {split}" for split, count in run.verdict.metric_calls.items())
    return lines + ([f"Metric calls: {calls}."] if calls else [])


def _places(run: Run, folder: Path | None) -> list[str]:
    """Where the weights and the report are, as far as they exist."""
    lines = []
    if run.finished:
        weights = Path(run.finished.weights)
        lines.append(f"Weights ({run.finished.returned}): {folder / weights if folder else weights}")
    if folder and (page := folder / "report.html").is_file():
        lines.append(f"Report: {page}")
    return lines


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows of text as lines, the first column to the left and the others to the right; empty columns go."""
    keep = [index for index in range(len(rows[0])) if any(row[index] for row in rows)]
    widths = [max(len(row[index]) for row in rows) for index in keep]
    lines = []
    for row in rows:
        cells = [row[index] for index in keep]
        first, *others = [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append("  ".join([first, *others]).rstrip())
    return lines

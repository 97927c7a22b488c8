"""What `metricgrad adapt --table` prints: the leaderboard, what to use, what that gains, other metrics, tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad.cli.compare_verdict import ends
from metricgrad.cli.decide_text import shown
from metricgrad.cli.output import console

__all__ = ["draw"]

_MOST_CLASSES = 8
"""Of a table that a terminal shows."""


def draw(found: Mapping[str, Any]) -> None:
    """Print the document of a table that was learned."""
    from rich.text import Text

    screen = console()

    def say(*lines: str) -> None:
        for line in lines:
            screen.print(Text(line), soft_wrap=True)

    direction = "higher is better" if found["higher_is_better"] else "lower is better"
    say("", f"{found['metric']} ({direction})")
    screen.print(_leaderboard(found["lines"]))
    used = found["used"]
    say(
        "",
        f"Use: {used['name']} (rule: {used['rule']})",
        *(f"  {line}" for line in used["words"].splitlines()),
    )
    say(f"Why: {found['choice']['told']}")
    say(*[_gain(found["metric"], used["name"], one) for one in found["gains"]])
    say(*([f"Nothing is claimed: {found['doubt']}."] if found["doubt"] else []))
    first, second = list(found["tables"]) if len(found["tables"]) > 1 else (used["name"], used["name"])
    say("", "Other metrics on test (no claim)")
    screen.print(_others(found["others"], first, second))
    if len(found["classes"]) <= _MOST_CLASSES:
        say("", f"True classes in rows; decided by {first} on the left, by {second} on the right")
        screen.print(_confusion(found["classes"], found["tables"][first], found["tables"][second]))
    say("", *(f"note: {note}" for note in found["notes"]), f"folder: {found['folder']}")
    say(f"report: {found['report']}")
    say(f"new rows: metricgrad predict {found['folder']} new.csv")


def _leaderboard(lines: Sequence[Mapping[str, Any]]) -> Any:
    """One line per way to decide."""
    table = _table("", "rule", "pool", "test", "95% interval", "")
    for one in lines:
        interval = ends(one["low"], one["high"], "")
        mark = "<- use" if one["used"] else ""
        table.add_row(one["name"], one["rule"], _figure(one["pool"]), _figure(one["test"]), interval, mark)
    return table


def _gain(metric: str, used: str, one: Mapping[str, Any]) -> str:
    """What is used beside another line."""
    interval = ends(one["low"], one["high"], "+")
    return f"{used} over {one['over']}: {metric} {one['value'] + 0.0:+.4f} (95% interval {interval}): {one['claim']}"


def _others(others: Sequence[Mapping[str, Any]], first: str, second: str) -> Any:
    """The usual metrics of both decisions."""
    table = _table("", first, second, "difference")
    for one in others:
        table.add_row(
            one["metric"],
            _figure(one["before"]),
            _figure(one["after"]),
            f"{one['after'] - one['before'] + 0.0:+.4f}",
        )
    return table


def _confusion(
    classes: Sequence[str], before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]
) -> Any:
    """Both confusion tables side by side."""
    names = [shown(name) for name in classes]
    table = _table("", *names, "", *names)
    for name, one, other in zip(names, before, after, strict=True):
        table.add_row(name, *(f"{count:,}" for count in one), "", *(f"{count:,}" for count in other))
    return table


def _table(first: str, *columns: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


def _figure(value: float) -> str:
    return "undefined" if value != value else f"{value:.4f}"

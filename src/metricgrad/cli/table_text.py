"""What `metricgrad adapt --table` prints: the leaderboard, what to use, what that gains, other metrics, tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad.cli.compare_verdict import ends
from metricgrad.cli.output import console
from metricgrad.cli.two_decisions import (
    MOST_CLASSES,
    confusion_tables,
    figure,
    other_metrics,
    plain_table,
    say,
    signed,
)

__all__ = ["draw"]


def draw(found: Mapping[str, Any]) -> None:
    """Print the document of a table that was learned."""
    screen = console()

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
    screen.print(other_metrics(found["others"], first, second))
    if len(found["classes"]) <= MOST_CLASSES:
        say("", f"True classes in rows; decided by {first} on the left, by {second} on the right")
        screen.print(confusion_tables(found["classes"], found["tables"][first], found["tables"][second]))
    say("", *(f"note: {note}" for note in found["notes"]), f"folder: {found['folder']}")
    say(f"report: {found['report']}")
    say(f"new rows: metricgrad predict {found['folder']} new.csv")


def _leaderboard(lines: Sequence[Mapping[str, Any]]) -> Any:
    """One line per way to decide."""
    table = plain_table("", "rule", "pool", "test", "95% interval", "")
    for one in lines:
        interval = ends(one["low"], one["high"], "")
        mark = "<- use" if one["used"] else ""
        table.add_row(one["name"], one["rule"], figure(one["pool"]), figure(one["test"]), interval, mark)
    return table


def _gain(metric: str, used: str, one: Mapping[str, Any]) -> str:
    """What is used beside another line."""
    interval = ends(one["low"], one["high"], "+")
    return f"{used} over {one['over']}: {metric} {signed(one['value'])} (95% interval {interval}): {one['claim']}"

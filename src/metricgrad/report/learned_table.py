"""The page of a table that was learned: leaderboard, rule, other metrics, confusion tables, columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metricgrad.report.page_file import write_page
from metricgrad.report.per_class import class_table
from metricgrad.report.sections import Table
from metricgrad.report.template import template

__all__ = ["write_table_page"]

_MOST_CLASSES = 40
"""Of a confusion table that the page shows."""


def write_table_page(facts: Mapping[str, Any], target: Path) -> Path:
    """Write what `metricgrad adapt --table` found as one HTML file that opens offline.

    Args:
        facts: as the command prints them with --json.
        target: the file.

    Returns:
        Its path.

    Raises:
        RunFolderError: it cannot be written.

    Edge cases:
        Confusion tables of more than 40 classes are left out.
    """
    small = facts["tables"] if len(facts["classes"]) <= _MOST_CLASSES else {}
    text = template("learned_table.html").render(
        metric=facts["metric"],
        target=facts["target"],
        used=facts["used"],
        words=facts["used"]["words"].splitlines(),
        parts=facts["parts"],
        network=facts["network"],
        choice=facts["choice"]["told"],
        doubt=facts["doubt"],
        board=_board(facts["lines"]),
        gains=_gains(facts["gains"]),
        others=_others(facts["others"], list(facts["tables"])),
        every_class=_classes(facts["classes"], facts["tables"]),
        confusion=[(name, _confusion(facts["classes"], one)) for name, one in small.items()],
        columns=_columns(facts["schema"]),
        warnings=facts["schema"]["warnings"],
        notes=facts["notes"],
    )
    write_page(target, text)
    return target


def _board(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            one["name"],
            one["rule"],
            _figure(one["pool"]),
            _figure(one["test"]),
            _ends(one["low"], one["high"]),
            "use" if one["used"] else "",
        ]
        for one in lines
    ]
    return Table(["", "rule", "pool", "test", "95% interval", ""], rows)


def _gains(gains: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [one["over"], f"{one['value']:+.4f}", _ends(one["low"], one["high"]), one["claim"]] for one in gains
    ]
    return Table(["over", "difference on test", "95% interval", "claim"], rows)


def _others(others: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    rows = [[one["metric"], _figure(one["before"]), _figure(one["after"])] for one in others]
    return Table(["", names[0], names[-1]], rows)


def _confusion(classes: Sequence[str], table: Sequence[Sequence[int]]) -> Table:
    rows = [[name, *(f"{count:,}" for count in counts)] for name, counts in zip(classes, table, strict=True)]
    return Table(["", *classes], rows)


def _classes(names: Sequence[str], tables: Mapping[str, Sequence[Sequence[int]]]) -> Table:
    """Recall, precision and F1 of every class, by the first of the tables and by the last."""
    was, now = next(iter(tables)), list(tables)[-1]
    return class_table(names, tables[was], tables[now], was=was, now=now)


def _columns(schema: Mapping[str, Any]) -> Table:
    rows = [
        [one["name"], one["kind"], f"{one['distinct']:,}", f"{one['missing']:,}", one["note"]]
        for one in schema["columns"]
    ]
    rows += [[one["name"], "left out", "", "", one["why"]] for one in schema["dropped"]]
    return Table(["column", "kind", "different values", "missing", "note"], rows)


def _figure(value: float) -> str:
    return "undefined" if value != value else f"{value:.4f}"


def _ends(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else f"{low:.4f} to {high:.4f}"

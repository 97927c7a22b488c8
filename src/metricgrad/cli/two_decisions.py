"""How two decisions of the same rows stand side by side in a terminal: figures, other metrics, confusion tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad.cli.output import console

__all__ = [
    "MOST_CLASSES",
    "confusion_tables",
    "figure",
    "other_metrics",
    "plain_table",
    "say",
    "shown",
    "signed",
]

MOST_CLASSES = 8
"""Of a confusion table that a terminal shows."""


def say(*lines: str) -> None:
    """Print lines as they are."""
    from rich.text import Text

    for line in lines:
        console().print(Text(line), soft_wrap=True)


def other_metrics(others: Sequence[Mapping[str, Any]], first: str, second: str) -> Any:
    """The usual metrics of both decisions."""
    table = plain_table("", first, second, "difference")
    for one in others:
        before, after = one["before"], one["after"]
        table.add_row(one["metric"], figure(before), figure(after), signed(after - before))
    return table


def confusion_tables(
    classes: Sequence[str], before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]
) -> Any:
    """Both confusion tables side by side."""
    names = [shown(name) for name in classes]
    table = plain_table("", *names, "", *names)
    for name, one, other in zip(names, before, after, strict=True):
        table.add_row(name, *(f"{count:,}" for count in one), "", *(f"{count:,}" for count in other))
    return table


def plain_table(first: str, *columns: str) -> Any:
    """A table without lines; the first column is text, the others are numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


def figure(value: float) -> str:
    """A value of a metric."""
    return "undefined" if value != value else f"{value:.4f}"


def signed(value: float) -> str:
    """A difference of two values."""
    return "-" if value != value else f"{value + 0.0:+.4f}"


def shown(name: str) -> str:
    """A class as a terminal may show it: what would steer it is spelt out."""
    return name if name.isprintable() else ascii(name)

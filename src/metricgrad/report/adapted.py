"""What the page shows of a run of `adapt`: the question, the gain and its base, what to rebuild, forms, queries."""

import csv
import math
from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad._checks import describe
from metricgrad.report.sections import Table

__all__ = ["adapted_part"]

SHOWN = 10
"""Queries at either end."""


def adapted_part(document: Mapping[str, Any], per_query: str) -> dict[str, Any]:
    """The facts, the table of closed forms and the queries that gain and lose most.

    Args:
        document: what adapted.json holds.
        per_query: what per-query.csv holds; empty where there is none.

    Raises:
        ValueError, KeyError, TypeError: they are not as `adapt` writes them.
    """
    metric = _text(document["metric"])
    facts = [
        ("question", _text(document["question"])),
        ("before and after", _gain(document["gain"], metric)),
        *_over_form(document.get("over_form")),
        ("map", _text(document["map"])),
        ("to rebuild", _text(document["rebuild"])),
    ]
    tried = [(_text(one["words"]), _number(one["value"])) for one in document["closed_forms"]]
    tried.sort(key=lambda one: -one[1])
    forms = Table(["closed form", f"{metric} on select"], [[words, f"{value:.4f}"] for words, value in tried])
    worst, best = _queries(per_query)
    return {"facts": facts, "forms": forms, "worst": worst, "best": best}


def _gain(gain: Mapping[str, Any], metric: str) -> str:
    """The base value beside what the map gives."""
    after = f"{metric} {_number(gain['adapted']):.4f}"
    if gain["raw"] is None:
        return f"{after}; the vectors as they came have no figure"
    raw = _number(gain["raw"])
    found = f"{raw:.4f} of the vectors as they came, {after} of the map: {gain['adapted'] - raw:+.4f}"
    return f"{found}{_interval(gain)}"


def _over_form(over: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What training brings over the best closed form, where the page says it nowhere else."""
    if over is None:
        return []
    value = _number(over["value"])
    found = f"{value:.4f} of {_text(over['words'])}: {_number(over['adapted']) - value:+.4f}{_interval(over)}"
    return [("over the best closed form", found)]


def _interval(gain: Mapping[str, Any]) -> str:
    if gain["low"] is None or gain["high"] is None:
        return ""
    return f" (95 % interval {_number(gain['low']):+.4f} to {_number(gain['high']):+.4f})"


def _queries(text: str) -> tuple[Table | None, Table | None]:
    """The queries that lose most, and those that gain most; None where there are none."""
    rows = list(csv.DictReader(text.splitlines()))
    names = list(rows[0]) if rows else []
    by = next((name for name in ("adapted-raw", "adapted-control") if name in names), None)
    if by is None:
        return None, None
    values = [(_number(float(row[by])), row) for row in rows if row[by]]
    titles = ["query", *(name for name in ("raw", "control", "adapted") if name in names), "change"]
    values.sort(key=lambda one: one[0])

    def table(chosen: Sequence[tuple[float, Mapping[str, str]]]) -> Table | None:
        cells = [
            [row["query"], *(f"{float(row[name]):.4f}" for name in titles[1:-1]), f"{change:+.4f}"]
            for change, row in chosen
        ]
        return Table(titles, cells) if cells else None

    worse = [one for one in values[:SHOWN] if one[0] < 0]
    better = [one for one in values[::-1][:SHOWN] if one[0] > 0]
    return table(worse), table(better)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text is {describe(value)}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a number is {describe(value)}")
    return value

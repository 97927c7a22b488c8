"""The tables of docs/evidence.md, from evidence/*.csv and evidence/explained.yaml.

.venv/bin/python -m benchmarks.evidence_page     writes them into the page; a test compares
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.evidence import CELLS, EVIDENCE, cells, rows_of
from benchmarks.evidence_trees import READ as TREES

PAGE = Path(__file__).parent.parent / "docs" / "evidence.md"
EXPLAINED = EVIDENCE / "explained.yaml"
_BLOCK = re.compile(r"(<!-- ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def counts() -> list[str]:
    """What all cells say together."""
    rows = rows_of(CELLS)
    gains = [row for row in rows if row["claim"] == "gain"]
    some = [row for row in rows if row["arms_with_a_gain"]]
    autos = [row for row in rows if row["auto_beside"]]
    beside = [row for row in autos if float(row["auto_high"] or row["auto_minus"]) >= 0]
    worse, runs = (sum(int(row["worse_than_start"].split(" of ")[i]) for row in rows) for i in (0, 1))
    left = [cell.name for cell in cells() if cell.digest not in {row["recipe"] for row in rows}]
    lines = [
        f"* {len(rows)} cells are read, {len(left)} of those that have a recipe are left{_listed(left)}.",
        f"* In **{len(gains)} of {len(rows)}** the contender that `select` prefers is better than the best control "
        f"beyond its interval, after Holm. In {len(some)} some contender is.",
        f"* `auto` takes part in {len(autos)}. In {len(beside)} of them the arm that is best on test, whichever it is, "
        "is not better than it beyond its interval.",
        f"* In **{worse} of {runs}** runs (cell and seed) the model that `select` returns is worse on test than the "
        "start beyond its interval.",
    ]
    return [*lines, *beside_trees()]


def beside_trees() -> list[str]:
    """In how many cells boosted trees are better than every network, and in how many a network is."""
    rows, chosen = rows_of(TREES), {row["cell"]: float(row["best_value"]) for row in rows_of(CELLS)}
    above = sum(float(row["gain"]) > 0 for row in rows)
    surely, below = (sum(_side(row) == side for row in rows) for side in (1, -1))
    over_chosen = sum(
        float(row["test"]) > chosen[row["cell"]]
        if row["better"] == "higher"
        else float(row["test"]) < chosen[row["cell"]]
        for row in rows
    )
    of = f"of {len(rows)}"
    return [
        f"* **Boosted trees**, a rival from outside, stand beside {len(rows)} cells on tables. In **{above} {of}** "
        f"they are better on test than every arm, in {surely} of them surely. In {over_chosen} {of} they are "
        f"better than the contender that `select` prefers. In {below} {of} the best arm surely is better than they are."
    ]


def _side(row: Mapping[str, str]) -> int:
    """1 where trees surely are better than the best arm, -1 where they surely are worse, else 0.

    Sure is what the interval of the paired gain says; without one, that of the trees and that of the arm must not meet.
    """
    if row["gain_low"]:
        low, high = float(row["gain_low"]), float(row["gain_high"])
    else:
        low, high = float(row["low"]) - float(row["arm_high"]), float(row["high"]) - float(row["arm_low"])
        low, high = (low, high) if row["better"] == "higher" else (-high, -low)
    return (low > 0) - (high < 0)


def table() -> list[str]:
    """A line for each cell."""
    heads = [
        "cell",
        "opponent",
        "contender",
        "gain",
        "p (Holm)",
        "claim",
        "`auto` minus the best",
        "worse than start",
        "boosted trees",
    ]
    trees = {row["cell"]: row for row in rows_of(TREES)}
    options = {cell.name: cell.recipe.get("data", {}) for cell in cells()}
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows_of(CELLS):
        gain = _ends(row, "gain", "low", "high")
        auto = f"{_ends(row, 'auto_minus', 'auto_low', 'auto_high')} {row['auto_beside']}".strip()
        told = [
            _asked(row, options[row["cell"]]),
            f"{row['opponent']} {row['opponent_value']}",
            f"{row['best']} {row['best_value']}",
            *(gain, row["holm_p"], f"**{row['claim']}**" if row["claim"] == "gain" else row["claim"]),
            *(auto, row["worse_than_start"], _rival(trees.get(row["cell"]))),
        ]
        lines.append("| " + " | ".join(told) + " |")
    return lines


def _asked(row: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """The task with what the recipe sets of its data, and the metric."""
    told = ", ".join(f"`{name}={value}`" for name, value in options.items())
    return f"[{row['task']}](tasks.md#{row['task']}){' with ' * bool(told)}{told}, {row['metric']}"


def explained() -> list[str]:
    """Why a cell is no gain, a sentence each."""
    sentences: Mapping[str, str] = yaml.safe_load(EXPLAINED.read_text(encoding="utf-8")) or {}
    rows = [row for row in rows_of(CELLS) if row["claim"] != "gain"]
    return [f"* **{row['task']}, {row['metric']}**: {sentences[row['cell']].strip()}" for row in rows]


BLOCKS: Mapping[str, Callable[[], list[str]]] = {"counts": counts, "cells": table, "explained": explained}


def written() -> str:
    """The page with its blocks anew."""

    def block(found: re.Match[str]) -> str:
        return "\n".join([found[1], *BLOCKS[found[2]](), "", found[3]])

    return _BLOCK.sub(block, PAGE.read_text(encoding="utf-8"))


def _rival(row: Mapping[str, str] | None) -> str:
    """The value of boosted trees with its interval, and what they gain over the best arm."""
    if row is None:
        return ""
    gain = _ends(row, "gain", "gain_low", "gain_high")
    return f"{_ends(row, 'test', 'low', 'high')}; {gain} over {row['arm']}"


def _ends(row: Mapping[str, str], value: str, low: str, high: str) -> str:
    """A difference with its interval, where there is one."""
    if not row[value]:
        return ""
    return f"{row[value]} ({row[low]} to {row[high]})" if row[low] else row[value]


def _listed(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")

"""The tables of docs/decision-evidence.md, from the figures that `benchmarks.decision_rules` wrote.

.venv/bin/python -m benchmarks.decision_page     writes them into the page; a test compares
"""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.decision_rules import ARGMAX, CELLS, FITTED, PORTFOLIO, TREES

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "decision-evidence.md"
ARMS = (
    "start",
    "continued",
    "class weights",
    "balanced softmax",
    "soft metric",
    "slope",
    PORTFOLIO[0],
    TREES,
)
METRICS = {
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "MCC",
    "quadratic_kappa": "quadratic kappa",
    "g_mean": "G-mean",
}
_BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Rows = Mapping[tuple[str, str], Mapping[str, str]]


def cells() -> Iterator[tuple[str, Rows]]:
    """Each task and metric with its rows by arm and decision."""
    for task, metrics in CELLS.items():
        with (DOCS / f"decision-rules-{task}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for metric in metrics:
            own = {(row["arm"], row["decision"]): row for row in rows if row["metric"] == metric}
            yield f"{task}, {METRICS[metric]}", own


def rule_gains() -> list[str]:
    """What the rule alone brings to the start, and the two other rules."""
    lines = _head("cell", "argmax", "its rule", "gain of the rule", "prior shift", "class biases")
    for name, rows in cells():
        plain = rows["start", ARGMAX]
        gain = [f"{-float(plain[key]):+.4f}" for key in ("minus_start", "high", "low")]
        told = f"{gain[0]} ({gain[1]} to {gain[2]})"
        others = [rows["start", rule]["test"] for rule in ("prior", "biases")]
        own = rows["start", FITTED]["test"]
        lines.append(_row(name, plain["test"], own, _bold(told, float(gain[1]) > 0), *others))
    return lines


def arms() -> list[str]:
    """Every arm with its rule; the best value of the trained networks is bold."""
    lines = _head("cell", *ARMS)
    for name, rows in cells():
        found = [rows[arm, FITTED]["test"] for arm in ARMS]
        best = max(map(float, found[:6]))
        lines.append(_row(name, *(_bold(value, float(value) == best) for value in found)))
    return lines


def gains() -> list[str]:
    """What every arm with its rule gains over the start with its rule."""
    shown = [arm for arm in ARMS if arm != "start"]
    lines = _head("cell", *shown)
    for name, rows in cells():
        line = []
        for arm in shown:
            row = rows[arm, FITTED]
            told = f"{row['minus_start']} ({row['low']} to {row['high']})"
            line.append(_bold(told, float(row["low"]) > 0))
        lines.append(_row(name, *line))
    return lines


def claims() -> list[str]:
    """What is claimed of every contender over the opponent that select prefers."""
    contenders = ("balanced softmax", "soft metric", "slope", PORTFOLIO[0])
    lines = _head("cell", "opponent", *contenders)
    for task, metrics in CELLS.items():
        with (DOCS / f"decision-rules-{task}-claims.csv").open(newline="", encoding="utf-8") as file:
            rows = {(row["metric"], row["arm"]): row for row in csv.DictReader(file)}
        for metric in metrics:
            found = [rows[metric, arm] for arm in contenders]
            told = [f"{row['gain']} ({row['low']} to {row['high']}), {row['claim']}" for row in found]
            marked = [_bold(text, row["claim"] == "gain") for text, row in zip(told, found, strict=True)]
            lines.append(_row(f"{task}, {METRICS[metric]}", found[0]["baseline"], *marked))
    return lines


def counted() -> list[str]:
    """In how many cells an arm is as good as the best one, and in how many below the start with its rule."""
    with (DOCS / "decision-rules.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = _head(
        "arm", "decides by", "within the interval of the best arm", "below the start", "surely below"
    )
    for row in rows:
        figures = [row[key] for key in ("within_best", "below_start", "below_start_beyond_interval")]
        decision = "its rule" if row["decision"] == FITTED else row["decision"]
        lines.append(_row(row["arm"], decision, *(f"{figure} of {row['cells']}" for figure in figures)))
    return lines


def written(text: str) -> str:
    """The page with its tables made anew."""
    tables = {"rules": rule_gains, "arms": arms, "gains": gains, "claims": claims, "counts": counted}
    return _BLOCK.sub(lambda found: "\n".join([found[1] + "\n".join(tables[found[2]]()), found[3]]), text)


def _head(*titles: str) -> list[str]:
    return [_row(*titles), "|" + "---|" * len(titles)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _bold(text: str, whether: bool) -> str:
    return f"**{text}**" if whether else text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

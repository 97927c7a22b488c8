"""What a contest of several methods leaves: a table of its arms, from the record alone."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from metricgrad._checks import fail
from metricgrad._decision_records import plain_name
from metricgrad._records import START, Budget, RunStarted, Verdict, arms_of, record_of
from metricgrad.tune.checkpoint import write_atomically
from metricgrad.tune.result import Result

__all__ = ["Comparison", "Row"]

_TITLES = (
    "method", "test", "", "at argmax", "select", "decides by", "gain", "", "p (Holm)", "claim", "time", "steps"
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One arm of a comparison.

    Attributes:
        name: of the arm.
        role: `start`, `control`, `candidate` (of a portfolio) or `contender`.
        method: its roads.
        value: the metric on test, mean over seeds; None without a test split, as all below that follow from it.
        low: lower end of its interval.
        high: upper end.
        select: the metric on select, mean over seeds.
        gain: of a contender over the baseline, mean over seeds; positive is better.
        gain_low: lower end of its interval.
        gain_high: upper end.
        p_value: of no difference, two-sided.
        adjusted: the same after Holm's adjustment for all contenders.
        claim: `gain`, `no evidence`, `worse` or `nothing claimed`, by the adjusted p-value.
        seconds: of training, over all seeds and tries; of a portfolio that of the arms it chose from.
        steps: of one try; of a start model the most that it might take; of a portfolio those of all its arms; 0 of a
            control that trains nothing.
        baseline: whether the contenders are compared with this arm.
        returned: whether its weights are returned.
        rule: the rule that decides, each once where seeds have different ones; empty where none does.
        argmax: then the metric on test with argmax instead, mean over seeds.
        argmax_low: lower end of its interval.
        argmax_high: upper end.
        argmax_select: the metric on select with argmax.
        rule_gain: what the rule brings on test over argmax; positive is better.
        rule_low: lower end of its interval.
        rule_high: upper end.
    """

    name: str
    role: str
    method: str
    value: float | None
    low: float | None
    high: float | None
    select: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    p_value: float | None
    adjusted: float | None
    claim: str | None
    seconds: float
    steps: int
    baseline: bool
    returned: bool
    rule: str = ""
    argmax: float | None = None
    argmax_low: float | None = None
    argmax_high: float | None = None
    argmax_select: float | None = None
    rule_gain: float | None = None
    rule_low: float | None = None
    rule_high: float | None = None


class Comparison:
    """The outcome of `compare`, read from its record.

    Args:
        result: of a finished contest.

    Attributes:
        result: the run: record, weights, report.
        table: one `Row` for each arm: start, controls, contenders.
        metric: its name.
        sentence: the verdict on the contender that select prefers.

    Raises:
        InputError: the run is not finished.

    Example:
        >>> Comparison.load("runs/digits").summary()  # doctest: +SKIP
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        started, budget, verdict = (_record(result, name) for name in ("run_started", "budget", "verdict"))
        finished = result.event("finished")
        if verdict is None or finished is None:
            raise fail(
                "Comparison",
                f"the run in {result.folder} is not finished",
                "a finished one",
                "Make the same call of compare again: it goes on from the last checkpoint.",
            )
        self.metric, self.sentence = started.metric, verdict.sentence
        seconds, rules = _seconds(result.events), _rules(result.events)
        self.table = _rows(started, budget, verdict, finished["returned"], seconds, rules)

    @classmethod
    def load(cls, folder: str | Path) -> "Comparison":
        """Read the comparison of a run folder.

        Raises:
            InputError: the folder holds no record, or its run is not finished.
        """
        return cls(Result.load(folder))

    @property
    def best(self) -> nn.Module | None:
        """The network with the returned weights: of the arm and seed that select prefers. None for a loaded one."""
        return self.result.model

    def save(self, path: str | Path) -> Path:
        """Copy the run folder and draw its report; see `Result.save`."""
        return self.result.save(path)

    def summary(self) -> str:
        """Return sentence and table as plain text."""
        plain = f"at {plain_name(name for row in self.table for name in row.rule.split(' or '))}"
        titles = [plain if title == "at argmax" else title for title in _TITLES]
        rows = [[self.metric, *titles], *map(_cells, self.table)]
        rows = _without_empty(rows, (plain, "decides by"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        baseline = next((row.name for row in self.table if row.baseline), None)
        told = (
            []
            if baseline is None
            else [f"Gains over {baseline}, the opponent that select prefers; positive is better."]
        )
        return "\n".join([self.sentence, "", *lines, *told])

    def to_csv(self, path: str | Path) -> Path:
        """Write the table as CSV, one row for each arm; what is missing is empty.

        Raises:
            RunFolderError: the file cannot be written.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.table)
        write_atomically(Path(path), text.getvalue().encode())
        return Path(path)

    def to_json(self, path: str | Path) -> Path:
        """Write metric, sentence and table as JSON.

        Raises:
            RunFolderError: the file cannot be written.
        """
        write_atomically(Path(path), (json.dumps(self.facts, indent=1) + "\n").encode())
        return Path(path)

    @property
    def facts(self) -> dict[str, Any]:
        """Metric, sentence and table as plain values."""
        return {
            "metric": self.metric,
            "sentence": self.sentence,
            "table": [asdict(row) for row in self.table],
        }


def _record(result: Result, name: str) -> Any:
    event = result.event(name)
    return None if event is None else record_of(event)


def _seconds(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds that every arm trained, each stage once however often its line was written."""
    stages = {
        (event["seed"], event["arm"], event["attempt"]): event["seconds"]
        for event in events
        if event["event"] == "stage_finished"
    }
    total: dict[str, float] = {}
    for (_, arm, _), seconds in stages.items():
        total[arm] = total.get(arm, 0.0) + seconds
    return total


def _rules(events: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Names of the rules that decide for every arm, each once."""
    names: dict[str, dict[str, None]] = {}
    for event in events:
        if event["event"] == "rule_fitted":
            names.setdefault(event["arm"], {})[event["rule"]] = None
    return {arm: " or ".join(found) for arm, found in names.items()}


def _rows(
    started: RunStarted,
    budget: Budget,
    verdict: Verdict,
    returned: str,
    seconds: Mapping[str, float],
    rules: Mapping[str, str],
) -> list[Row]:
    rows = []
    for arm in arms_of(started):
        figures, beside = verdict.arms[arm.name], verdict.contenders.get(arm.name, {})
        argmax, rule = figures.get("argmax", {}), figures.get("rule", {})
        trained = [name for name in arm.members if name != START] or ([] if arm.derived else [arm.name])
        steps = (budget.start_steps or 0) if arm.role == "start" else sum(map(budget.steps_of, trained))
        claim = beside.get("claim")
        if claim is None and arm.role == "contender":
            claim = "nothing claimed"  # there is no test split
        rows.append(
            Row(
                name=arm.name,
                role=arm.role,
                method=arm.method,
                value=figures["value"],
                low=figures["low"],
                high=figures["high"],
                select=figures["select"],
                gain=beside.get("gain"),
                gain_low=beside.get("low"),
                gain_high=beside.get("high"),
                p_value=beside.get("p_value"),
                adjusted=beside.get("adjusted"),
                claim=claim,
                seconds=round(sum(seconds.get(name, 0.0) for name in trained), 3),
                steps=steps,
                baseline=arm.name == verdict.baseline,
                returned=arm.name == returned,
                rule=rules.get(arm.name, ""),
                argmax=argmax.get("value"),
                argmax_low=argmax.get("low"),
                argmax_high=argmax.get("high"),
                argmax_select=argmax.get("select"),
                rule_gain=rule.get("gain"),
                rule_low=rule.get("low"),
                rule_high=rule.get("high"),
            )
        )
    return rows


def _without_empty(rows: Sequence[Sequence[str]], titles: Sequence[str]) -> list[list[str]]:
    """Leave out columns of these titles in which nothing stands."""
    kept = [
        place
        for place, title in enumerate(rows[0])
        if title not in titles or any(row[place] for row in rows[1:])
    ]
    return [[row[place] for place in kept] for row in rows]


def _cells(row: Row) -> list[str]:
    """A row as text."""

    def number(value: float | None, form: str = ".4f") -> str:
        return "" if value is None else f"{value:{form}}"

    def interval(low: float | None, high: float | None, form: str) -> str:
        return "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"

    return [
        row.name + (" *" if row.returned else ""),
        row.method,
        number(row.value),
        interval(row.low, row.high, ".4f"),
        number(row.argmax),
        number(row.select),
        row.rule,
        number(row.gain, "+.4f"),
        interval(row.gain_low, row.gain_high, "+.4f"),
        number(row.adjusted, ".3g"),
        row.claim or "",
        f"{row.seconds:.1f} s",
        f"{row.steps:,}",
    ]

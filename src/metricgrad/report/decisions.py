"""The decision rules of a run: which rule every arm decides by, what it brought, and what a portfolio chose from.

Pure functions of a folded record.
"""

from collections.abc import Sequence
from typing import NamedTuple

from metricgrad._decision_records import DecisionTables, plain_name
from metricgrad.report.chart import Axis, Band, Chart, Level, Series
from metricgrad.report.look import look_of, look_of_role
from metricgrad.report.per_class import class_table
from metricgrad.report.reading import Run
from metricgrad.report.sections import Table
from metricgrad.report.wording import interval, number, signed

__all__ = [
    "classes_of",
    "cut_figure",
    "cut_meaning",
    "decision_tables",
    "rule_of",
    "rules_note",
    "without_rule",
]

_MOST_CLASSES = 30


class DecisionTable(NamedTuple):
    """A heading, titles and rows of text; whether the last column holds sentences."""

    heading: str
    titles: list[str]
    rows: list[list[str]]
    told: bool = False


def without_rule(run: Run) -> str:
    """What is decided without the rules of a run: argmax, or rounding, or the midpoint of labels."""
    return plain_name(rule.rule for rule in run.rules.values())


def rules_note(run: Run) -> str:
    """What a reader of the table must know of the rules."""
    return (
        "Decisions: every arm by the rule that select fits for its weights; on select each half by the rule of the "
        f"other half. At {without_rule(run)}: the same weights without a rule."
    )


def rule_of(run: Run, arm: str) -> str:
    """The rule that an arm decides by; each once where seeds have different ones."""
    names = [run.rules[arm, seed].rule for seed in sorted(run.start.seeds) if (arm, seed) in run.rules]
    return " or ".join(dict.fromkeys(names))


def decision_tables(run: Run) -> list[DecisionTable]:
    """All tables of the section, those without a row left out."""
    found = [_gain_table(run), _rule_table(run), *_pick_tables(run), *_confusion_tables(run)]
    return [table for table in found if table.rows]


def _rule_table(run: Run) -> DecisionTable:
    """Every arm and seed: the metric on select with argmax and with the rule, and the rule in words."""
    rows = []
    for arm in run.arms:
        for seed in sorted(run.start.seeds):
            found = run.rules.get((arm, seed))
            if found is not None:
                told = (
                    found.words
                    if not found.note
                    else f"{found.words} {found.note[0].upper()}{found.note[1:]}."
                )
                rows.append([str(seed), arm, number(found.argmax), number(found.cross_fitted), told])
    titles = ["seed", "arm", without_rule(run), "rule, cross-fitted", "the rule in words"]
    return DecisionTable("Rules of the arms, values on select", titles, rows, told=True)


def _gain_table(run: Run) -> DecisionTable:
    """What the rule brought each arm on test, with its paired interval."""
    figures = {} if run.verdict is None else run.verdict.arms
    rows = [
        [
            arm,
            number(figures[arm]["argmax"].get("value")),
            number(figures[arm].get("value")),
            signed(figures[arm]["rule"].get("gain")),
            interval(figures[arm]["rule"], sign=True),
            interval(figures[arm]["argmax"]),
            interval(figures[arm]),
        ]
        for arm in run.arms
        if "rule" in figures.get(arm, {})
    ]
    titles = [
        "arm",
        without_rule(run),
        "rule",
        "gain of the rule",
        "its interval",
        f"that of {without_rule(run)}",
        "that with the rule",
    ]
    return DecisionTable("What the rules bring on test", titles, rows)


def _pick_tables(run: Run) -> list[DecisionTable]:
    """What each portfolio returned for every seed and why, then its candidates by value with a mark at that one."""
    tables = [_gate_table(run, arm) for arm in sorted({arm for arm, _ in run.picks})]
    for (arm, seed), pick in sorted(run.picks.items()):
        rows = [
            [one.name, number(one.value), "returned" if one.name == pick.returned else ""]
            for one in pick.candidates
        ]
        tables.append(DecisionTable(f"Candidates of {arm}, seed {seed}", ["candidate", "select", ""], rows))
    return tables


def _gate_table(run: Run, arm: str) -> DecisionTable:
    """A row for each seed: the best candidate, by how much it is better than the start, what was returned."""
    rows = []
    for (_, seed), pick in sorted(item for item in run.picks.items() if item[0][0] == arm):
        values = {one.name: one.value for one in pick.candidates}
        gains = (signed(one) for one in (pick.gain, pick.low))
        rows.append([str(seed), pick.best, number(values[pick.best]), *gains, pick.returned])
    titles = ["seed", "best candidate", "select", "over the start with its rule", "10 % quantile", "returned"]
    return DecisionTable(f"What {arm} returns: the best candidate if the quantile is above 0", titles, rows)


def _confusion_tables(run: Run) -> list[DecisionTable]:
    """Confusion tables of the returned arm, with argmax and with its rule; none of very many classes."""
    found = run.confusion
    if found is None or len(found.argmax) > _MOST_CLASSES:
        return []
    return [
        DecisionTable(f"{found.arm}, seed {found.seed}, {found.split}: {way}", *_cells(_names(found), table))
        for way, table in ((without_rule(run), found.argmax), ("with its rule", found.fitted))
    ]


def classes_of(run: Run) -> tuple[str, Table] | None:
    """How well the returned arm decides each class, and of what; None where the record has no confusion tables."""
    found = run.confusion
    if found is None:
        return None
    table = class_table(_names(found), found.argmax, found.fitted, was=without_rule(run), now="rule")
    classes = "Items" if found.names else "Classes by their numbers, items"
    told = f"{found.arm}, seed {found.seed}, {found.split}. {classes} by their true class."
    return (told, table) if table.rows else None


def _names(found: DecisionTables) -> list[str]:
    """What the classes are called; by their numbers where the record has no names."""
    return found.names or [str(place) for place in range(len(found.argmax))]


def _cells(names: list[str], table: Sequence[Sequence[int]]) -> tuple[list[str], list[list[str]]]:
    rows = zip(names, table, strict=True)
    return ["true \\ decided", *names], [[name, *(f"{count:,}" for count in row)] for name, row in rows]


def cut_figure(run: Run) -> Chart | None:
    """The metric over the cut on select, with its bootstrap band, the fitted cut and that of argmax.

    Returns:
        the figure, or None where the returned arm decides by no cut.
    """
    cuts = run.cuts
    if cuts is None or not any(value is not None for value in cuts.values):
        return None
    ink, grey, bands = look_of(run, cuts.arm).ink, look_of_role("start").ink, []
    if cuts.resamples:
        ends = zip(cuts.cuts, cuts.low, cuts.high, strict=True)
        whole = [(at, low, high) for at, low, high in ends if low is not None and high is not None]
        at, low, high = ([one[place] for one in whole] for place in range(3))  # a gap would part the band
        bands = [Band(at, low, high, ink)]
    told = [
        f"cut {cut:.3f}: {'undefined' if value is None else f'{value:.4f}'}"
        for cut, value in zip(cuts.cuts, cuts.values, strict=True)
    ]
    return Chart(
        [Series(cuts.cuts, cuts.values, ink, cuts.arm, width=2.5, told=told)],
        Axis("cut (log odds of class 1)"),
        Axis(f"select {run.start.metric}"),
        height=280,
        bands=bands,
        levels=[Level(cuts.cut, grey), Level(cuts.default, grey, "dot")],
        legend=False,
    )


def cut_meaning(run: Run) -> str:
    """How the figure of the cut is to be read."""
    cuts = run.cuts
    if cuts is None:
        return ""
    spread = ""
    if cuts.cut_low is not None and cuts.cut_high is not None:
        bounds = interval({"low": cuts.cut_low, "high": cuts.cut_high}, sign=True)
        spread = f" The best cut of 90 % of {cuts.resamples:,} resamples lies in {bounds}."
    return (
        f"Line: {run.start.metric} on select over the cut, weights of {cuts.arm}, seed {cuts.seed}; band: pointwise "
        f"95 % bootstrap. Solid mark: the fitted cut ({signed(cuts.cut)}); dotted: argmax.{spread}"
    )

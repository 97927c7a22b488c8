"""What a rule of decision brings, and what a loss brings beside it: five tasks, two metrics each.

    .venv/bin/python -m benchmarks.decision_rules choose income    tries on `select`
    .venv/bin/python -m benchmarks.decision_rules read income      five seeds, reads `test`
    .venv/bin/python -m benchmarks.decision_rules count            all tables of `read` together
    .venv/bin/python -m benchmarks.decision_rules choose income --quick     four steps; the table under runs/, not docs/

They write docs/decision-rules-income-tries.csv, docs/decision-rules-income.csv, docs/decision-rules-income-claims.csv
and docs/decision-rules.csv.

The start is trained with cross-entropy to its plateau on `select`. Every arm then takes the same number of steps from
it on the same batches. Two arms are controls: cross-entropy continued, and cross-entropy weighted by the inverse of the
class counts. The others are balanced softmax, the soft metric and the slope loss. Every arm, the start included,
decides by a rule that `select` fits for its weights. The figures of argmax are those of the same weights; `select`
chose their step by the cross-fitted value of the rule. The portfolio (`method="auto"`) chooses among these arms on
`select`.

`choose` gives every arm the same four learning rates for each metric, on a seed that is not reported, and grows the
boosted trees with and without early stopping. `read` takes the best of them, trains five seeds, and only then reads
test. Two further rules are fitted to the start for comparison: one shift by the class shares, and a bias for each class
(whatever the number of items in select). Intervals: paired bootstrap over test samples, mean of the seeds, with the
variance between seeds.
"""

import argparse
import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from benchmarks.contests import (
    Tries,
    best_tries,
    contest,
    metric_of,
    shown,
    spelt,
    statistics_of,
    tried,
    write,
)
from benchmarks.trees import TreeScores, tree_scores
from metricgrad._types import Metric
from metricgrad.decision import ClassBiases, PriorShift, cross_fitted, fit_rule
from metricgrad.decision.rule import Rule
from metricgrad.differences import Differences
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Comparison
from metricgrad.tune.weights import load_model

CELLS: Mapping[str, tuple[str, str]] = {
    "letters_long_tail": ("macro_f1", "balanced_accuracy"),
    "satellite": ("macro_f1", "mcc"),
    "income": ("quadratic_kappa", "macro_f1"),
    "shuttle": ("macro_f1", "g_mean"),
    "fashion_long_tail": ("macro_f1", "mcc"),
}
"""The metrics of each task."""

SEEDS, DEVELOPMENT_SEED, RESAMPLES = (0, 1, 2, 3, 4), 100, 2000
RATES = [{"learning_rate": rate} for rate in (3e-4, 1e-3, 3e-3, 1e-2)]
ARMS: Tries = {
    "continued": ("proxy", RATES),
    "class weights": ("surrogate:class_weighted_cross_entropy", RATES),
    "balanced softmax": ("surrogate:balanced_softmax", RATES),
    "soft metric": ("surrogate:soft_confusion", RATES),
    "slope": ("surrogate:slope", RATES),
}
CONTROLS, TREES = ("class weights",), "boosted trees"
PORTFOLIO = ("portfolio", "auto", {})
"""Trains nothing here: its candidates are the start and arms that take part anyway, and means of their weights."""

EARLY_STOPPING = [{"early_stopping": early} for early in (False, True)]
FITTED, ARGMAX = "fitted", "argmax"
ROOT = Path(__file__).parent.parent


class Decided(NamedTuple):
    """An arm with one way to decide.

    Attributes:
        arm: its name.
        decision: `fitted` by the rule that suits the number of classes, `argmax`, or the name of another rule.
        test: statistics of the test split of every seed.
        select: the metric on select, mean over seeds; cross-fitted where a rule decides.
        ours: whether it can be the best arm: one that was trained, with argmax or the fitted rule; not the portfolio.
    """

    arm: str
    decision: str
    test: list[Tensor]
    select: float
    ours: bool = True


def task_of(name: str, metric: str) -> Task:
    """A task, judged by this metric."""
    return replace(import_module(f"metricgrad.tasks.{name}").load({}), metric=metric)


def parts_of(task: Task) -> tuple[ArraySplit, ArraySplit]:
    """Select and test."""
    select, test = task.splits.select, task.splits.test
    assert isinstance(select, ArraySplit) and isinstance(test, ArraySplit)
    return select, test


def choose(name: str, runs: Path, tables: Path, *, quick: bool) -> None:
    """Train the tries of every arm for each metric, grow the trees, and write what select says."""
    grown = [
        tree_scores(task_of(name, "accuracy"), rounds=2 if quick else 100, **one) for one in EARLY_STOPPING
    ]
    rows = []
    for metric in CELLS[name]:
        task = task_of(name, metric)
        found = tried(
            task, ARMS, runs / f"choose-{metric}", seed=DEVELOPMENT_SEED, plan=task.plan, quick=quick
        )
        for number, (scores, settings) in enumerate(zip(grown, EARLY_STOPPING, strict=True)):
            value = fit_rule(scores.select, parts_of(task)[0].targets, metric).cross_fitted
            found.append([TREES, number, shown(value, ".5f"), _text(settings)])
        rows += [[metric, *row] for row in found]
    write(tables / f"decision-rules-{name}-tries.csv", ["metric", "arm", "try", "select", "settings"], rows)


def read(name: str, runs: Path) -> None:
    """Train the best try of every arm with every seed for each metric; then read test and write what it says."""
    grown = cache(partial(tree_scores, task_of(name, "accuracy"), test=True))
    best = best_tries(ROOT / "docs" / f"decision-rules-{name}-tries.csv", ["metric", "arm"])
    rows, claims = [], []
    for metric in CELLS[name]:
        task = task_of(name, metric)
        arms = [(spelt(arm), method, best[metric, arm]) for arm, (method, _) in ARMS.items()]
        found = contest(
            task,
            [*arms, PORTFOLIO],
            runs / f"read-{metric}",
            seeds=SEEDS,
            plan=task.plan,
            controls=[spelt(arm) for arm in CONTROLS],
        )
        claims += [[metric, *row] for row in claimed(found)]
        decided = [*of_arms(found), *of_start(found, task), *of_trees(task, grown, **best[metric, TREES])]
        rows += [[metric, *row] for row in compared(metric_of(task), decided)]
    header = ["metric", "arm", "decision", "test", "spread", "minus_start", "low", "high"]
    header += ["minus_best", "low_best", "high_best", "select"]
    write(ROOT / "docs" / f"decision-rules-{name}.csv", header, rows)
    header = ["metric", "baseline", "arm", "gain", "low", "high", "holm_p", "claim"]
    write(ROOT / "docs" / f"decision-rules-{name}-claims.csv", header, claims)


def claimed(found: Comparison) -> list[list[Any]]:
    """What a contest claims of every contender over the opponent that select prefers."""
    baseline = next(row.name for row in found.table if row.baseline)
    return [
        [
            spoken(baseline),
            spoken(row.name),
            *(shown(one, "+.4f") for one in (row.gain, row.gain_low, row.gain_high)),
            shown(row.adjusted, ".3g"),
            row.claim,
        ]
        for row in found.table
        if row.role == "contender"
    ]


def spoken(name: str) -> str:
    """The name of an arm as the tables have it."""
    return {spelt(arm): arm for arm in ARMS}.get(name, name)


def of_arms(found: Comparison) -> list[Decided]:
    """Every arm of a contest, with its rule and with argmax."""
    verdict = found.result.event("verdict")
    assert verdict is not None
    decided = []
    for arm, fitted in statistics_of(found).items():
        name, figures, ours = spoken(arm), verdict["arms"][arm], arm != PORTFOLIO[0]
        decided.append(Decided(name, FITTED, fitted, figures["select"], ours))
        plain = statistics_of(found, "/argmax")[arm]
        decided.append(Decided(name, ARGMAX, plain, figures["argmax"]["select"], ours))
    return decided


def of_start(found: Comparison, task: Task) -> list[Decided]:
    """The start models of a contest with two other rules."""
    parts, fit = parts_of(task), task.splits.fit
    assert isinstance(fit, ArraySplit)
    counts = torch.bincount(fit.targets)
    decided = []
    for rule in (PriorShift, ClassBiases):
        test, select = [], []
        for seed in SEEDS:
            model = task.model(seed)
            load_model(found.result.folder / "arms" / f"seed{seed}-start-try0.safetensors", model)
            with torch.no_grad():
                here, there = (model.eval()(part.inputs) for part in parts)
            one, value = _judged(task, rule(class_counts=counts, inputs="logits"), here, there)
            test.append(one)
            select.append(value)
        decided.append(Decided("start", rule.name, test, sum(select) / len(select), ours=False))
    return decided


def of_trees(task: Task, grown: Callable[..., TreeScores], *, early_stopping: bool) -> list[Decided]:
    """The boosted trees with the rule that the arms have, and with argmax; without early stopping one for all seeds."""
    metric, found = metric_of(task), []
    select, test = parts_of(task)
    for seed in SEEDS if early_stopping else SEEDS[:1]:
        scores = grown(early_stopping=early_stopping, seed=seed)
        assert scores.test is not None
        fitted = fit_rule(scores.select, select.targets, metric)
        of_rules = [fitted.rule.decide(scores.test), scores.test.argmax(1)]
        tables = [metric.measure(classes, test.targets) for classes in of_rules]
        found.append((tables, (fitted.cross_fitted, fitted.argmax_value)))
    found *= len(SEEDS) // len(found)
    decided = []
    for number, decision in enumerate((FITTED, ARGMAX)):
        select = sum(values[number] for _, values in found) / len(found)
        decided.append(Decided(TREES, decision, [tables[number] for tables, _ in found], select, ours=False))
    return decided


def _judged(task: Task, rule: Rule, select: Tensor, test: Tensor) -> tuple[Tensor, float]:
    """Statistics of test, decided by a rule that all of select fits, and the cross-fitted value on select."""
    metric, (pool, locked) = metric_of(task), parts_of(task)
    crossed = metric.measure(cross_fitted(select, pool.targets, metric, rule, inputs="logits"), pool.targets)
    decided = rule.fit(select, pool.targets, metric).decide(test)
    return metric.measure(decided, locked.targets), float(metric.summarise(crossed))


def compared(metric: Metric, decided: Sequence[Decided]) -> list[list[Any]]:
    """Rows of all arms: value, spread over seeds, difference to the start with its rule and to the best of ours."""
    named = {f"{one.arm}, {one.decision}": one for one in decided}
    table = Differences(metric, {name: one.test for name, one in named.items()}, None, RESAMPLES)
    own = {name: table.interval({name: 1.0}) for name in named}
    best = max((name for name, one in named.items() if one.ours), key=lambda name: own[name].value)
    rows = []
    for name, one in named.items():
        spread = torch.tensor(own[name].per_seed, dtype=torch.float64).std().item()
        row: list[Any] = [one.arm, one.decision, shown(own[name].value, ".4f"), shown(spread, ".4f")]
        for base in (f"start, {FITTED}", best):
            found = table.interval({} if name == base else {name: 1.0, base: -1.0})
            row += [shown(end, "+.4f") for end in (found.value, found.low, found.high)]
        rows.append([*row, shown(one.select, ".4f")])
    return rows


def count(tables: Path) -> None:
    """Write in how many cells each arm is as good as the best one, and in how many below the start with its rule."""
    cells: dict[tuple[str, str], list[dict[str, str]]] = {}
    for name in CELLS:
        with (tables / f"decision-rules-{name}.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                cells.setdefault((row["arm"], row["decision"]), []).append(row)
    rows = []
    for (arm, decision), found in cells.items():
        near = sum(float(row["high_best"]) >= 0 for row in found)
        below = [sum(float(row[end]) < 0 for row in found) for end in ("minus_start", "high")]
        rows.append([arm, decision, len(found), near, *below])
    header = ["arm", "decision", "cells", "within_best", "below_start", "below_start_beyond_interval"]
    write(tables / "decision-rules.csv", header, rows)


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["choose", "read", "count"])
    parser.add_argument("task", choices=list(CELLS), nargs="?", help="of choose and read")
    parser.add_argument("--quick", action="store_true", help="of choose: four steps: does it run?")
    asked = parser.parse_args()
    if asked.quick and asked.stage != "choose":
        parser.error("--quick is for choose alone: read opens the test split")
    if (asked.task is None) != (asked.stage == "count"):
        parser.error("choose and read are for one task, count is for all")
    torch.set_num_threads(1)
    docs = ROOT / "docs"
    if asked.stage == "count":
        count(docs)
        return
    runs = ROOT / "runs" / ("decision-rules-quick" if asked.quick else "decision-rules") / asked.task
    if asked.stage == "choose":
        choose(asked.task, runs, runs if asked.quick else docs, quick=asked.quick)
    else:
        read(asked.task, runs)


if __name__ == "__main__":
    main()

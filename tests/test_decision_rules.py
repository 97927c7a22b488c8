"""What stands beside the networks in the experiment on rules of decision, and how its table is made."""

import csv

import pytest
import torch
from torch import nn

from benchmarks import decision_rules
from benchmarks.decision_rules import ARGMAX, FITTED, TREES, Decided, compared, count
from benchmarks.trees import tree_scores
from metricgrad.metrics import adapt
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Splits


def made_up() -> Task:
    """Three classes that one of two numbers tells apart; class 1 is not in fit."""
    inputs = torch.randn(300, 2, generator=torch.manual_seed(0))
    targets = (inputs[:, 0] > -0.5).long() + (inputs[:, 0] > 0.5).long()
    here = torch.arange(300) < 200
    fit = here & (targets != 1)
    parts = [ArraySplit(inputs[rows], targets[rows]) for rows in (fit, here, ~here)]
    return Task("made_up", Splits(*parts), lambda _: nn.Linear(2, 3), nn.functional.cross_entropy, "macro_f1")


@pytest.mark.parametrize("early", [False, True])
def test_trees_give_probabilities(early) -> None:
    """One column for each class, 0 for a class that fit lacks; the same seed the same trees; test stays closed."""
    task = made_up()
    first, again = (tree_scores(task, early_stopping=early, rounds=3) for _ in range(2))
    assert first.test is None and torch.equal(first.select, again.select)
    assert first.select.shape == (200, 3) and bool((first.select[:, 1] == 0).all())
    torch.testing.assert_close(first.select.sum(1), torch.ones(200, dtype=torch.float64))
    opened = tree_scores(task, early_stopping=early, rounds=3, test=True)
    assert opened.test is not None and opened.test.shape == (100, 3)


def test_arms_are_compared_with_the_start_and_the_best(monkeypatch, tmp_path) -> None:
    """The best is a network, never the trees; the differences are those of the values; cells are counted."""
    monkeypatch.setattr(decision_rules, "RESAMPLES", 200)
    monkeypatch.setattr(decision_rules, "CELLS", {"one": ("accuracy", "accuracy")})
    metric, targets = adapt("accuracy"), torch.arange(400) % 2

    def arm(name: str, right: int, decision: str = FITTED, ours: bool = True) -> Decided:
        decided = torch.where(torch.arange(400) < right, targets, 1 - targets)
        return Decided(name, decision, [metric.measure(decided, targets)] * 3, right / 400, ours)

    arms = [arm("start", 200), arm("start", 180, ARGMAX), arm("slope", 300), arm(TREES, 396, ours=False)]
    rows = compared(metric, arms)
    assert [row[:3] for row in rows] == [
        ["start", FITTED, "0.5000"],
        ["start", ARGMAX, "0.4500"],
        ["slope", FITTED, "0.7500"],
        [TREES, FITTED, "0.9900"],
    ]
    assert [row[4] for row in rows] == ["+0.0000", "-0.0500", "+0.2500", "+0.4900"]  # over the start
    assert [row[7] for row in rows] == [
        "-0.2500",
        "-0.3000",
        "+0.0000",
        "+0.2400",
    ]  # over slope, the best of ours
    header = (
        "metric,arm,decision,test,spread,minus_start,low,high,minus_best,low_best,high_best,select".split(",")
    )
    decision_rules.write(
        tmp_path / "decision-rules-one.csv", header, [["accuracy", *row] for row in 2 * rows]
    )
    count(tmp_path)
    with (tmp_path / "decision-rules.csv").open(newline="") as file:
        counted = {(row["arm"], row["decision"]): list(row.values())[2:] for row in csv.DictReader(file)}
    assert counted["slope", FITTED] == ["2", "2", "0", "0"]
    assert counted["start", FITTED] == ["2", "0", "0", "0"]
    assert counted["start", ARGMAX] == ["2", "0", "2", "2"]

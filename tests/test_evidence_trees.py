"""Boosted trees beside the evidence: tries and rounds that select chooses, figures beside the best arm, the page."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import evidence, evidence_page, evidence_trees
from metricgrad._types import Metric
from metricgrad.metrics import adapt
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Splits


def made_up(*, opened: bool = True) -> Task:
    """Two classes that the sign of one number tells apart but for one row in five; class 1 is rare."""
    noise = torch.manual_seed(0)
    inputs = torch.randn(900, 3, generator=noise)
    right = torch.rand(900, generator=noise) < 0.8
    targets = ((inputs[:, 0] > 0.8) == right).long()
    parts = [ArraySplit(inputs[rows], targets[rows]) for rows in torch.arange(900).chunk(3)]
    test = parts[2] if opened else None
    return Task(
        "made_up", Splits(*parts[:2], test), lambda _: nn.Linear(3, 2), nn.functional.cross_entropy, "f1"
    )


def grown(settings: str = "{}", seed: int = 0) -> Any:
    """Trees on it."""
    evidence_trees.grown.cache_clear()
    return evidence_trees.grown("made_up", "{}", settings, seed)


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    home = type("home", (), {"load": staticmethod(lambda options: made_up(opened=False))})
    monkeypatch.setattr(evidence_trees, "import_module", lambda name: home)
    monkeypatch.setattr(evidence_trees, "ALWAYS", {**evidence_trees.ALWAYS, "max_iter": 60})


def test_trees_learn_from_fit_alone() -> None:
    """The same seed grows the same trees and another one others, without a test split; looks are 20 rounds apart."""
    select: Any = made_up().splits.select
    first, again, other = (dict(evidence_trees.looks(grown(seed=seed), select)) for seed in (0, 0, 1))
    assert list(first) == [20, 40, 60]
    assert torch.equal(first[60], again[60]) and not torch.equal(first[60], other[60])
    torch.testing.assert_close(first[60].sum(1), torch.ones(300, dtype=torch.float64))


@pytest.mark.parametrize(("name", "first"), [("f1", max), ("error_rate", min)])
def test_select_chooses_the_rounds(name: str, first: Any) -> None:
    """Those whose cross-fitted value is best in the metric's own direction."""
    select, metric = made_up().splits.select, adapt(name)
    trees = grown()
    found = evidence_trees.kept(trees, select, metric)
    values = {
        rounds: evidence_trees.fit_rule(scores, select.targets, metric, inputs="probabilities").cross_fitted
        for rounds, scores in evidence_trees.looks(trees, select)
    }
    assert len(set(values.values())) > 1
    assert found.fitted.cross_fitted == first(values.values()) == values[found.rounds]


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> evidence.Cell:
    """A cell with two arms whose run is not kept, and empty tables of trees."""
    path = tmp_path / "small.yaml"
    path.write_text("task: made_up\nmetric: f1\nseeds: [0, 1]\n", encoding="utf-8")
    monkeypatch.setattr(evidence.Cell, "load", lambda self: made_up())
    monkeypatch.setattr(evidence, "ARMS", tmp_path / "arms.csv")
    monkeypatch.setattr(evidence, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(evidence, "RESAMPLES", 100)
    arms = [("start", "0.1000"), ("continued", "0.9990"), ("slope", "0.2000")]
    rows = [{"cell": "small", "arm": arm, "test": value, "low": "0.1", "high": "1"} for arm, value in arms]
    evidence.put(tmp_path / "arms.csv", evidence.OF_ARM, "small", rows)
    for name in ("TRIED", "READ"):
        monkeypatch.setattr(evidence_trees, name, tmp_path / f"{name}.csv")
    return evidence.Cell("small", path)


def test_tries_are_chosen_then_test_is_read(cell: evidence.Cell) -> None:
    """The best try is read with the seeds of the recipe, unpaired where no run is kept, and again for a better arm."""
    with pytest.raises(FileNotFoundError):
        evidence_trees.read(cell, "abc")
    evidence_trees.choose(cell)
    tries = evidence.rows_of(evidence_trees.TRIED)
    assert list(tries[0]) == evidence_trees.OF_TRY and len(tries) == len(evidence_trees.TRIES)
    evidence_trees.read(cell, "abc")
    (row,) = evidence.rows_of(evidence_trees.READ)
    assert row["settings"] == max(tries, key=lambda one: float(one["select"]))["settings"]
    assert (row["arm"], row["arm_value"], len(row["rounds"].split())) == ("continued", "0.9990", 2)
    assert float(row["gain"]) == pytest.approx(float(row["test"]) - 0.999, abs=1e-4)
    assert float(row["low"]) < float(row["test"]) < float(row["high"])
    assert (row["gain_low"], row["commit"]) == ("", "abc")
    assert evidence_trees.beside_the_best(cell)
    better = [{"cell": "small", "arm": "slope", "test": "0.9995", "low": "0.1", "high": "1"}]
    evidence.put(evidence.ARMS, evidence.OF_ARM, "small", better)
    assert not evidence_trees.beside_the_best(cell)


def test_a_gain_is_paired_where_the_run_is_kept(cell: evidence.Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the same units: of trees that decide as the arm does it is 0 with an interval of 0."""
    metric: Metric = adapt("f1")
    targets = torch.arange(60) % 2
    same = [metric.measure(targets.roll(seed), targets) for seed in (0, 2)]
    monkeypatch.setattr(evidence_trees, "statistics_of", lambda run: {"start": same[::-1], "continued": same})
    run: Any = object()
    found = evidence_trees.beside("small", 1.0, same, metric, run)
    assert [found[key] for key in ("gain", "gain_low", "gain_high")] == ["+0.0000"] * 3
    assert found["arm"] == "continued"


def side(**given: str) -> int:
    """What the page makes of a row of trees from 0.4 to 0.6 beside an arm, where nothing else is given."""
    row = {"better": "higher", "low": "0.4", "high": "0.6", "gain_low": "", "gain_high": ""}
    return evidence_page._side({**row, **given})


def test_what_is_sure() -> None:
    """A paired interval without 0; else two intervals that do not meet, in the metric's own direction."""
    assert side(gain_low="+0.01", gain_high="+0.02") == 1
    assert side(gain_low="-0.02", gain_high="-0.01") == -1
    assert side(gain_low="-0.01", gain_high="+0.02") == 0
    assert side(arm_low="0.1", arm_high="0.39") == 1 == -side(arm_low="0.1", arm_high="0.39", better="lower")
    assert side(arm_low="0.1", arm_high="0.41") == 0 == side(arm_low="0.59", arm_high="0.7")
    assert side(arm_low="0.61", arm_high="0.7") == -1


def test_every_cell_on_a_table_has_its_trees() -> None:
    """Beside the arm that is best in the evidence as it stands, with settings that its tries prefer."""
    rows = {row["cell"]: row for row in evidence.rows_of(evidence_trees.READ)}
    known = {row["cell"]: row for row in evidence.rows_of(evidence.CELLS)}
    assert set(rows) == {cell.name for cell in evidence_trees.cells()}, "run: scripts/evidence --trees read"
    for name, row in rows.items():
        assert list(row) == evidence_trees.OF_TREES and row["better"] == known[name]["better"]
        best = evidence_trees.best_arm(name, higher_is_better=row["better"] == "higher")
        assert (row["arm"], row["arm_value"]) == (best["arm"], best["test"])
        tries = [one for one in evidence.rows_of(evidence_trees.TRIED) if one["cell"] == name]
        first = (max if row["better"] == "higher" else min)(tries, key=lambda one: float(one["select"]))
        assert row["settings"] == first["settings"] and len(tries) == len(evidence_trees.TRIES)

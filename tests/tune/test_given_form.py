"""Controls that are there before the run, tries that end early, and minutes that count from an earlier moment."""

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from metricgrad.errors import InputError
from metricgrad.projection import Centre
from metricgrad.tune import ArraySplit, ClassBatchSplit, Comparison, GivenForm, Plan, Splits, compare

POINTS = torch.randn(240, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(240) % 60


def compared(folder: Path, plan: Plan, **more) -> Comparison:
    """A small contest with one control that was given."""
    part = [LABELS < 20, (LABELS >= 20) & (LABELS < 40), LABELS >= 40]
    fit = ClassBatchSplit(POINTS[part[0]], LABELS[part[0]], classes_per_batch=8, samples_per_class=4)
    select, test = (ArraySplit(POINTS[rows], LABELS[rows]) for rows in part[1:])
    form = Centre().fit(POINTS[part[0]])
    given = {
        "metric": "recall@1",
        "methods": ["surrogate:recall_at_k"],
        "proxy": "supcon",
        "controls": ["continued", GivenForm("centred", form, "the inputs minus their mean")],
        "observer": lambda event: None,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(8, 4)
    return compare(model, Splits(fit, select, test), plan=plan, folder=folder, **(given | more))


def test_a_given_map_is_a_control(tmp_path: Path) -> None:
    """It is measured on select and test as it is, trains nothing, and is called by its words."""
    found = compared(tmp_path / "run", Plan(steps=2, resamples=50))
    row = next(row for row in found.table if row.name == "centred")
    assert (row.role, row.method, row.steps) == ("control", "the inputs minus their mean", 0)
    assert row.value is not None and row.select is not None
    again = compared(tmp_path / "run", Plan(steps=2, resamples=50))
    assert again.table == found.table


def test_names_are_free_once(tmp_path: Path) -> None:
    """Two arms of one name are refused."""
    form = GivenForm("continued", Centre().fit(POINTS), "a map")
    with pytest.raises(InputError, match="two arms are called"):
        compared(tmp_path / "run", Plan(steps=2), controls=["continued", form])


@pytest.mark.slow
def test_a_try_ends_by_patience(tmp_path: Path) -> None:
    """After so many looks without a better value, in every arm; without patience all steps are taken."""
    plan = {"steps": 30, "evaluate_every": 1, "resamples": 50}
    found = compared(tmp_path / "a", Plan(**plan, patience=2))
    ends = [event for event in found.result.events if event["event"] == "stage_finished" and event["step"]]
    assert len(ends) == 2
    assert all(end["step"] in (end["best_step"] + 2, 30) for end in ends)
    whole = compared(tmp_path / "b", Plan(**plan))
    assert {event["step"] for event in whole.result.events if event["event"] == "stage_finished"} == {30}


@pytest.mark.slow
def test_minutes_count_from_when_the_work_began(tmp_path: Path) -> None:
    """What passed before the call is spent."""
    found = compared(tmp_path / "run", Plan(minutes=2, resamples=50), began=time.time() - 110)
    budget = found.result.event("budget")
    assert budget is not None and budget["expected"]["before"] >= 110

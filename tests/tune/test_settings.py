"""Settings are chosen with equal tries on divisions, judged on a part that chose nothing."""

import csv
import json
import math
from pathlib import Path

import pytest

from metricgrad.errors import InputError
from metricgrad.tune import Plan, Splits
from metricgrad.tune.settings import Trial, best_of, choose_settings, write_table
from tests.tune.small_run import small_model, small_splits


def test_best_mean_wins_and_nan_never() -> None:
    """Earlier tries win ties; an undefined mean loses to any defined one, in both directions."""
    trials = [Trial("tuned", 0, {}, [math.nan]), Trial("tuned", 1, {}, [0.5]), Trial("tuned", 2, {}, [0.5])]
    trials.append(Trial("tuned", 3, {}, [0.4]))
    assert best_of(trials, "contender", higher_is_better=True).attempt == 1
    assert best_of(trials, "contender", higher_is_better=False).attempt == 3


@pytest.mark.slow
def test_every_try_is_judged_on_every_division(tmp_path: Path) -> None:
    """Two tries of both arms and the start on two divisions: five trials with two values each, kept as a table."""
    calls = [
        {
            "model": small_model,
            "splits": small_splits(number),
            "metric": "recall@1",
            "proxy": "supcon",
            "plan": Plan(steps=4, tries=2),
            "start_plan": Plan(steps=4),
        }
        for number in range(2)
    ]
    trials = choose_settings(calls, folder=tmp_path, observer=lambda event: None)
    names = [("start", 0), ("continued", 0), ("continued", 1), ("tuned", 0), ("tuned", 1)]
    assert [(trial.arm, trial.attempt) for trial in trials] == names
    assert all(len(trial.values) == 2 and all(0 <= value <= 1 for value in trial.values) for trial in trials)
    assert (
        choose_settings(calls, folder=tmp_path, observer=lambda event: None) == trials
    )  # finished runs are kept
    write_table(trials, tmp_path / "tries.csv")
    with (tmp_path / "tries.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [json.loads(row["settings"])["learning_rate"] for row in rows] == [
        trial.settings["learning_rate"] for trial in trials
    ]
    for number in range(2):  # the held-out part was not given to the runs
        assert "tested" not in (tmp_path / f"division-{number}" / "record.jsonl").read_text()


def test_a_division_needs_a_held_out_part(tmp_path: Path) -> None:
    """Without it the tries would be judged by what chose their step."""
    splits = small_splits()
    with pytest.raises(InputError, match="held-out"):
        choose_settings([{"splits": Splits(splits.fit, splits.select)}], folder=tmp_path)


def test_a_portfolio_has_no_settings_to_choose(tmp_path: Path) -> None:
    """It trains nothing: the message says whose settings its losses begin with, and how to choose these."""
    call = {"metric": "macro_f1", "splits": small_splits(), "method": "auto"}
    with pytest.raises(InputError, match=r"balanced_softmax.*proxy_settings that were chosen"):
        choose_settings([call], folder=tmp_path)
    assert not list(tmp_path.iterdir())

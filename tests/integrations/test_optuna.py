"""A study of Optuna over runs of `tune`: what is reported, and what a pruned run leaves."""

from pathlib import Path

import optuna
import pytest
import torch
from torch import nn

import metricgrad as mg
from metricgrad.errors import InputError
from metricgrad.integrations.optuna import pruning_observer
from tests.integrations.pages import run_page

pytestmark = pytest.mark.integration("optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)


class At(optuna.pruners.BasePruner):
    """Prunes at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial has come that far."""
        return trial.last_step is not None and trial.last_step >= self.step


def tuned(folder: Path, **more) -> mg.Result:
    """A small run: eight steps, a checkpoint at every second one."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(80) % 2
    inputs = torch.randn(80, 4, generator=generator) + targets[:, None]
    torch.manual_seed(0)
    splits = mg.Splits(*(mg.ArraySplit(inputs[rows], targets[rows]) for rows in (slice(40), slice(40, 80))))
    plan = mg.Plan(steps=8, batch=20, evaluate_every=2, checkpoint_every=2)
    quiet = {"observer": lambda event: None} | more
    return mg.tune(
        nn.Linear(4, 2), splits, metric="macro_f1", method="surrogate:soft_confusion", plan=plan, folder=folder, **quiet
    )  # fmt: skip


def test_values_are_those_of_the_record(tmp_path: Path):
    """Every evaluation of the arm, at its step."""
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
    trial = study.ask()
    result = tuned(tmp_path / "run", observer=pruning_observer(trial, also=lambda event: None))
    study.tell(trial, 0.0)
    wanted = {
        event["step"]: event["value"]
        for event in result.events
        if event["event"] == "evaluated" and event["arm"] == "tuned"
    }
    assert study.trials[0].intermediate_values == wanted
    assert len(wanted) == 5


def test_a_pruned_run_is_whole(tmp_path: Path):
    """It raises at once; the same call finishes it, with the weights of a run that was not pruned."""
    study = optuna.create_study(direction="maximize", pruner=At(4))

    def objective(trial: optuna.Trial) -> float:
        tuned(tmp_path / "run", observer=pruning_observer(trial, also=lambda event: None))
        raise AssertionError("it was not pruned")

    study.optimize(objective, n_trials=1)
    assert study.trials[0].state is optuna.trial.TrialState.PRUNED
    assert sorted(study.trials[0].intermediate_values) == [0, 2, 4]
    assert mg.Result(tmp_path / "run").verdict is None
    torch.testing.assert_close(
        tuned(tmp_path / "run").weights(), tuned(tmp_path / "other").weights(), rtol=0, atol=0
    )


def test_stages_follow_each_other():
    """Another seed of the arm goes on where the first ended; other arms are passed over; every event is passed on."""
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
    trial, seen = study.ask(), []
    observer = pruning_observer(trial, also=seen.append)
    for seed in (0, 1):
        for arm in ("continued", "tuned"):
            observer({"event": "stage_started", "seed": seed, "arm": arm})
            for step in (0, 5):
                observer({"event": "evaluated", "seed": seed, "arm": arm, "step": step, "value": step / 10})
    study.tell(trial, 0.0)
    assert study.trials[0].intermediate_values == {0: 0.0, 5: 0.5, 6: 0.0, 11: 0.5}
    assert len(seen) == 12


def test_the_direction_must_agree(tmp_path: Path):
    """A study that minimises F1 is refused."""
    trial = optuna.create_study(direction="minimize").ask()
    with pytest.raises(InputError, match="direction='maximize'"):
        tuned(tmp_path / "run", observer=pruning_observer(trial, also=lambda event: None))


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/optuna.md is a program: every trial ended as complete or pruned, none failed."""
    page = run_page("optuna.md", tmp_path, monkeypatch)
    assert len(page.study.trials) == 6
    assert {trial.state.name for trial in page.study.trials} <= {"COMPLETE", "PRUNED"}

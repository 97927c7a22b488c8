"""The curves of a run arrive in TensorBoard, MLflow and Weights & Biases."""

import math
from pathlib import Path
from typing import Any

import mlflow
import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from metricgrad.integrations.loggers import mlflow_observer, tensorboard_observer, wandb_observer
from metricgrad.tune import Plan, tune
from tests.integrations.pages import run_page
from tests.tune.small_run import small_splits

STEPS = 4


class Events(list):
    """An observer that keeps what it gets."""

    def __call__(self, event: Any) -> None:
        """Keep one."""
        self.append(event)

    def curve(self, arm: str) -> list[tuple[int, float]]:
        """Step and select value of every evaluation of an arm of seed 1."""
        found = [event for event in self if event["event"] == "evaluated"]
        return [
            (event["step"], event["value"]) for event in found if event["arm"] == arm and event["seed"] == 1
        ]


def run(observer: Any) -> None:
    """A run of two seeds, a control and a contender."""
    tune(
        nn.Linear(12, 4),
        small_splits(),
        metric="recall@1",
        proxy="supcon",
        plan=Plan(steps=STEPS, evaluate_every=2),
        seed=(0, 1),
        closed_forms=False,
        observer=observer,
    )


@pytest.mark.integration("tensorboard")
def test_tensorboard_has_the_curves(tmp_path: Path):
    """Its files hold the select values of each arm at the arm's own steps, the test value and the gain."""
    events = Events()
    with SummaryWriter(tmp_path) as writer:
        run(tensorboard_observer(writer, also=events))
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    for arm in ("continued", "tuned"):
        curve = found.Scalars(f"seed1/{arm}/select")
        assert [point.step for point in curve] == [0, 2, 4]
        assert [point.value for point in curve] == pytest.approx([value for _, value in events.curve(arm)])
    (gain,) = found.Scalars("gain/continued/value")
    (verdict,) = (event for event in events if event["event"] == "verdict")
    assert gain.value == pytest.approx(verdict["gains"]["continued"]["gain"], abs=1e-7)
    assert all(math.isfinite(point.value) for point in found.Scalars("seed0/tuned/loss"))


@pytest.mark.integration("mlflow-skinny")
def test_mlflow_has_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its store returns the same curves; a name that it refuses is changed."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("curves")
    events = Events()
    with mlflow.start_run() as active:
        observer = mlflow_observer(mlflow, also=events)
        run(observer)
        observer({"event": "tested", "seed": 0, "arm": "recall@1", "value": 0.5})
    client = mlflow.MlflowClient()
    curve = client.get_metric_history(active.info.run_id, "seed1/tuned/select")
    assert [(point.step, point.value) for point in curve] == events.curve("tuned")
    assert client.get_run(active.info.run_id).data.metrics["seed0/recall_1/test"] == 0.5


@pytest.mark.integration("wandb")
def test_wandb_has_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run without network refuses no step, though every arm begins at 0, and its summary has the last values."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    events, warned = Events(), []
    monkeypatch.setattr(wandb, "termwarn", lambda text, *args, **more: warned.append(text))
    with wandb.init(mode="offline", dir=str(tmp_path), project="metricgrad") as active:
        active.log({"before": 1.0})
        run(wandb_observer(active, also=events))
        active.log({"after": 1.0}, step=active.step + 1)  # it holds a step back until the next one
        assert active.step > 4 * STEPS
        assert active.summary["seed1/tuned/select"] == events.curve("tuned")[-1][1]
        assert active.summary["seed1/tuned/step"] == STEPS
    assert not warned


@pytest.mark.integration("tensorboard")
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/loggers.md is a program."""
    run_page("loggers.md", tmp_path, monkeypatch)
    assert list((tmp_path / "runs" / "board").glob("events*"))

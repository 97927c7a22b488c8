"""What a run leaves that fails, and a try that diverges: it ends, the others go on."""

import math
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from metricgrad.errors import InputError, Interrupted
from metricgrad.tune import ArraySplit, Plan, Result, Splits, tune
from tests.tune.small_run import figures, same_weights
from tests.tune.test_resume import Raiser


def splits() -> Splits:
    """Three splits of two classes."""
    parts = []
    for seed in range(3):
        targets = torch.arange(40) % 2
        noise = torch.randn(40, 5, generator=torch.Generator().manual_seed(seed))
        parts.append(ArraySplit(noise + targets[:, None], targets, batch=10))
    return Splits(*parts)


def run(folder: Path | None = None, **changes: Any) -> Result:
    """A run of two tries whose first one has no chance, unless `changes` say otherwise."""
    arguments: dict[str, Any] = {
        "metric": "accuracy",
        "proxy": nn.functional.cross_entropy,
        "method": "direct:multiclass",
        "plan": Plan(steps=8, evaluate_every=2, checkpoint_every=1, tries=2),
        "settings": {"learning_rate": 1e30},
        "folder": folder,
        "observer": lambda event: None,
    }
    arguments |= changes
    model = arguments.pop("model", None) or seeded
    return tune(model, arguments.pop("splits", None) or splits(), **arguments)


def seeded(seed: int) -> nn.Module:
    """A small network."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))


class Breaking(nn.Module):
    """A network whose outputs overflow after some steps, while its weights are finite."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.inner, self.steps = seeded(0), steps
        self.register_buffer("taken", torch.zeros(()))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Count the training passes."""
        if self.training:
            self.taken += 1
        return self.inner(rows) * (1.0 if self.taken <= self.steps else math.inf)


def stage_of(result: Result, arm: str, attempt: int) -> Any:
    """The end of a try."""
    found = [event for event in result.events if event["event"] == "stage_finished"]
    return next(event for event in found if event["arm"] == arm and event["attempt"] == attempt)


def test_a_try_that_diverges_ends_and_the_others_go_on(tmp_path: Path) -> None:
    """The first try has no value, the second stands for the arm; record, note and table name the step."""
    result = run(tmp_path / "run")
    first, second = stage_of(result, "tuned", 0), stage_of(result, "tuned", 1)
    assert first["diverged"] in (1, 2, 3)
    assert math.isnan(first["value"])
    assert second["diverged"] is None
    assert second["step"] == 8
    chosen = result.event("chosen")
    assert chosen is not None
    assert all(arms["tuned"] == 1 for arms in chosen["attempts"].values())
    assert f"tuned (try 0) diverged at step {first['diverged']}" in result.summary()
    assert result.verdict != "nothing claimed"


def test_an_arm_without_any_value_says_so() -> None:
    """The only try of both arms has diverged: the start model is returned, the figures are marked."""
    result = run(plan=Plan(steps=4, evaluate_every=2), proxy_settings={"learning_rate": 1e25})
    verdict = result.event("verdict")
    assert verdict is not None
    assert result.returned == "start"
    assert any("no try of tuned has a value" in mark for mark in verdict["marks"])
    assert all(torch.isfinite(value).all() for value in result.weights().values())


def test_the_best_weights_so_far_are_kept() -> None:
    """Outputs overflow in step 6: what the evaluations at 2 and 4 found stands."""
    result = run(model=Breaking(5), settings={"learning_rate": 1e-3}, plan=Plan(steps=8, evaluate_every=2))
    for arm in ("continued", "tuned"):
        stage = stage_of(result, arm, 0)
        assert stage["diverged"] == 6
        assert stage["best_step"] in (2, 4)
        assert math.isfinite(stage["value"])


def test_a_foreign_metric_that_takes_nan_for_a_class_keeps_no_broken_weights() -> None:
    """An argmax of NaN is a class: what the metric returns then is no value of the try."""
    metric = {"metric": lambda outputs, targets: float((outputs.argmax(1) == targets).double().mean())}
    result = run(**metric, higher_is_better=True, splits=Splits(splits().fit, splits().select))
    assert math.isnan(stage_of(result, "tuned", 0)["value"])


@pytest.mark.slow
def test_a_diverging_run_resumes_to_the_same_figures(tmp_path: Path) -> None:
    """Interrupted in the try after the one that diverged."""
    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", observer=Raiser("progress", 14, signal.SIGINT))
    resumed = run(tmp_path / "cut")
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == []
    assert torch.equal(torch.stack(figures(whole)), torch.stack(figures(resumed)))


@pytest.mark.parametrize("fault", ["proxy", "model", "metric"])
def test_what_is_no_divergence_ends_the_run(fault: str) -> None:
    """A fault of the user's code is raised as it is, however it looks."""

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("mine")

    class Network(nn.Linear):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            """Fail in training."""
            return broken() if self.training else super().forward(rows)

    changes = {
        "proxy": {"proxy": broken},
        "model": {"model": lambda seed: Network(5, 2)},
        "metric": {"metric": broken, "higher_is_better": True},
    }[fault]
    with pytest.raises((ZeroDivisionError, InputError), match="mine"):
        run(**changes)


@pytest.mark.parametrize("fault", ["before training", "while training", "interrupted"])
def test_a_temporary_folder_stays_only_where_there_is_something_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """And is named then."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    notes: list[str] = []

    def observer(event: Any) -> None:
        if event["event"] == "note":
            notes.append(event["text"])
        if fault == "before training" and event["event"] == "budget":
            raise ZeroDivisionError
        if fault == "while training" and event["event"] == "stage_finished":
            raise ZeroDivisionError
        strike(event)

    strike = Raiser("progress", 3 if fault == "interrupted" else -1, signal.SIGINT)
    with pytest.raises((ZeroDivisionError, Interrupted)):
        run(observer=observer, settings={})
    left = list(tmp_path.iterdir())
    if fault == "before training":
        assert left == []
        return
    assert len(left) == 1
    assert any(str(left[0]) in note for note in notes)
    assert run(left[0], settings={}).verdict is not None


def test_a_run_that_ends_well_leaves_no_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes with its result."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = run(settings={})
    assert len(list(tmp_path.iterdir())) == 1
    del result
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_name_is_refused() -> None:
    """An unset variable is neither the current folder nor a temporary one."""
    with pytest.raises(InputError, match="folder is an empty text"):
        run("")  # pyright: ignore[reportArgumentType]

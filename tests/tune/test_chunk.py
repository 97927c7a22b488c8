"""Plan.chunk: a batch that is embedded in chunks trains to the weights of the batch that is embedded whole."""

import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from metricgrad.errors import InputError, Interrupted
from metricgrad.tasks import digits, emoji, emoji_features
from metricgrad.tune import Plan, Result, Splits, tune
from metricgrad.tune.checkpoint import load_weights
from tests.tune.small_run import same_weights, small_run, small_splits
from tests.tune.test_resume import Raiser


def double_model(_seed: int = 0) -> nn.Module:
    """A network without random parts and without statistics of the batch, in float64."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 8)).double()


class Double:
    """A split whose inputs are float64."""

    def __init__(self, split) -> None:
        self.split = split

    def set_epoch(self, epoch: int) -> None:
        """Hand the number on where the split wants it."""
        if hasattr(self.split, "set_epoch"):
            self.split.set_epoch(epoch)

    def __iter__(self):
        for inputs, targets in self.split:
            yield inputs.double(), targets


def double_run(folder: Path, chunk, **changes) -> Result:
    """A small run in float64."""
    splits = small_splits()
    doubled = Splits(*(Double(split) for split in (splits.fit, splits.select, splits.test)))
    plan = Plan(steps=12, evaluate_every=4, checkpoint_every=5, chunk=chunk)
    arguments = {"model": double_model, "splits": doubled, "plan": plan, "seed": 0, "start_plan": None}
    return small_run(folder, **(arguments | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Result:
    """A run that embeds its batches whole."""
    return double_run(tmp_path_factory.mktemp("runs") / "whole", None)


@pytest.mark.parametrize("chunk", [7, 32, 1000, "auto"])
def test_trains_to_the_same_weights(tmp_path: Path, whole: Result, chunk) -> None:
    """Weights equal to 1e-10 in float64, the same checkpoint selected in every arm."""
    staged = double_run(tmp_path / "staged", chunk)
    assert [path.name for path in sorted((tmp_path / "staged" / "arms").iterdir())] == [
        path.name for path in sorted((whole.folder / "arms").iterdir())
    ]
    for path in (tmp_path / "staged" / "arms").iterdir():
        torch.testing.assert_close(
            load_weights(path), load_weights(whole.folder / "arms" / path.name), rtol=0, atol=1e-10
        )
    best = [
        [event["best_step"] for event in run.events if event["event"] == "stage_finished"]
        for run in (staged, whole)
    ]
    assert best[0] == best[1]


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [7, "auto"])
def test_resumes_to_the_same_bytes(tmp_path: Path, chunk) -> None:
    """With dropout and chunks an interrupted run ends with the same bytes as one that nothing interrupted."""

    def model(_seed: int) -> nn.Module:
        return nn.Sequential(nn.Linear(12, 32), nn.Dropout(0.3), nn.Linear(32, 8))

    plan = Plan(steps=12, evaluate_every=4, checkpoint_every=5, chunk=chunk)
    small_run(tmp_path / "whole", model=model, plan=plan, seed=0)
    with pytest.raises(Interrupted):
        small_run(
            tmp_path / "cut", model=model, plan=plan, seed=0, observer=Raiser("progress", 17, signal.SIGINT)
        )
    small_run(tmp_path / "cut", model=model, plan=plan, seed=0)
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == []


def test_start_model_has_its_own_chunk(tmp_path: Path) -> None:
    """The start plan's chunk rules the start model's training."""
    seen: set[int] = set()

    class Noting(nn.Linear):
        """A layer that notes how many rows it embeds with a gradient."""

        def forward(self, input):
            if torch.is_grad_enabled():
                seen.add(len(input))
            return super().forward(input)

    small_run(
        tmp_path / "run",
        model=lambda seed: Noting(12, 8),
        seed=0,
        plan=Plan(steps=2, evaluate_every=2),
        start_plan=Plan(steps=2, chunk=5),
    )
    assert {5, 32} <= seen


def test_batch_statistics_are_refused(tmp_path: Path) -> None:
    """Chunks of a BatchNorm in train mode are not the batch."""
    with pytest.raises(InputError, match="statistics of the batch"):
        small_run(tmp_path / "run", plan=Plan(steps=2, chunk=8), start_plan=None)


@pytest.mark.slow
def test_minutes_are_timed_with_chunks(tmp_path: Path) -> None:
    """The first steps are timed as they will be taken."""
    result = double_run(tmp_path / "run", 8, plan=Plan(minutes=0.005, chunk=8))
    budget = result.event("budget")
    assert budget is not None
    assert budget["seconds_per_step"] > 0


@pytest.mark.parametrize("chunk", [0, -3, "most", 1.5])
def test_wrong_chunk(chunk) -> None:
    """A chunk is a number of items, auto or null."""
    with pytest.raises(InputError, match="chunk"):
        Plan(chunk=chunk)


@pytest.mark.slow
def test_digits_with_chunks(tmp_path: Path) -> None:
    """A task of ours, dropout 0, in float32: the first step's weights agree to rounding."""
    task = digits.load({})
    weights = []
    for chunk in (None, 10):
        result = tune(
            task.model,
            task.splits,
            metric=task.metric,
            proxy=task.proxy,
            plan=Plan(steps=3, chunk=chunk),
            settings={"dropout": 0.0},
            proxy_settings={"dropout": 0.0},
            folder=tmp_path / str(chunk),
            observer=lambda event: None,
        )
        weights.append(load_weights(result.folder / "arms" / "seed0-tuned-try0.safetensors"))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_emoji_with_chunks(tmp_path: Path, monkeypatch) -> None:
    """The task emoji, with pixels for features and no dropout: chunks change the weights by rounding only."""

    def pixels(pictures, **_: object) -> torch.Tensor:
        return torch.from_numpy(pictures[:, 4::8, 4::8].reshape(len(pictures), -1)).float() / 255

    monkeypatch.setattr(emoji_features, "efficientnet_lite0_features", pixels)
    task = emoji.load({"classes_per_batch": 40, "dim": 64})
    weights = []
    for chunk in (None, 50):
        result = tune(
            task.model,
            Splits(task.splits.fit, task.splits.select),
            metric=task.metric,
            proxy=task.proxy,
            plan=Plan(steps=3, evaluate_every=3, chunk=chunk),
            settings={**task.settings, "dropout": 0.0},
            proxy_settings={**task.proxy_settings, "dropout": 0.0},
            folder=tmp_path / str(chunk),
            observer=lambda event: None,
        )
        weights.append(load_weights(result.folder / "arms" / "seed0-tuned-try0.safetensors"))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=1e-5)

"""A folder never hands back another run; the same call is the same run; splits and processes hold what they should."""

import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from metricgrad.errors import CheckpointError, InputError, Interrupted, MetricgradError, RunFolderError
from metricgrad.tune import ArraySplit, Plan, Result, Splits, tune
from tests.tune.small_run import small_run
from tests.tune.test_resume import Raiser


def items(count: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of two classes."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 2
    return (torch.randn(count, 5, generator=generator) + targets[:, None]).to(dtype), targets


def network(bias: float = 0.0) -> nn.Module:
    """Class scores with known weights."""
    made = nn.Linear(5, 2)
    with torch.no_grad():
        made.weight.copy_(torch.eye(2, 5))
        made.bias.fill_(bias)
    return made


def loader(count: int, seed: int, **settings: Any) -> Any:
    """A DataLoader of rows."""
    return DataLoader(TensorDataset(*items(count, seed)), **{"batch_size": 10, **settings})


def arrays() -> Splits:
    """Three splits in memory."""
    return Splits(*(ArraySplit(*items(30, seed), batch=10) for seed in range(3)))


def without_test() -> Splits:
    """Fit and select: the interval of a foreign metric takes seconds."""
    return Splits(*(ArraySplit(*items(30, seed), batch=10) for seed in range(2)))


def share(outputs: Any, targets: Any) -> float:
    """Accuracy as a function of the user's."""
    return float((outputs.argmax(1) == targets).double().mean())


def run(folder: Path | None, **changes: Any) -> Result:
    """A run of a few steps."""
    arguments: dict[str, Any] = {
        "metric": "accuracy",
        "proxy": nn.functional.cross_entropy,
        "method": "direct:multiclass",
        "plan": Plan(steps=4, evaluate_every=2, checkpoint_every=1),
        "folder": folder,
        "observer": lambda event: None,
    }
    arguments |= changes
    return tune(arguments.pop("model", network()), arguments.pop("splits", None) or arrays(), **arguments)


class Smoothed(nn.Module):
    """A loss with a setting."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, outputs: Any, targets: Any) -> Any:
        """Cross-entropy."""
        return nn.functional.cross_entropy(outputs, targets, label_smoothing=self.smoothing)


def thresholded(value: float) -> Any:
    """A metric with a threshold in its closure."""
    return lambda outputs, targets: float(
        (outputs.softmax(1)[:, 1] > value).eq(targets.bool()).double().mean()
    )


OTHER = {
    "a weight of the start model": ({}, {"model": network(1e-6)}),
    "a model function": ({"model": lambda seed: network(seed)}, {"model": lambda seed: network(seed + 1)}),
    "a closure of the metric": (
        {"metric": thresholded(0.5), "higher_is_better": True, "splits": without_test()},
        {"metric": thresholded(0.6), "higher_is_better": True, "splits": without_test()},
    ),
    "a setting of a proxy object": ({"proxy": Smoothed(0.0)}, {"proxy": Smoothed(0.1)}),
    "the trainable parameters": ({}, {"plan": Plan(steps=4, evaluate_every=2, checkpoint_every=1, trainable="bias")}),
    "batches of a loader": (
        {"splits": Splits(loader(30, 0), *(loader(30, seed) for seed in (1, 2)))},
        {"splits": Splits(loader(30, 0, batch_size=5), *(loader(30, seed) for seed in (1, 2)))},
    ),
    "one row of a loader in test": (
        {"splits": Splits(*(loader(30, seed) for seed in range(3)))},
        {"splits": Splits(loader(30, 0), loader(30, 1), loader(31, 2))},
    ),
    "a list of batches": (
        {"splits": Splits([items(20, 0)], [items(20, 1)], [items(20, 2)])},
        {"splits": Splits([items(20, 3)], [items(20, 1)], [items(20, 2)])},
    ),
}  # fmt: skip


QUICK = ("a weight of the start model", "a closure of the metric", "batches of a loader", "a list of batches")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in OTHER]
)
def test_a_folder_never_hands_back_another_run(tmp_path: Path, name: str) -> None:
    """Whatever differs; the same call again is the same run, and counts no further step."""
    first, second = OTHER[name]
    events = run(tmp_path / "run", **first).events
    assert run(tmp_path / "run", **first).events == events
    with pytest.raises((RunFolderError, CheckpointError)):
        run(tmp_path / "run", **second)
    with pytest.raises((RunFolderError, CheckpointError)):  # its figures are not those of the second call
        run(tmp_path / "run", **second, force=True)


def test_the_kernel_belongs_to_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another kernel differs in the last bits: refused, and marked where it is forced."""
    monkeypatch.delenv("METRICGRAD_KERNEL", raising=False)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", observer=Raiser("progress", 2, signal.SIGINT))
    monkeypatch.setenv("METRICGRAD_KERNEL", "torch")
    with pytest.raises(CheckpointError, match="kernel was 'numba' and is 'torch'"):
        run(tmp_path / "run")
    verdict = run(tmp_path / "run", force=True).event("verdict")
    assert verdict is not None
    assert any("kernel" in mark for mark in verdict["marks"])
    assert "numba" in yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["found"]["versions"]


def test_a_metric_that_keeps_its_calls_is_the_same_metric(tmp_path: Path) -> None:
    """A list that grows with every call is written down as that, once the run ends or is interrupted."""

    def noting(calls: list[float], sign: float) -> Any:
        def noted(outputs: Any, targets: Any) -> float:
            calls.append(sign * share(outputs, targets))
            return calls[-1]

        def other(outputs: Any, targets: Any) -> float:
            calls.append(share(outputs, targets) - 1.0)
            return calls[-1]

        return noted if sign > 0 else other

    foreign: dict[str, Any] = {"higher_is_better": True, "splits": without_test()}
    metric = noting([], 1.0)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", metric=metric, observer=Raiser("progress", 2, signal.SIGINT), **foreign)
    assert run(tmp_path / "run", metric=metric, **foreign).verdict is not None
    assert "changes as it is called" in (tmp_path / "run" / "config.yaml").read_text()
    assert run(tmp_path / "run", metric=noting([3.0], 1.0), **foreign).verdict is not None
    with pytest.raises((CheckpointError, RunFolderError)):
        run(tmp_path / "run", metric=noting([], -1.0), **foreign)


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    """A metric that holds an open file, and a loader whose noise no seed decides."""

    class Noisy(TensorDataset):
        """Noise that no seed decides."""

        def __getitem__(self, index: Any) -> Any:
            """Return a row."""
            inputs, target = super().__getitem__(index)
            return inputs + secrets.randbelow(10**6) / 1e6, target

    stream = sys.stderr

    def writing(outputs: Any, targets: Any) -> float:
        return share(outputs, targets) if stream else 0.0

    fit = DataLoader(Noisy(*items(30, 0)), batch_size=10)
    made = run(tmp_path / "run", metric=writing, higher_is_better=True, splits=Splits(fit, loader(30, 1)))
    notes = [event["text"] for event in made.events if event["event"] == "note"]
    assert any("other batches at every reading" in note for note in notes)
    assert any("in the metric" in note for note in notes)


def test_config_of_an_earlier_format_is_refused(tmp_path: Path) -> None:
    """It does not say which weights, code or data the run had."""
    run(tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["format"], config["found"]["metric"]
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(RunFolderError, match="earlier metricgrad"):
        run(tmp_path / "run")


@pytest.mark.parametrize("lost", [["config.yaml"], ["config.yaml", "last"], ["config.yaml", "record.jsonl"]])
def test_a_run_that_lost_its_config_is_not_overwritten(tmp_path: Path, lost: list[str]) -> None:
    """Nothing tells which run it is; nothing of it changes."""
    run(tmp_path / "run")
    for name in lost:
        path = tmp_path / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.safetensors")}
    with pytest.raises(MetricgradError, match="run"):
        run(tmp_path / "run", seed=3)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.safetensors")} == before


class Own:
    """A split of the user's."""

    def __init__(self, inputs: Any, targets: Any) -> None:
        self.rows = inputs, targets

    def __iter__(self) -> Iterator[Any]:
        """One batch."""
        yield self.rows


SAME = {
    "one loader": lambda: (loader(30, 0), (one := loader(30, 1)), one),
    "another order and batch": lambda: (
        loader(30, 0),
        loader(30, 1),
        loader(30, 1, shuffle=True, batch_size=7),
    ),
    "a split and a loader": lambda: (ArraySplit(*items(30, 1)), loader(30, 2), loader(30, 1)),
    "another precision": lambda: (
        ArraySplit(*items(30, 0)),
        ArraySplit(*items(30, 1)),
        ArraySplit(*items(30, 1, torch.float64)),
    ),
    "fit and select": lambda: (loader(30, 1), ArraySplit(*items(30, 1)), loader(30, 2)),
    "without test": lambda: (Own(*items(30, 1)), [items(30, 1)], None),
}


@pytest.mark.parametrize("name", SAME)
def test_splits_of_the_same_rows_are_refused(tmp_path: Path, name: str) -> None:
    """What was learned, or has chosen, cannot judge; nothing is written."""
    with pytest.raises(
        InputError, match=r"^Splits: \w+ and \w+ (are one object|hold the same rows|have the same content)"
    ):
        run(tmp_path / "run", splits=Splits(*SAME[name]()))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("form", ["array", "subset", "part"])
def test_shared_rows_are_marked_with_their_number(form: str) -> None:
    """A test split that holds rows of fit or select says so beside every figure."""
    (inputs, targets), fit = items(60, 1), ArraySplit(*items(30, 0))
    test: Any = {
        "array": ArraySplit(inputs[20:], targets[20:]),
        "subset": DataLoader(
            Subset(TensorDataset(inputs, targets), range(20, 60)), batch_size=9, shuffle=True
        ),
        "part": [(inputs[20:], targets[20:])],
    }[form]
    verdict = run(None, splits=Splits(fit, ArraySplit(inputs[:30], targets[:30]), test)).event("verdict")
    assert verdict is not None
    assert any("10 of the 40 rows of test" in mark and "in select" in mark for mark in verdict["marks"])


def test_few_kinds_of_rows_are_no_copy() -> None:
    """Draws of the same four points are marked; nobody copied them."""
    points, rng = (
        torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
        torch.Generator().manual_seed(0),
    )
    parts = []
    for _ in range(3):
        drawn = torch.cat([torch.arange(4), torch.randint(4, (26,), generator=rng)])
        inputs = torch.cat([points[drawn], torch.zeros(30, 3)], 1)
        parts.append(ArraySplit(inputs, (drawn % 2).long()))
    verdict = run(None, splits=Splits(*parts)).event("verdict")
    assert verdict is not None
    assert any("30 of the 30 rows of test" in mark for mark in verdict["marks"])


def test_an_iterator_is_refused() -> None:
    """The second pass would be empty."""
    with pytest.raises(InputError, match="can be read only once"):
        run(None, splits=Splits(iter([items(20, 0)]), [items(20, 1)]))


def test_retrieval_of_other_weights_is_another_run(tmp_path: Path) -> None:
    """A function seed -> network is known by the networks that it makes."""

    def other(seed: int) -> nn.Module:
        torch.manual_seed(seed + 1)
        return nn.Sequential(
            nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 8)
        )

    plan = Plan(steps=2)
    small_run(tmp_path / "run", plan=plan, start_plan=None, seed=0)
    with pytest.raises(CheckpointError, match=r"model\.(code|values)"):
        small_run(tmp_path / "run", plan=plan, start_plan=None, seed=0, model=other)


def test_an_object_of_its_time_can_say_what_it_is(tmp_path: Path) -> None:
    """A metric that keeps the time of its making is told how it is known again."""

    class Timed:
        def __init__(self, made: float) -> None:
            self.made = made

        def __call__(self, outputs: Any, targets: Any) -> float:
            return share(outputs, targets) if self.made else 0.0

    class Known(Timed):
        def identity_parts(self) -> Any:
            return "accuracy"

    foreign: dict[str, Any] = {"higher_is_better": True, "splits": without_test()}
    run(tmp_path / "timed", metric=Timed(1.0), **foreign)
    with pytest.raises(CheckpointError, match=r"metric\.values .* identity_parts\(\)"):
        run(tmp_path / "timed", metric=Timed(2.0), **foreign)
    events = run(tmp_path / "known", metric=Known(1.0), **foreign).events
    assert run(tmp_path / "known", metric=Known(2.0), **foreign).events == events

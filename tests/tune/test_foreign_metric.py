"""Runs whose metric is a function of the user: it may draw, write and count; the arms train as without it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from metricgrad import metrics
from metricgrad.errors import CheckpointError, MetricFailed
from metricgrad.tune import ArraySplit, Plan, Result, Splits, tune
from tests.metrics.scripts import SHARE, script
from tests.tune.small_run import same_weights


def binary_splits(columns: bool = False) -> Splits:
    """Fit and select of six numbers, a third of the samples positive; targets in one column where asked."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(120, 6, generator=generator)
    targets = (inputs[:, 0] + 0.7 * torch.randn(120, generator=generator) > 0.5).long()
    targets = targets[:, None].float() if columns else targets
    parts = [slice(0, 60), slice(60, 120)]
    return Splits(
        *(ArraySplit(inputs[part], targets[part], batch=20, shuffle=not i) for i, part in enumerate(parts))
    )


def run(metric, folder: Path | None = None, model: nn.Module | None = None, **changes) -> Result:
    """Tune a network with dropout, in seconds."""
    torch.manual_seed(0)
    network = model or nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    arguments = {
        "metric": metric,
        "proxy": cross_entropy,
        "method": "direct:multiclass",
        "folder": folder,
        "plan": Plan(steps=6, evaluate_every=2),
        "observer": lambda event: None,
    }
    splits = changes.pop("splits", None) or binary_splits()
    return tune(network, splits, **{**arguments, **changes})


def share(outputs: Tensor, targets: Tensor) -> float:
    """Accuracy."""
    return float((outputs.argmax(1) == targets).double().mean())


def vandal(outputs: Tensor, targets: Tensor) -> float:
    """Accuracy, with everything done that a guest should not do."""
    found = share(outputs, targets)
    outputs.zero_()
    targets.fill_(0)
    torch.rand(7)
    np.random.rand(3)  # noqa: NPY002
    return found


vandal.__name__ = share.__name__  # weights are written with the name of their metric


def test_a_metric_that_draws_and_writes_changes_nothing(tmp_path: Path) -> None:
    """Weights and figures are those of the same metric without its habits, to the last bit."""
    splits = binary_splits()
    clean, dirty = (
        run(metric, tmp_path / name, splits=splits, higher_is_better=True)
        for name, metric in (("clean", share), ("dirty", vandal))
    )
    assert same_weights(tmp_path / "clean", tmp_path / "dirty") == []
    kept = [
        [event["value"] for event in one.events if event["event"] == "evaluated"] for one in (clean, dirty)
    ]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("metric", "columns"),
    [
        ("roc_auc", False),
        pytest.param("binary_average_precision", True, marks=pytest.mark.slow),
        pytest.param("f1:threshold=0", True, marks=pytest.mark.slow),
        ("error_rate:threshold=0", False),
    ],
)
def test_a_network_of_one_logit(metric: str, columns: bool) -> None:
    """Outputs [sample, 1], and targets of that shape as its own loss wants them: never tuned downwards."""

    def proxy(outputs: Tensor, targets: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(outputs, targets.reshape(outputs.shape).float())

    method = "auto" if not metric.startswith("error_rate") else "direct:error_rate"
    found = run(
        metric,
        None,
        nn.Linear(6, 1),
        splits=binary_splits(columns),
        proxy=proxy,
        method=method,
        settings={"learning_rate": 3e-2},
        plan=Plan(steps=24, evaluate_every=8),
        decision="argmax",
    )
    values = [
        event["value"] for event in found.events if event["event"] == "evaluated" and event["arm"] == "tuned"
    ]
    assert (values[-1] < values[0]) is metric.startswith("error_rate") or values[-1] == values[0]


FAULTS = {
    "raises": lambda: 1 // 0,
    "returns nothing": lambda: None,
    "is infinite": lambda: float("inf"),
    "is undefined": lambda: float("nan"),
    "is masked": lambda: np.ma.masked,
    "exits the loop": lambda: next(iter(())),
    "exits": lambda: sys.exit(0),
}
QUICK = (("raises", 4), ("is undefined", 4), ("exits", 1))


@pytest.mark.parametrize(
    ("fault", "call"),
    [
        pytest.param(fault, call, marks=() if (fault, call) in QUICK else pytest.mark.slow)
        for fault in FAULTS
        for call in (1, 4)
    ],
)
def test_a_metric_that_fails_at_some_call(fault: str, call: int, tmp_path: Path) -> None:
    """An evaluation that is undefined is never the best; one that fails ends the run in a sentence, and it resumes."""
    calls = 0

    def moody(outputs: Tensor, targets: Tensor) -> float:
        nonlocal calls
        calls += 1
        return FAULTS[fault]() if calls == call else share(outputs, targets)

    moody.__name__ = share.__name__

    def started() -> Result:
        return run(moody, tmp_path / "run", higher_is_better=True, plan=Plan(steps=4, evaluate_every=2))

    if fault in ("is undefined", "is masked"):
        found = started()
    else:
        with pytest.raises(MetricFailed, match=r"share: it (raised \w+|returned \w+)"):
            started()
        found = started()
    values = [event["value"] for event in found.events if event["event"] == "stage_finished"]
    assert all(0 <= value <= 1 for value in values)


def recall_of_rare(outputs: Tensor, targets: Tensor) -> float:
    """Recall of a class with few samples: a draw without any of them cannot be measured."""
    hits = int(((outputs.argmax(1) == targets) & (targets == 1)).sum())
    return hits / int((targets == 1).sum())


def undefined_recall(outputs: Tensor, targets: Tensor) -> Any:
    """The same, masked where it cannot be measured, and printing."""
    print("measured")
    return recall_of_rare(outputs, targets) if bool((targets == 1).any()) else np.ma.masked


@pytest.mark.parametrize("metric", [recall_of_rare, pytest.param(undefined_recall, marks=pytest.mark.slow)])
def test_a_metric_that_fails_on_some_resamples_has_a_verdict(metric) -> None:
    """Given from the other resamples; how many there were is told."""
    splits = binary_splits()
    inputs = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))
    targets = (torch.arange(40) < 2).long()
    found = run(
        metric,
        splits=Splits(splits.fit, splits.select, ArraySplit(inputs, targets, batch=40)),
        higher_is_better=True,
        plan=Plan(steps=2, evaluate_every=2, resamples=500),
    )
    verdict = found.event("verdict")
    assert verdict is not None and verdict["arms"]["tuned"]["value"] is not None
    assert any("undefined" in mark or "could not" in mark for mark in verdict["marks"]), verdict["marks"]


def test_a_run_whose_metric_is_a_program(tmp_path: Path) -> None:
    """Weights and figures are those of the same function; calls are counted; a changed program is another metric."""
    path = script(tmp_path / "share.py", SHARE)
    splits = binary_splits()

    def program() -> Any:
        return metrics.command([path, "{predictions}"], higher_is_better=True, reads="classes")

    called = run(program(), tmp_path / "program", splits=splits, decision="argmax")
    run(share, tmp_path / "function", splits=splits, higher_is_better=True)
    assert same_weights(tmp_path / "function", tmp_path / "program") == []
    verdict = called.event("verdict")
    assert (
        verdict is not None and verdict["metric_calls"]["function"] == verdict["metric_calls"]["select"] > 3
    )
    script(path, SHARE + "# another one\n")
    with pytest.raises(CheckpointError, match="A program is known by its words"):
        run(program(), tmp_path / "program", splits=splits, decision="argmax")
    script(path, "raise SystemExit('the licence has run out')")
    with pytest.raises(MetricFailed, match=r"exit code 1.*the licence has run out"):
        run(program(), splits=splits, decision="argmax")

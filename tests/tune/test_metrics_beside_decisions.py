"""Metrics of probabilities, of several labels and of pixels in `tune`: networks that end in logits are measured too."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.tune import ArraySplit, Plan, Result, Splits, tune
from metricgrad.tune.evaluator import Evaluator

PLAN = Plan(steps=8, evaluate_every=4)


def classes_in_clouds(samples: int = 120, classes: int = 3) -> Splits:
    """Points around the centres of classes."""
    generator = torch.Generator().manual_seed(1)
    targets = torch.arange(samples) % classes
    inputs = 2 * torch.eye(6)[targets] + torch.randn(samples, 6, generator=generator)
    parts = [slice(0, 60), slice(60, 90), slice(90, None)]
    return Splits(*(ArraySplit(inputs[part], targets[part], batch=16) for part in parts))


def run(metric: str, model: nn.Module, splits: Splits) -> Result:
    """Tune the network for a few steps."""
    return tune(
        model,
        splits,
        metric=metric,
        proxy=cross_entropy,
        method="surrogate:generalized_cross_entropy",
        plan=PLAN,
        observer=lambda event: None,
    )


@pytest.mark.parametrize(
    "metric", ["log_loss", "brier_score", "ece", "roc_auc_ovr", "macro_average_precision"]
)
def test_logits_and_softmax_give_one_run(metric: str) -> None:
    """The start is measured alike, whichever the network ends in, and trained for."""
    splits = classes_in_clouds()
    torch.manual_seed(0)
    network = nn.Linear(6, 3)
    exact = metrics.adapt(metric)
    of_logits, of_probabilities = (
        Evaluator(exact).value(model, splits.select, "select")
        for model in (network, nn.Sequential(network, nn.Softmax(1)))
    )
    torch.testing.assert_close(of_logits, of_probabilities, rtol=0, atol=1e-6)
    if metric not in ("log_loss", "roc_auc_ovr"):
        return
    result = run(metric, network, splits)
    started = next(event for event in result.events if event["event"] == "tested" and event["arm"] == "start")
    torch.testing.assert_close(started["value"], Evaluator(exact).value(network, splits.test, "test"))


def test_one_logit_is_asked_for() -> None:
    """Before training; the message says what to write."""
    splits, network = classes_in_clouds(classes=2), nn.Linear(6, 1)
    with pytest.raises(InputError, match="log_loss:from_logits=true"):
        run("log_loss", network, splits)
    exact = metrics.adapt("log_loss:from_logits=true")
    wanted = nn.functional.binary_cross_entropy_with_logits(
        network(splits.select.inputs)[:, 0], splits.select.targets.float()
    )
    found = Evaluator(exact).value(network, splits.select, "select")
    torch.testing.assert_close(found, float(wanted.detach()), rtol=0, atol=1e-6)


def test_labels_and_pixels_are_measured(tmp_path: Path) -> None:
    """Logits [sample, label] with marks, and [image, class, row, column] with class ids; the interval draws images."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(20, 5, generator=generator)
    marks = (inputs[:, :3] > 0).long()
    found = Evaluator(metrics.adapt("f1_samples")).value(
        nn.Identity(), ArraySplit(inputs[:, :3], marks), "select"
    )
    assert found == 1.0
    pictures = torch.randn(20, 2, 4, 4, generator=generator)
    truth = pictures.argmax(1)
    evaluator = Evaluator(metrics.adapt("mean_iou"))
    statistics = evaluator.statistics(nn.Identity(), ArraySplit(pictures, truth), "select")
    assert statistics.shape == (20, 6) and evaluator.summarised(statistics) == 1.0

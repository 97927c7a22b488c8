"""Direct losses as a road of `tune`: names, state, collapse, scores of samples."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from metricgrad.errors import InputError
from metricgrad.methods.decodes import named_direct
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, Plan, Splits, tune
from tests.tune.small_run import same_weights, small_run, small_splits


def score_splits(seed: int = 0, samples: int = 240) -> Splits:
    """Two overlapping clouds, one in five positive; no test split, whose bootstrap would take the time."""
    generator = torch.Generator().manual_seed(seed)
    targets = (torch.rand(samples, generator=generator) < 0.2).long()
    inputs = torch.randn(samples, 4, generator=generator) + targets[:, None] * torch.tensor(
        [1.0, 0.5, 0.0, 0.0]
    )
    first = torch.arange(samples) % 2 == 0
    fit = ArraySplit(inputs[first], targets[first], batch=40, shuffle=True)
    return Splits(fit, ArraySplit(inputs[~first], targets[~first]))


class Score(nn.Module):
    """One logit, or as many as are asked for."""

    def __init__(self, columns: int = 0) -> None:
        super().__init__()
        self.layer, self.columns = nn.Linear(4, max(1, columns)), columns

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [sample] or [sample, class]."""
        return self.layer(inputs) if self.columns else self.layer(inputs)[:, 0]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The proxy of scores."""
    return nn.functional.binary_cross_entropy_with_logits(outputs, targets.float())


def run_scores(method: str, metric: str, *, columns: int = 0, steps: int = 10, **settings: object):
    """Tune a line on the clouds."""
    torch.manual_seed(0)
    return tune(
        Score(columns),
        score_splits(),
        metric=metric,
        proxy=None if columns else cross_entropy,
        method=method,
        plan=Plan(steps=steps, evaluate_every=5),
        settings=settings,
        observer=lambda event: None,
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["direct:hit_at_1", "direct:average_precision"])
def test_resumed_run_is_the_uninterrupted_one(method: str, tmp_path: Path):
    """Epsilon, its calls and the first spread are in the checkpoint: the same bytes after a stop."""
    from metricgrad.errors import Interrupted

    seen = [0]

    def stop(event: dict) -> None:
        seen[0] += event["event"] == "progress"
        if seen[0] == 20:
            raise Interrupted("here")

    splits = small_splits()
    changes = {"method": method, "splits": Splits(splits.fit, splits.select), "seed": 0}
    small_run(tmp_path / "whole", **changes)
    with pytest.raises(Interrupted):
        small_run(tmp_path / "cut", **changes, observer=stop)
    small_run(tmp_path / "cut", **changes)
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == []


@pytest.mark.parametrize(
    ("method", "metric", "columns"),
    [
        ("auto", "binary_average_precision", 0),
        ("direct:auc", "roc_auc", 0),
        ("direct:precision_at_5", "binary_average_precision", 0),
        ("surrogate:average_precision", "binary_average_precision", 0),
        ("direct:f_beta", "f1", 2),
        ("direct:multiclass", "error_rate", 3),
        ("direct:f_beta", "macro_f1", 3),
    ],
)
def test_scores_of_samples(method: str, metric: str, columns: int):
    """Binary scores, two columns and several classes are arranged for their structure."""
    result = run_scores(method, metric, columns=columns)
    started = result.event("run_started")
    assert started is not None
    assert started["method"] == (method if method != "auto" else "direct:average_precision")
    stepped = [event for event in result.events if event["event"] == "stepped" and event["arm"] == "tuned"]
    assert stepped
    if not method.startswith("surrogate"):
        assert {"loss", "epsilon", "score_std", "zero", "moved", "undefined"} == set(stepped[-1]["values"])


def test_pixels_are_samples():
    """Of images [image, class, row, column] every pixel is a sample; pixels to ignore have no loss and no gradient."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    classes = torch.randint(3, (2, 4, 5), generator=generator)
    classes[0, 1, 2], classes[1, 3, 4] = -100, -100
    counted = (classes != -100).flatten()
    rows = images.detach().movedim(1, -1).reshape(-1, 3)[counted].requires_grad_()
    loss = named_direct("multiclass", adapt("mean_iou"), {})(images, classes)
    of_rows = named_direct("multiclass", adapt("mean_iou"), {})(rows, classes.flatten()[counted])
    loss.backward()
    of_rows.backward()
    assert loss.item() == of_rows.item()
    assert images.grad is not None
    found = images.grad.movedim(1, -1).reshape(-1, 3)
    assert torch.equal(found[counted], rows.grad)
    assert bool((rows.grad != 0).any())
    assert not bool(found[~counted].any())


def test_only_samples_to_ignore():
    """A batch in which every target is -100 has a loss of 0 that is attached to the graph."""
    scores = torch.randn(4, 3, requires_grad=True)
    loss = named_direct("multiclass", adapt("error_rate"), {})(scores, torch.full((4,), -100))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None and not bool(scores.grad.any())


def test_collapse_ends_the_stage():
    """Weights that decay to nothing take the scores with them: the stage says so and ends, the run goes on."""
    result = run_scores(
        "direct:average_precision",
        "binary_average_precision",
        steps=40,
        learning_rate=1e-4,
        schedule="constant",
        weight_decay=9000.0,
        warmup=0.0,
        gradient_clip=None,
    )
    notes = [event["text"] for event in result.events if event["event"] == "note"]
    assert any("the scores collapsed" in text for text in notes), notes
    finished = [
        event for event in result.events if event["event"] == "stage_finished" and event["arm"] == "tuned"
    ]
    assert 0 < finished[0]["step"] < 40
    assert result.verdict is not None


@pytest.mark.parametrize(
    ("name", "metric", "settings", "message"),
    [
        ("average_precison", "recall@1", {}, "Did you mean 'average_precision'"),
        ("f_beta", "recall@1", {}, "ranks embeddings; expected the name of a ranking"),
        ("hit_at_1", "recall@1", {"k": 3}, "there is no setting 'k'"),
        ("hit_at_1", "recall@1", {"epsilonn": 3}, "Did you mean 'epsilon'"),
        ("f_beta", "f1", {"epsilon": -1}, "epsilon is -1"),
    ],
)
def test_bad_names(name: str, metric: str, settings: dict, message: str):
    """Unknown names and settings are refused before anything is trained."""
    with pytest.raises(InputError, match=message):
        named_direct(name, adapt(metric), settings)

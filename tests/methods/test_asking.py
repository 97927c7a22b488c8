"""What a loss asks of a run by its keywords: counts of classes in the data, the metric, its costs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from metricgrad._record_file import read_record
from metricgrad.errors import InputError
from metricgrad.methods.class_counts import class_counts
from metricgrad.methods.families import road_named
from metricgrad.methods.objectives import named_objective, space
from metricgrad.methods.road import validated
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Splits, compare, tune
from metricgrad.tune.given_data import given_splits

COUNTS = [30, 9, 0, 3]
TARGETS = torch.tensor([0] * 30 + [1] * 9 + [3] * 3)[torch.randperm(42, generator=torch.manual_seed(0))]
INPUTS = torch.randn(42, 5, generator=torch.manual_seed(1)) + TARGETS[:, None]


def loader(**settings: Any) -> DataLoader:
    """Batches of a dataset."""
    return DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=8, **settings)


def balanced() -> DataLoader:
    """A loader that shows every class equally often."""
    weights = (1 / torch.tensor(COUNTS, dtype=torch.float64))[TARGETS]
    return loader(sampler=WeightedRandomSampler(weights.tolist(), 42))


def by_name() -> Any:
    """Batches of another form."""
    batches = DataLoader(
        TensorDataset(INPUTS, TARGETS), batch_size=8, shuffle=True, drop_last=True,
        collate_fn=lambda items: {"x": torch.stack([x for x, _ in items]), "y": torch.stack([y for _, y in items])},
    )  # fmt: skip
    return given_splits(Splits(batches, batches, unpack=lambda batch: (batch["x"], batch["y"]))).fit


@pytest.mark.parametrize(
    "make",
    [
        lambda: ArraySplit(INPUTS, TARGETS, batch=8, shuffle=True),
        lambda: ArraySplit(INPUTS, TARGETS[:, None]),
        lambda: ClassBatchSplit(
            INPUTS, TARGETS, classes_per_batch=2, samples_per_class=4, small_classes="drop"
        ),
        loader,
        balanced,
        by_name,
        lambda: [(INPUTS[:20], TARGETS[:20]), (INPUTS[20:], TARGETS[20:].tolist())],
    ],
    ids=["arrays", "a column", "balanced batches", "loader", "balanced loader", "unpacked", "list"],
)
def test_classes_are_counted_in_the_data(make: Callable[[], Any]) -> None:
    """Once, whatever the batches repeat or leave out."""
    assert class_counts(make()).tolist() == COUNTS


def test_what_cannot_be_counted() -> None:
    """Samples to ignore are not counted; texts, values and classes below 0 are refused in one sentence."""
    assert class_counts(ArraySplit(INPUTS, TARGETS.where(TARGETS > 0, -100))).tolist() == [0, 9, 0, 3]
    for targets, message in (
        (TARGETS.float(), "class numbers, one whole number per sample"),
        (["cat", "dog"] * 21, "class numbers, one whole number per sample"),
        (TARGETS - 1, "a target of fit is -1"),
    ):
        with pytest.raises(InputError, match=message):
            class_counts(ArraySplit(INPUTS, targets))


def splits(fit: Any = None) -> Splits:
    """Three classes, one of them rare; the network has four."""
    arrays = ArraySplit(INPUTS, TARGETS, batch=16)
    return Splits(fit or arrays, ArraySplit(INPUTS + 0.1, TARGETS), ArraySplit(INPUTS - 0.1, TARGETS))


def network(seed: int = 0) -> nn.Module:
    """Scores of four classes."""
    torch.manual_seed(seed)
    return nn.Linear(5, 4)


@pytest.mark.slow
def test_a_contest_with_every_kind(tmp_path: Path) -> None:
    """Controls and contenders that ask for counts, for the metric, and for calls; all calls stand in the record."""

    def share_right(predictions: Tensor, targets: Tensor) -> float:
        return float((torch.as_tensor(predictions) == torch.as_tensor(targets)).double().mean())

    def of_classes(outputs: Tensor, targets: Tensor) -> float:
        return share_right(outputs.argmax(1) if outputs.ndim == 2 else outputs, targets)

    names = ["soft_confusion", "slope", "balanced_softmax"]
    for metric in ("macro_f1", of_classes):
        asked = names if isinstance(metric, str) else names[1:]
        found = compare(
            network,
            splits(),
            metric=metric,
            higher_is_better=True,
            proxy=nn.functional.cross_entropy,
            methods=[f"surrogate:{name}" for name in asked],
            controls=["continued", "surrogate:class_weighted_cross_entropy"],
            plan=Plan(steps=4, evaluate_every=2, checkpoint_every=2, resamples=100),
            folder=tmp_path / str(len(asked)),
            observer=lambda event: None,
        )
        arms = [row.name for row in found.table]
        assert arms == [
            "start", "continued", "surrogate-class_weighted_cross_entropy",
            *(f"surrogate-{name}" for name in asked),
        ]  # fmt: skip
        assert [row.role for row in found.table][:3] == ["start", "control", "control"]
        events = list(read_record(tmp_path / str(len(asked)) / "record.jsonl"))
        (concluded,) = [event for event in events if "metric_calls" in event]
        calls = concluded["metric_calls"].get("fit", 0)
        assert calls == (0 if isinstance(metric, str) else 4 * 17)
        logged = [event["values"] for event in events if event["event"] == "stepped"]
        assert any("metric_calls" in values for values in logged) == (calls > 0)


def test_a_setting_of_the_same_name_comes_first() -> None:
    """Counts, metric and costs may be given; then nothing is asked for, and they are tried before training."""
    objective = named_objective("balanced_softmax", {"class_counts": [3, 2, 0, 1]})
    wanted = nn.functional.cross_entropy(INPUTS[:, :4].log_softmax(1), TARGETS)
    assert float(objective(INPUTS[:, :4], TARGETS)) != float(wanted)
    objective = named_objective("expected_cost", {"cost_matrix": [[0.0, 1.0, 2.0, 3.0, 0.5]] * 4})
    assert objective(INPUTS, TARGETS).ndim == 0
    road = road_named("surrogate:soft_confusion", adapt("roc_auc"))
    road.make(validated(road.settings, {"objective": {"metric": "f1"}}, road.name))
    for name, settings, message in (
        ("balanced_softmax", {"class_counts": [3, -1]}, "finite numbers >= 0"),
        ("balanced_softmax", {"class_counts": "abc"}, "setting class_counts: class_counts are 'abc'"),
        ("balanced_softmax", {"tau": -1}, "tau is -1"),
        ("soft_confusion", {"momentum": 2}, "momentum is 2"),
        ("slope", {"slopes": [[1.0]]}, "there is no setting 'slopes'"),
        ("expected_cost", {"cost_matrix": [[0.0, 1.0], [1.0]]}, "setting cost_matrix"),
    ):
        with pytest.raises(InputError, match=message):
            named_objective(name, settings)


@pytest.mark.parametrize(
    ("name", "metric", "message"),
    [
        ("soft_confusion", "roc_auc", "no function of the confusion table"),
        ("slope", "roc_auc", "it reads scores"),
        ("slope", "f1:threshold=0.5", "it reads scores"),
        ("expected_cost", "macro_f1", "the metric macro_f1 has no costs"),
    ],
)
def test_a_metric_that_does_not_suit_fails_before_training(name: str, metric: str, message: str) -> None:
    """Whatever stage it would be in."""
    with pytest.raises(InputError, match=message):
        road = road_named(f"surrogate:{name}", adapt(metric))
        road.make(validated(road.settings, {}, road.name))


@pytest.mark.parametrize("name", ["soft_confusion", "slope"])
def test_a_metric_of_one_logit_is_one_of_two_classes(name: str) -> None:
    """A network of one output trains as one whose first score is always 0, for a metric that cuts the logit at 0."""
    inputs, targets = INPUTS[:, :1], (TARGETS > 0).long()
    plan = Plan(steps=2, evaluate_every=2, resamples=20)
    values = []
    for metric, model in (("f1:threshold=0", nn.Linear(1, 1)), ("f1", Beside(nn.Linear(1, 1)))):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0.3)
        found = tune(
            model,
            Splits(ArraySplit(inputs, targets, batch=42), ArraySplit(inputs + 0.1, targets, batch=42)),
            metric=metric,
            method=f"surrogate:{name}",
            plan=plan,
            decision="argmax",
            observer=lambda event: None,
        )
        values.append([event["values"] for event in found.events if event["event"] == "stepped"])
    assert len(values[0]) == len(values[1]) > 0
    for one, other in zip(*values, strict=True):
        assert one == pytest.approx(other)


class Beside(nn.Module):
    """The score 0 of class 0 beside that of class 1."""

    def __init__(self, score: nn.Module) -> None:
        super().__init__()
        self.score = score

    def forward(self, inputs: Tensor) -> Tensor:
        """[item, 2]."""
        score = self.score(inputs)
        return torch.cat([torch.zeros_like(score), score], 1)


def test_costs_come_from_the_metric(tmp_path: Path) -> None:
    """`surrogate:expected_cost` with the metric of that name needs no setting."""
    found = compare(
        network,
        splits(loader()),
        metric="expected_cost:cost=0 1 2 5; 1 0 1 1; 1 1 0 1; 9 1 1 0",
        methods=["surrogate:expected_cost"],
        plan=Plan(steps=2, evaluate_every=2, resamples=100),
        folder=tmp_path / "run",
        observer=lambda event: None,
    )
    assert [row.name for row in found.table] == ["start", "surrogate-expected_cost"]


def test_what_tries_may_draw() -> None:
    """Settings of what is trained with: the momentum of a table, too."""
    assert list(space("soft_confusion")) == ["objective.temperature", "objective.momentum"]
    assert list(space("slope")) == ["objective.temperature", "objective.momentum"]
    assert list(space("balanced_softmax")) == ["objective.tau"]

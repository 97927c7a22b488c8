"""The first parameter of a loss says what it takes; what tries draw for it stands beside it."""

import inspect

import pytest
import torch
from torch import Tensor, nn

from metricgrad import losses
from metricgrad.errors import InputError
from metricgrad.methods.control import road_for_loss
from metricgrad.methods.families import road_named
from metricgrad.methods.objectives import loss_named, named_objective, objectives, space
from metricgrad.methods.trial import example_for
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, Plan, Splits, tune

LOGITS = torch.tensor([[2.0, -1.0], [0.5, 0.0], [-1.0, 1.0]])
TARGETS = torch.tensor([0, 1, 1])


def scores_loss(scores: Tensor, targets: Tensor, *, slope: float = 1.0) -> Tensor:
    """A loss of scores of class 1 [sample]."""
    assert scores.shape == targets.shape == (3,)
    return slope * (scores - targets).square()


def probabilities_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """A loss of probabilities [sample, class]."""
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))
    return 1 - probabilities.gather(1, targets[:, None])[:, 0]


def logits_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """A loss of class scores [sample, class]."""
    assert logits.shape == (3, 2)
    return nn.functional.cross_entropy(logits, targets, reduction="none", ignore_index=-100)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three losses above, as if they were public."""
    for loss in (scores_loss, probabilities_loss, logits_loss):
        monkeypatch.setattr(losses, loss.__name__, loss, raising=False)
    names = [*losses.__all__, "scores_loss", "probabilities_loss", "logits_loss"]
    monkeypatch.setattr(losses, "__all__", names)


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("name", ["scores", "probabilities", "logits"])
def test_columns_that_mean_the_same(name: str) -> None:
    """One score of class 1, two logits and two probabilities of the same classifier have the same loss."""
    score = LOGITS[:, 1] - LOGITS[:, 0]
    objective = named_objective(name, {}, of_scores=True)
    found = [
        objective(outputs, TARGETS).mean() for outputs in (score, score[:, None], LOGITS, LOGITS.softmax(1))
    ]
    for one in found[1:]:
        torch.testing.assert_close(one, found[0])
    torch.testing.assert_close(objective(LOGITS, TARGETS[:, None]).mean(), found[0])


@pytest.mark.usefixtures("ours")
def test_ignored_samples_have_no_loss() -> None:
    """They do not count in the mean."""
    ignoring = torch.tensor([0, -100, 1])
    kept = logits_loss(LOGITS, TARGETS)[[0, 2]].mean()
    torch.testing.assert_close(named_objective("logits", {}, of_scores=True)(LOGITS, ignoring).mean(), kept)


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    ("name", "metric"), [("logits", "recall@1"), ("scores", "map"), ("supcon", "accuracy"), ("supcon", "f1")]
)
def test_a_loss_of_other_outputs_is_refused(name: str, metric: str) -> None:
    """A metric says whether outputs are embeddings or scores."""
    with pytest.raises(InputError, match=f"{name} is a loss of "):
        road_named(f"surrogate:{name}", adapt(metric))


def test_every_loss_says_what_it_takes() -> None:
    """So that it runs by its name, as a surrogate and as a proxy."""
    known = {"ranks", "embeddings", "logits", "label_logits", "scores", "probabilities"}
    for name in objectives():
        assert next(iter(inspect.signature(loss_named(name)).parameters)) in known, name
        assert road_for_loss(name).name == f"proxy:{name}"


@pytest.mark.usefixtures("ours")
def test_what_tries_draw() -> None:
    """The kept tables of recipes come from these values, in this order."""
    temperatures = {"objective.temperature": (0.03, 0.05, 0.07)}
    for name in ("recall_at_k", "recall_at_k+simix", "average_precision", "ndcg"):
        assert space(name) == space(name, of_scores=False) == temperatures
    assert space("supcon") == {"objective.temperature": (0.04, 0.07, 0.1)}
    assert space("average_precision", of_scores=True) == {"objective.temperature": (0.1, 0.3, 1.0)}
    assert space("logits") == space("scores") == {}
    assert list(space("generalized_cross_entropy")) == ["objective.exponent"]
    road = road_named("surrogate:recall_at_k", adapt("recall@1"), "supcon")
    drawn = [setting.model_dump(exclude_defaults=True) for setting in road.attempts({}, 3)]
    first = {
        "learning_rate": 0.003,
        "weight_decay": 0.1,
        "dropout": 0.3,
        "objective": {"temperature": 0.03},
    }
    assert drawn == [{}, first, {"dropout": 0.1, "objective": {"temperature": 0.03}, "proxy_weight": 0.3}]
    assert list(road.space) == [
        "learning_rate",
        "weight_decay",
        "dropout",
        "objective.temperature",
        "proxy_weight",
    ]
    assert list(road_named("direct:auc", adapt("auc")).space)[3:] == ["objective.update", "objective.moved"]


@pytest.mark.parametrize(
    "settings",
    [
        {"groups": ["hot", "cold", "hot", "cold", "hot"]},
        {"tree": [[0, 2], [1, [3, 4]]]},
        {"tree": [0, 1, 2, 3, 4], "class_mask": [1, 1, 1, 1, 0]},
    ],
)
def test_a_tree_of_classes_is_named_by_plain_lists(settings: dict[str, object]) -> None:
    """As a YAML file holds them; the settings are tried with as many classes as the tree has."""
    objective = named_objective("hierarchical_complement_entropy", settings, of_scores=True)
    assert float(objective(torch.randn(4, 5), torch.tensor([0, 1, 2, 3]))) < 0
    with pytest.raises(InputError, match="5 classes"):
        objective(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tree": [[0, 1], [1]]}, "class 1 comes twice"),
        ({"tree": [[0, 1], [2]], "groups": [0, 0, 1]}, "both of tree and groups"),
        ({"tree": [[0, 1], [2]], "level_weights": [1]}, "level_weights"),
        ({"level_weights": [1, 1]}, "neither of tree and groups"),
        ({"class_mask": [1, 2, 1], "tree": [0, 1, 2]}, "class_mask"),
    ],
)
def test_settings_of_a_tree_fail_before_training(settings: dict[str, object], message: str) -> None:
    """They are tried where the method is named."""
    with pytest.raises(InputError, match=message):
        named_objective("hierarchical_complement_entropy", settings, of_scores=True)


def test_many_classes_are_tried_on_few_rows() -> None:
    """The made-up rows of a tree of ten thousand classes are no square."""
    outputs, targets = example_for({"groups": list(range(10_000))}, (torch.zeros(1, 1), None))
    assert outputs.shape == (64, 10_000) and targets.tolist() == list(range(64))


@pytest.mark.slow
def test_a_loss_of_logits_tunes_a_classifier() -> None:
    """By its name alone, for a metric of classes; tries draw its own setting."""
    generator = torch.manual_seed(0)
    parts = []
    for _ in range(3):
        inputs = torch.randn(60, 4, generator=generator)
        parts.append(ArraySplit(inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long(), batch=20))
    result = tune(
        nn.Linear(4, 3),
        Splits(*parts),
        metric="accuracy",
        proxy=nn.functional.cross_entropy,
        method="surrogate:generalized_cross_entropy",
        plan=Plan(steps=30, tries=2),
        settings={"learning_rate": 0.05},
        observer=lambda event: None,
    )
    verdict = next(event for event in result.events if event["event"] == "verdict")
    assert verdict["arms"]["tuned"]["select"] > verdict["arms"]["start"]["select"] + 0.1

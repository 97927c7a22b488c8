"""Losses with one learned vector per class: prototype-augmented SupCon, the circle loss of classes, what both share."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from metricgrad.errors import InputError
from metricgrad.losses import (
    CircleClassLoss,
    ExtendedSupConLoss,
    circle_class_loss,
    circle_loss,
    extended_supcon_loss,
    row_chunks,
    supcon_loss,
)
from metricgrad.losses.extended_supcon import have_positives
from metricgrad.losses.prototypes import ClassMeans, class_means
from metricgrad.methods.families import road_named
from metricgrad.methods.objectives import named_objective
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Splits, tune

MODULES = pytest.mark.parametrize("made", [ExtendedSupConLoss, CircleClassLoss], ids=["supcon", "circle"])


def drawn(generator: torch.Generator, rows: int = 9, classes: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, class numbers, prototypes; the last class has no row."""
    embeddings = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    prototypes = torch.randn(classes, 3, generator=generator, dtype=torch.float64)
    return embeddings, torch.arange(rows) % (classes - 1), prototypes


def explicit(
    embeddings: Tensor, targets: Tensor, prototypes: Tensor, anchors: str, prototype_negatives: bool
) -> list[float]:
    """The definition, by loops, at temperature 0.5."""
    pool = normalize(torch.cat([embeddings, prototypes]), dim=1)
    labels, first = [*targets.tolist(), *range(len(prototypes))], len(targets)
    found = []
    for anchor in range(len(pool) if anchors == "all" else first):
        others = [place for place in range(len(pool)) if place != anchor]
        if not prototype_negatives and anchor >= first:
            others = [place for place in others if place < first]
        scores = {place: float(pool[anchor] @ pool[place]) / 0.5 for place in others}
        positives = [scores[place] for place in others if labels[place] == labels[anchor]]
        total = math.log(sum(math.exp(score) for score in scores.values()))
        found.append(total - sum(positives) / len(positives) if positives else 0.0)
    return found


@pytest.mark.parametrize("anchors", ["samples", "all"])
@pytest.mark.parametrize("prototype_negatives", [True, False])
def test_equals_the_loops(anchors: Any, prototype_negatives: bool, generator: torch.Generator) -> None:
    """Also in chunks of one row."""
    inputs = drawn(generator)
    wanted = explicit(*inputs, anchors, prototype_negatives)
    settings = {"temperature": 0.5, "anchors": anchors, "prototype_negatives": prototype_negatives}
    found = extended_supcon_loss(*inputs, **settings)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_chunks, "MEMORY_BUDGET", 1)
        torch.testing.assert_close(extended_supcon_loss(*inputs, **settings), found)


@pytest.mark.parametrize("anchors", ["samples", "all"])
@pytest.mark.parametrize("prototype_negatives", [True, False])
def test_gradient_of_embeddings_and_prototypes(
    anchors: Any, prototype_negatives: bool, generator: torch.Generator
) -> None:
    """float64 gradcheck by both, with an ignored row."""
    embeddings, targets, prototypes = drawn(generator)
    targets[2] = -100

    def value(one: Tensor, other: Tensor) -> Tensor:
        return extended_supcon_loss(
            one, targets, other, anchors=anchors, prototype_negatives=prototype_negatives, temperature=0.5
        )

    assert torch.autograd.gradcheck(value, (embeddings.requires_grad_(), prototypes.requires_grad_()))


def test_one_sample_is_cross_entropy(generator: torch.Generator) -> None:
    """On the similarities to the prototypes, which are the logits of the prediction."""
    embeddings, targets, prototypes = drawn(generator, rows=5)
    module = ExtendedSupConLoss(prototypes, temperature=0.3)
    wanted = cross_entropy(module.logits(embeddings), targets, reduction="none")
    found = [module(embeddings[row : row + 1], targets[row : row + 1]) for row in range(5)]
    torch.testing.assert_close(torch.stack(found), wanted)


def test_far_prototypes_leave_supcon(generator: torch.Generator) -> None:
    """Where no prototype counts in the sums, what is left is SupCon but for the prototype among the positives."""
    embeddings, targets, _ = drawn(generator)
    rows = torch.cat([normalize(embeddings, dim=1), torch.zeros(9, 1)], 1)
    far = torch.tensor([[0.0, 0.0, 0.0, -1e3]]).double().expand(4, -1)  # similarity 0, of rows with a 0 there
    plain = supcon_loss(rows, targets, temperature=0.1)
    found = extended_supcon_loss(rows, targets, far, temperature=0.1)
    sums = torch.logsumexp((rows @ rows.T / 0.1).masked_fill(torch.eye(9).bool(), -torch.inf), 1)
    with_prototypes = torch.logaddexp(sums, torch.tensor(math.log(4.0)))
    torch.testing.assert_close(found, with_prototypes - (sums - plain) * 2 / 3)


def test_ignored_rows_are_not_there(generator: torch.Generator) -> None:
    """Loss and gradient are those of the other rows, whatever an ignored row holds."""
    embeddings, targets, prototypes = drawn(generator)
    kept = torch.tensor([0, 1, 3, 4, 6, 7, 8])
    spoilt, ignored = embeddings.clone(), targets.clone()
    spoilt[[2, 5]], ignored[[2, 5]] = torch.nan, -100
    for loss in (extended_supcon_loss, circle_class_loss):
        leaf, rest = spoilt.clone().requires_grad_(), embeddings[kept].clone().requires_grad_()
        found, wanted = loss(leaf, ignored, prototypes), loss(rest, targets[kept], prototypes)
        torch.testing.assert_close(found[kept], wanted)
        assert not bool(found[[2, 5]].any())
        (gradient,), (of_rest,) = (
            torch.autograd.grad(value.sum(), source) for value, source in ((found, leaf), (wanted, rest))
        )
        torch.testing.assert_close(gradient[kept], of_rest)
        assert not bool(gradient[[2, 5]].any())
    assert have_positives(torch.tensor([0, -100]), 3, "all").tolist() == [True, False, True, False, False]


def test_the_class_form_is_the_pair_form_with_the_weights_as_documents(generator: torch.Generator) -> None:
    """Every sample has one positive; the gradient by the weights, too."""
    embeddings, targets, weights = drawn(generator)
    relevance = nn.functional.one_hot(targets, 4)
    found = []
    for loss in (
        lambda rows: circle_class_loss(embeddings, targets, rows, margin=0.3, scale=20.0),
        lambda rows: circle_loss(embeddings, relevance, documents=rows, margin=0.3, scale=20.0),
    ):
        leaf = weights.clone().requires_grad_()
        value = loss(leaf)
        found.append((value.detach(), torch.autograd.grad(value.sum(), leaf)[0]))
    torch.testing.assert_close(found[0], found[1])
    assert float(circle_class_loss(embeddings, torch.zeros(9).long(), weights[:1]).max()) == 0.0


@pytest.mark.parametrize("loss", [extended_supcon_loss, circle_class_loss])
def test_float32_equals_float64(loss: Any, generator: torch.Generator) -> None:
    """A large batch, also under autocast."""
    rows, weights = torch.randn(400, 32, generator=generator), torch.randn(50, 32, generator=generator)
    targets = torch.arange(400) % 50
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(rows, targets, weights)
    wanted = loss(rows.double(), targets, weights.double())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


@MODULES
def test_empty_and_half_precision(made: Any, generator: torch.Generator) -> None:
    """No row: 0, attached to the graph. bfloat16 rows are computed in float32."""
    embeddings, targets, prototypes = drawn(generator)
    module = made(prototypes.float())
    leaf = embeddings[:0].float().requires_grad_()
    loss = module(leaf, targets[:0])
    loss.backward()
    assert float(loss.detach()) == 0 and leaf.grad is not None
    half = module(embeddings.bfloat16(), targets)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, module(embeddings.bfloat16().float(), targets))


def test_class_means(generator: torch.Generator) -> None:
    """Directions of means of unit rows; -100 is left out; a class whose rows cancel takes its first row."""
    rows = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, -5.0], [0.0, 1.0], [1.0, 1.0]])
    means = class_means(rows, torch.tensor([7, 2, 2, 7, -100]))
    assert isinstance(means.labels, Tensor) and means.labels.tolist() == [2, 7]
    torch.testing.assert_close(means.rows, torch.tensor([[0.0, 1.0], [0.5**0.5, 0.5**0.5]]))
    with pytest.raises(InputError, match="no row has a label"):
        class_means(rows[:1], torch.tensor([-100]))
    with pytest.raises(InputError, match="1 targets"):
        class_means(rows, [0])


@MODULES
def test_labels_of_any_kind(made: Any, generator: torch.Generator) -> None:
    """Texts and sparse numbers mean the same as class numbers; a label without a prototype is named."""
    embeddings, targets, _ = drawn(generator)
    names = ["pear", "apple", "fig"]
    by_number = made(class_means(embeddings, targets))
    wanted = by_number(embeddings, targets)
    texts, sparse = [names[place] for place in targets], 1000 - 300 * targets
    torch.testing.assert_close(made(class_means(embeddings, texts))(embeddings, texts), wanted)
    torch.testing.assert_close(made(class_means(embeddings, sparse))(embeddings, sparse), wanted)
    with pytest.raises(InputError, match=r"targets\[1\] is a label without a prototype"):
        by_number(embeddings[:2], torch.tensor([0, 3]))
    with pytest.raises(InputError, match="one row per label"):
        made(ClassMeans(torch.eye(2), [1, 1]))
    again = made(class_means(torch.randn(9, 3), targets))
    again.load_state_dict(by_number.state_dict())
    torch.testing.assert_close(again(embeddings.float(), targets), wanted.float())


def test_class_balanced(generator: torch.Generator) -> None:
    """The mean over classes of the mean over their anchors."""
    embeddings, _, prototypes = drawn(generator)
    targets = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2])
    losses = extended_supcon_loss(embeddings, targets, prototypes)
    wanted = torch.stack([losses[targets == one].mean() for one in range(3)]).mean()
    found = ExtendedSupConLoss(prototypes, reduction="class_balanced")(embeddings, targets)
    torch.testing.assert_close(found, wanted)


def test_refuses(generator: torch.Generator) -> None:
    """Settings and shapes that do not fit."""
    embeddings, targets, prototypes = drawn(generator)
    for changed, message in (
        ({"targets": targets + 2}, "a target is 4 where there are 4 prototypes"),
        ({"targets": targets[:3]}, "3 targets"),
        ({"targets": targets - 1}, "a target is -1"),
        ({"prototypes": prototypes[:, :2]}, "the same number of dimensions"),
        ({"temperature": 0}, "temperature is 0"),
        ({"anchors": "rows"}, "anchors is 'rows'"),
    ):
        given: dict[str, Any] = {"embeddings": embeddings, "targets": targets, "prototypes": prototypes}
        with pytest.raises(InputError, match=message):
            extended_supcon_loss(**{**given, **changed})
    with pytest.raises(InputError, match="reduction is 'sum'"):
        ExtendedSupConLoss(prototypes, reduction="sum")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="scale is -1"):
        CircleClassLoss(prototypes, scale=-1)


def clouds() -> tuple[Tensor, Tensor]:
    """Overlapping clouds of six classes whose labels are sparse numbers."""
    random = torch.Generator().manual_seed(0)
    targets = torch.arange(60) // 10
    inputs = torch.randn(60, 5, generator=random) + 1.5 * torch.randn(6, 5, generator=random)[targets]
    return inputs, 10 * targets + 3


@pytest.mark.parametrize("name", ["extended_supcon", "circle_class"])
@pytest.mark.parametrize("texts", [False, True])
def test_tune(name: str, texts: bool) -> None:
    """Prototypes begin at the class means of fit; the run trains, with labels of either kind and batches by class."""
    inputs, targets = clouds()
    labels = [f"class {int(label)}" for label in targets] if texts else targets
    fit = ClassBatchSplit(inputs[:40], labels[:40], classes_per_batch=3, samples_per_class=2)
    found = tune(
        nn.Linear(5, 4),
        Splits(fit, ArraySplit(inputs[40:], labels[40:])),
        metric="recall@1",
        method=f"surrogate:{name}",
        plan=Plan(steps=4, evaluate_every=2, resamples=20),
        observer=lambda event: None,
    )
    losses = [event["values"]["loss"] for event in found.events if event["event"] == "stepped"]
    assert losses and all(math.isfinite(value) for value in losses)


def test_prototypes_do_not_decay_and_begin_at_class_means() -> None:
    """They are in the group without weight decay; each stage begins with the means under its own network."""
    from metricgrad._types import MethodRun

    inputs, targets = clouds()
    model = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.5))
    road = road_named("surrogate:extended_supcon", adapt("recall@1"))
    method = road.make(road.settings())
    run = MethodRun(
        model,
        dict(model.named_parameters()),
        adapt("recall@1"),
        4,
        0,
        fit=ArraySplit(inputs, targets, batch=7, shuffle=True),
    )
    method.begin(run)
    assert model.training
    (asking,) = method.descent.asking
    wanted = class_means(model.eval()(inputs), targets)
    torch.testing.assert_close(asking.module.prototypes.rows.detach(), wanted.rows)
    decays = {
        id(value): group["weight_decay"]
        for group in method.descent.optimiser.param_groups
        for value in group["params"]
    }
    assert decays[id(asking.module.prototypes.rows)] == 0 and decays[id(model[0].weight)] > 0
    before = asking.module.prototypes.rows.detach().clone()
    method.step((inputs, targets))
    assert not torch.equal(before, asking.module.prototypes.rows)


def test_settings_are_tried_before_training() -> None:
    """A setting that does not fit fails when the objective is made."""
    with pytest.raises(InputError, match="temperature is -1"):
        named_objective("extended_supcon", {"temperature": -1})
    with pytest.raises(InputError, match="there is no setting 'momentum'"):
        named_objective("circle_class", {"momentum": 0.5})

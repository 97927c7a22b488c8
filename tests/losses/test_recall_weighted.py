"""What is special to recall-weighted cross-entropy: weights by loops, the running form, failures of released code."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metricgrad.averages import mean_valid
from metricgrad.errors import InputError
from metricgrad.losses import RecallWeightedCrossEntropyLoss, recall_weighted_cross_entropy_loss
from metricgrad.methods.objectives import named_objective

MEASURES = {
    "recall": lambda tp, fp, fn: tp / (tp + fn),
    "precision": lambda tp, fp, fn: tp / (tp + fp) if tp + fp else 0.0,
    "iou": lambda tp, fp, fn: tp / (tp + fp + fn),
    "f_1": lambda tp, fp, fn: 2 * tp / (2 * tp + fp + fn),
}


def drawn(generator: torch.Generator, rows: int = 60, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Logits with some knowledge, targets with ignored samples; the last class is never there."""
    targets = torch.randint(0, classes - 1, (rows,), generator=generator)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    logits[torch.arange(rows), targets] += 1
    targets[::7] = -100
    return logits, targets


def explicit(logits: Tensor, targets: Tensor, measure: str, floor: float) -> list[float]:
    """Weights of the classes, by loops; 1 for an absent one."""
    pairs = [
        (target, decided)
        for target, decided in zip(targets.tolist(), logits.argmax(1).tolist(), strict=True)
        if target != -100
    ]
    found = []
    for one in range(logits.shape[1]):
        tp = sum(target == one == decided for target, decided in pairs)
        fp = sum(target != one == decided for target, decided in pairs)
        fn = sum(target == one != decided for target, decided in pairs)
        found.append(max(1 - MEASURES[measure](tp, fp, fn), floor) if tp + fn else 1.0)
    return found


@pytest.mark.parametrize("measure", list(MEASURES))
@pytest.mark.parametrize("floor", [0.0, 0.6])
def test_equals_the_loops(measure: str, floor: float, generator: torch.Generator) -> None:
    """Both reductions, for every measure."""
    logits, targets = drawn(generator)
    counted = targets != -100
    weights = torch.tensor(explicit(logits, targets, measure, floor), dtype=torch.float64)
    each = cross_entropy(logits, targets, reduction="none")
    mean = recall_weighted_cross_entropy_loss(logits, targets, per_class=measure, floor=floor)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(mean, each * weights[targets.clamp_min(0)])
    weighted = recall_weighted_cross_entropy_loss(
        logits,
        targets,
        per_class=measure,
        floor=floor,
        reduction="weighted_mean",  # pyright: ignore[reportArgumentType]
    )
    torch.testing.assert_close(mean_valid(weighted, counted), cross_entropy(logits, targets, weight=weights))


def test_a_function_as_the_measure(generator: torch.Generator) -> None:
    """Specificity, for instance; values outside 0 to 1, or of another number, are refused."""
    logits, targets = drawn(generator)
    named = recall_weighted_cross_entropy_loss(logits, targets, per_class="f_1")
    own = recall_weighted_cross_entropy_loss(
        logits, targets, per_class=lambda tp, fp, fn: 2 * tp / (2 * tp + fp + fn)
    )
    torch.testing.assert_close(own, named)  # 0/0 for the absent class is used nowhere
    for wrong, message in (
        (lambda tp, fp, fn: tp, "numbers from 0 to 1"),
        (lambda tp, fp, fn: tp.sum(), "one number per class"),
        (lambda tp, fp, fn: 0.5, "one number per class"),
        (lambda tp, fp, fn: tp * math.nan, "numbers from 0 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            recall_weighted_cross_entropy_loss(logits, targets, per_class=wrong)  # pyright: ignore[reportArgumentType]


def test_by_recall_it_is_the_errors_of_a_class_times_its_mean(generator: torch.Generator) -> None:
    """1/M sum_c FN_c (mean cross-entropy of class c)."""
    logits, targets = drawn(generator)
    each, decided = cross_entropy(logits, targets, reduction="none"), logits.argmax(1)
    wanted = sum(
        (of_class & (decided != one)).sum() * each[of_class].mean()
        for one in range(4)
        for of_class in [targets == one]
    )
    found = recall_weighted_cross_entropy_loss(logits, targets)
    torch.testing.assert_close(found.sum(), wanted)


@pytest.mark.parametrize("released", [False, True])
def test_the_gradient_is_that_with_weights_held(released: bool, generator: torch.Generator) -> None:
    """Finite differences with given weights; the counts themselves have no gradient."""
    logits, targets = drawn(generator, rows=12)
    module = RecallWeightedCrossEntropyLoss(counts="released" if released else "plain")
    leaf = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(module(leaf, targets).sum(), leaf)
    held = logits.clone().requires_grad_()

    def value(rows: Tensor) -> Tensor:
        return recall_weighted_cross_entropy_loss(
            rows, targets, counts=module.counts, class_weights=module.weights
        )

    assert torch.autograd.gradcheck(value, held)
    torch.testing.assert_close(found, torch.autograd.grad(value(held).sum(), held)[0])
    torch.testing.assert_close(found.sum(1), torch.zeros(12, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_false_positive_term(generator: torch.Generator) -> None:
    """-(1 - precision of k) log(1 - p_k) of samples that are taken for k, and stable where p_k is 1."""
    logits, targets = drawn(generator)
    decided, counted = logits.argmax(1), targets != -100
    precision = torch.stack(
        [
            ((targets == one) & (decided == one)).sum() / max(1, int((counted & (decided == one)).sum()))
            for one in range(5)
        ]
    )
    missing = -(1 - logits.softmax(1).gather(1, decided.unsqueeze(1)).squeeze(1)).log()
    wanted = torch.where(counted & (decided != targets), (1 - precision.double())[decided] * missing, 0)
    found = recall_weighted_cross_entropy_loss(logits, targets, false_positive_term=True)
    torch.testing.assert_close(found - recall_weighted_cross_entropy_loss(logits, targets), wanted)
    leaf = torch.tensor([[300.0, 0.0, 0.0]], requires_grad=True)
    loss = recall_weighted_cross_entropy_loss(leaf, torch.tensor([1]), false_positive_term=True)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    torch.testing.assert_close(loss.detach(), torch.tensor([600.0 - math.log(2)]))
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize(
    "targets",
    [[0, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 0], [0, 1, 2, -100], [-100] * 4],
    ids=["all right", "errors of one class", "one class", "a label to ignore", "nothing but those"],
)
@pytest.mark.parametrize("counts", ["plain", "released"])
def test_the_published_code_raises_here_trap(targets: list[int], counts: str) -> None:
    """There: IndexError where all is right, where one class has errors or is present, and at a label to ignore."""
    leaf = (2 * torch.eye(3)[[0, 1, 2, 2]]).requires_grad_()
    loss = recall_weighted_cross_entropy_loss(leaf, torch.tensor(targets), counts=counts)  # pyright: ignore[reportArgumentType]
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    assert bool(loss.isfinite().all() and gradient.isfinite().all())
    if targets == [0, 1, 2, 2]:
        assert bool(loss.any()) == (counts == "released")
    if targets == [-100] * 4:
        assert not bool(loss.any() or gradient.any())


def test_the_running_weights(generator: torch.Generator) -> None:
    """The first batch with a class sets its weight; nothing is remembered in eval mode; the state is saved."""
    module = RecallWeightedCrossEntropyLoss(momentum=0.9)
    eye = torch.eye(3)
    module(eye[[0, 1, 1]], torch.tensor([0, 0, 1]))
    assert module.weights[:2].tolist() == [0.5, 0.0] and module.seen.tolist() == [True, True, False]
    module(eye[[0, 0]], torch.tensor([0, 2]))
    torch.testing.assert_close(module.weights, torch.tensor([0.45, 0.0, 1.0]).double())
    again = RecallWeightedCrossEntropyLoss(momentum=0.9)
    again.load_state_dict(module.state_dict())
    logits, targets = eye[[2, 1, 0]], torch.tensor([0, 1, 2])
    torch.testing.assert_close(again(logits, targets), module(logits, targets))
    kept = module.weights.clone()
    module.eval()
    module(eye[[1, 1, 1]], torch.tensor([0, 0, 2]))
    torch.testing.assert_close(module.weights, kept)
    with pytest.raises(InputError, match="logits of 4 classes after 3"):
        module(torch.zeros(1, 4), torch.tensor([0]))


def test_images_as_pixels(generator: torch.Generator) -> None:
    """[image, class, row, column] flattened to [pixel, class]."""
    scores = torch.randn(2, 3, 4, 5, generator=generator)
    targets = torch.randint(0, 3, (2, 4, 5), generator=generator)
    flat = recall_weighted_cross_entropy_loss(scores.movedim(1, 3).flatten(0, 2), targets.flatten())
    assert flat.shape == (40,) and bool(flat.isfinite().all())


def test_as_an_objective(generator: torch.Generator) -> None:
    """By name: settings are tried before training, and the mean is over the samples that are not ignored."""
    for settings, message in (
        ({"momentum": 1}, "momentum is 1"),
        ({"per_class": "accuracy"}, "per_class is 'accuracy'"),
        ({"reduction": "sum"}, "reduction is 'sum'"),
        ({"counts": "all"}, "counts is 'all'"),
        ({"counts": "released", "per_class": "iou"}, "recall and 'mean'"),
        ({"floor": -0.1}, "floor is -0.1"),
    ):
        with pytest.raises(InputError, match=message):
            named_objective("recall_weighted_cross_entropy", settings)
    logits, targets = drawn(generator)
    objective = RecallWeightedCrossEntropyLoss(per_class="iou")
    wanted = mean_valid(recall_weighted_cross_entropy_loss(logits, targets, per_class="iou"), targets != -100)
    torch.testing.assert_close(mean_valid(objective(logits, targets), targets != -100), wanted)

"""What holds for every structure: the gradient is that of the value, the bracket is one, padding does not count."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from metricgrad import direct
from metricgrad.direct import (
    BruteForce,
    Candidates,
    Contingency,
    DirectLoss,
    FrameEdit,
    Interleaving,
    Multiclass,
    TopK,
)

pytestmark = pytest.mark.filterwarnings("ignore:DirectLoss. update='neg' on raw scores")

Drawn = tuple[Any, Tensor, Any]


def relevance(generator: Generator, shape: tuple[int, ...]) -> Tensor:
    """0 and 1, both of them in every row."""
    targets = (torch.rand(shape, generator=generator) < 0.4).long()
    targets[:, 0], targets[:, 1] = 1, 0
    return targets


def binary(structure: Any) -> Callable[[Generator], Drawn]:
    """A structure over scores with a target each."""
    return lambda generator: (
        structure,
        torch.randn(4, 6, generator=generator, dtype=torch.float64),
        relevance(generator, (4, 6)),
    )


def classes(generator: Generator) -> Drawn:
    """Costs between five classes."""
    cost = torch.rand(5, 5, generator=generator, dtype=torch.float64)
    scores = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    return Multiclass(cost), scores, torch.randint(0, 5, (6,), generator=generator)


def frames(generator: Generator) -> Drawn:
    """Strings of four frames against references of up to three symbols."""
    scores = torch.randn(3, 4, 3, generator=generator, dtype=torch.float64)
    return FrameEdit(automaton=True), scores, torch.tensor([[0, 1, 2], [1, 1, -1], [-1, -1, -1]])


def candidates(generator: Generator) -> Drawn:
    """Five outputs with a loss each."""
    scores = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    return Candidates(), scores, torch.rand(4, 5, generator=generator, dtype=torch.float64)


def subsets(target: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Every subset of the items, and how far it is from the target."""
    features = torch.tensor(list(itertools.product((0.0, 1.0), repeat=shape[0])), dtype=torch.float64)
    return features, (features - target).abs().mean(1)


def brute(generator: Generator) -> Drawn:
    """Subsets, one by one."""
    return (
        BruteForce(subsets),
        torch.randn(3, 5, generator=generator, dtype=torch.float64),
        relevance(generator, (3, 5)),
    )


CASES: list[Callable[[Generator], Drawn]] = [
    *(binary(Interleaving(name)) for name in ("average_precision", "ndcg", "auc", "loglog_recall")),
    *(binary(Interleaving(name, k=2)) for name in ("precision_at_k", "recall_at_k", "hit_at_k", "ndcg_at_k")),
    *(binary(Contingency(name)) for name in ("f_beta", "iou", "error_rate", "balanced_error")),
    *(binary(TopK(name, k=2)) for name in ("precision_at_k", "recall_at_k", "hit_at_k")),
    binary(TopK("precision_recall_break_even")),
    classes,
    frames,
    candidates,
    brute,
]


def test_every_structure_has_a_case():
    """A new structure without a case fails here."""
    tried = {type(draw(torch.Generator().manual_seed(0))[0]).__name__ for draw in CASES}
    losses = {"DirectLoss"}
    assert tried == {name for name in direct.__all__ if name[0].isupper()} - losses


@pytest.mark.parametrize("draw", CASES)
def test_gradient_is_that_of_the_value(draw: Callable[[Generator], Drawn]):
    """Away from kinks: finite differences, for each side."""
    structure, scores, targets = draw(torch.Generator().manual_seed(1))
    for update in ("two", "pos", "neg", *(["hinge"] if hasattr(structure, "ideal") else [])):
        criterion = DirectLoss(structure, update=update, epsilon=0.8)

        def value(free: Tensor, criterion: DirectLoss = criterion) -> Tensor:
            return criterion.per_unit(free, targets)[0]

        assert torch.autograd.gradcheck(value, scores.clone().requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("draw", CASES)
def test_bracket(draw: Callable[[Generator], Drawn]):
    """l_neg <= loss <= l_pos, at every epsilon; both close in on the loss as epsilon falls."""
    structure, scores, targets = draw(torch.Generator().manual_seed(2))
    for epsilon in (1e-6, 0.1, 1.0, 30.0):
        lower, loss, upper = DirectLoss(structure, epsilon=epsilon).bracket(scores, targets)
        assert (lower <= loss + 1e-9).all()
        assert (loss <= upper + 1e-9).all()
        if epsilon == 1e-6:
            torch.testing.assert_close(lower, loss, atol=1e-6, rtol=0)
            torch.testing.assert_close(upper, loss, atol=1e-6, rtol=0)


@pytest.mark.parametrize("draw", CASES)
def test_order_of_units(draw: Callable[[Generator], Drawn]):
    """Each unit is alone: another order of them permutes values, and a subset leaves the others as they are."""
    structure, scores, targets = draw(torch.Generator().manual_seed(3))
    criterion = DirectLoss(structure, epsilon=0.5)
    order = torch.arange(len(scores) - 1, -1, -1)
    values = criterion.per_unit(scores, targets)[0]
    torch.testing.assert_close(criterion.per_unit(scores[order], targets[order])[0], values[order])
    torch.testing.assert_close(criterion.per_unit(scores[:1], targets[:1])[0], values[:1])

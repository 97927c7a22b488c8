"""What is special to generalised cross-entropy: its two ends, its gradient, and labels that do not fit."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metricgrad.errors import InputError
from metricgrad.losses import generalized_cross_entropy_loss

EXPONENTS = (1e-6, 0.3, 0.7, 1.0)


def inputs(generator: torch.Generator, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Logits [sample, class] and targets."""
    logits = 3 * torch.randn(40, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (40,), generator=generator)


def test_its_ends(generator: torch.Generator) -> None:
    """Exponent 0 is cross-entropy and 1 is 1 - p; in between it falls as the exponent grows."""
    logits, targets = inputs(generator)
    plain = cross_entropy(logits, targets, reduction="none")
    losses = [generalized_cross_entropy_loss(logits, targets, exponent=value) for value in (0, *EXPONENTS)]
    torch.testing.assert_close(losses[0], plain)
    torch.testing.assert_close(losses[-1], 1 - torch.exp(-plain))
    torch.testing.assert_close(losses[1], plain, rtol=1e-4, atol=0)
    assert all(bool((one >= other).all()) for one, other in pairwise(losses))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_the_gradient_is_a_share_of_that_of_cross_entropy(
    exponent: float, generator: torch.Generator
) -> None:
    """It is p^exponent of it, and the gradients of a sample's classes add up to 0."""
    logits, targets = inputs(generator)
    logits.requires_grad_()
    plain = cross_entropy(logits, targets, reduction="none")
    (of_plain,) = torch.autograd.grad(plain.sum(), logits, retain_graph=True)
    losses = generalized_cross_entropy_loss(logits, targets, exponent=exponent)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    share = torch.exp(-exponent * plain.detach()).unsqueeze(1)
    torch.testing.assert_close(gradient, share * of_plain)
    torch.testing.assert_close(gradient.sum(1), torch.zeros(40, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("classes", [2, 7])
def test_the_sum_over_labels_is_bounded(classes: int, exponent: float, generator: torch.Generator) -> None:
    """Which is what makes it robust: the losses of all labels of a sample add up to nearly the same for every model."""
    logits, _ = inputs(generator, classes)
    total = sum(
        generalized_cross_entropy_loss(logits, torch.full((40,), label), exponent=exponent)
        for label in range(classes)
    )
    assert isinstance(total, Tensor)
    low, high = (classes - classes ** (1 - exponent)) / exponent, (classes - 1) / exponent
    assert low * (1 - 1e-9) <= float(total.min()) <= float(total.max()) <= high * (1 + 1e-9)


@pytest.mark.parametrize("exponent", [0, 1e-6, 0.7, 1])
@pytest.mark.parametrize("wrong", [1e4, 1e30, torch.inf])
def test_a_label_of_no_probability(exponent: float, wrong: float) -> None:
    """The probability is 0 in any arithmetic: value and gradient stay numbers, also where its class was taken out."""
    logits = torch.tensor([[-wrong, 0.0, 0.0]], requires_grad=True)
    loss = generalized_cross_entropy_loss(logits, torch.tensor([0]), exponent=exponent)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert not bool(loss.isnan().any())
    assert bool(gradient.isfinite().all())
    if exponent >= 0.7:
        torch.testing.assert_close(loss, torch.tensor([1 / exponent]))


def test_an_ignored_sample_may_hold_anything(generator: torch.Generator) -> None:
    """NaN among its logits reaches neither its own loss nor anybody's gradient."""
    logits, targets = inputs(generator)
    logits[3], targets[3] = torch.nan, -100
    logits.requires_grad_()
    loss = generalized_cross_entropy_loss(logits, targets)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert float(loss[3].detach()) == 0
    assert not bool(gradient[3].any())
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize(
    ("logits", "targets", "exponent", "message"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 3]), 0.7, "a target is 3 where logits have 3 classes"),
        (torch.zeros(2, 3), torch.tensor([-1, 0]), 0.7, "a target is -1"),
        (torch.zeros(2, 3), torch.tensor([0]), 0.7, "one class number per sample"),
        (torch.zeros(2, 3), torch.tensor([0.0, 1.0]), 0.7, "whole numbers"),
        (torch.zeros(2), torch.tensor([0, 1]), 0.7, "logits is"),
        (torch.zeros(2, 3), torch.tensor([0, 1]), 1.01, "exponent is 1.01; expected a number from 0 to 1"),
        (torch.zeros(2, 3), torch.tensor([0, 1]), -1e-9, "exponent is"),
        (torch.zeros(2, 3), torch.tensor([0, 1]), float("nan"), "exponent is"),
    ],
)
def test_what_does_not_fit(logits: Tensor, targets: Tensor, exponent: float, message: str) -> None:
    """One sentence says what came."""
    with pytest.raises(InputError, match=message):
        generalized_cross_entropy_loss(logits, targets, exponent=exponent)

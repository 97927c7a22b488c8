"""What is special to the losses for imbalanced classes: their weights, their ends, and counts that do not fit."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metricgrad.errors import InputError
from metricgrad.losses import balanced_softmax_loss, class_weighted_cross_entropy_loss, focal_loss

COUNTS = torch.tensor([60, 25, 10, 5])


def inputs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits [sample, class] and targets."""
    return (
        3 * torch.randn(40, 4, generator=generator, dtype=torch.float64),
        torch.arange(40) % 4,
    )


def test_equal_classes_change_nothing(generator: torch.Generator) -> None:
    """With equal counts, tau 0, beta 0 or gamma 0 each is cross-entropy."""
    logits, targets = inputs(generator)
    plain, equal = cross_entropy(logits, targets, reduction="none"), [7, 7, 7, 7]
    for found in (
        balanced_softmax_loss(logits, targets, class_counts=equal),
        balanced_softmax_loss(logits, targets, class_counts=COUNTS, tau=0),
        class_weighted_cross_entropy_loss(logits, targets, class_counts=equal),
        class_weighted_cross_entropy_loss(logits, targets, class_counts=COUNTS, beta=0),
        focal_loss(logits, targets, gamma=0),
        focal_loss(logits, targets, gamma=0, class_weights=torch.ones(4)),
    ):
        torch.testing.assert_close(found, plain)


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_balanced_softmax_adjusts_logits(tau: float, generator: torch.Generator) -> None:
    """It is the cross-entropy of logits + tau log(share); the scale of the counts does not matter."""
    logits, targets = inputs(generator)
    wanted = cross_entropy(logits + tau * torch.log(COUNTS / 100), targets, reduction="none")
    for counts in (COUNTS, 3 * COUNTS, COUNTS.tolist()):
        torch.testing.assert_close(
            balanced_softmax_loss(logits, targets, class_counts=counts, tau=tau), wanted
        )


def test_balanced_softmax_learns_the_balanced_probabilities() -> None:
    """For one input with P(class) = shares times likelihoods, the best logits are the likelihoods' logarithms."""
    likelihoods = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    seen = (COUNTS * likelihoods / (COUNTS * likelihoods).sum()).requires_grad_(False)
    logits = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=1e-12)

    def risk() -> Tensor:
        optimiser.zero_grad()
        every = balanced_softmax_loss(logits.expand(4, 4), torch.arange(4), class_counts=COUNTS)
        loss = (seen * every).sum()
        loss.backward()
        return loss

    optimiser.step(risk)
    torch.testing.assert_close(logits.detach().softmax(1)[0], likelihoods, rtol=1e-5, atol=0)


def test_a_class_that_was_never_counted_is_no_class(generator: torch.Generator) -> None:
    """It takes no part in the softmax and gets no gradient."""
    logits, targets = inputs(generator)
    logits.requires_grad_()
    targets = targets % 3
    loss = balanced_softmax_loss(logits, targets, class_counts=[60, 25, 10, 0])
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    without = balanced_softmax_loss(logits[:, :3], targets, class_counts=[60, 25, 10])
    torch.testing.assert_close(loss, without)
    assert not bool(gradient[:, 3].any())


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 1.0])
def test_weights_have_the_mean_1_over_what_was_counted(beta: float) -> None:
    """So that the learning rate means what it means for cross-entropy; a rarer class never weighs less."""
    logits, targets = torch.zeros(4, 4, dtype=torch.float64), torch.arange(4)
    found = class_weighted_cross_entropy_loss(logits, targets, class_counts=COUNTS, beta=beta)
    weights = found / torch.log(torch.tensor(4.0, dtype=torch.float64))
    torch.testing.assert_close((weights * COUNTS).sum() / 100, torch.ones((), dtype=torch.float64))
    assert bool((weights.diff() >= -1e-12).all())
    if beta == 1:
        torch.testing.assert_close(weights, 100 / (4 * COUNTS.double()))


def test_beta_goes_over_into_inverse_frequency(generator: torch.Generator) -> None:
    """Just below 1 it is nearly that, without a loss of digits."""
    logits, targets = inputs(generator)
    near, at = (
        class_weighted_cross_entropy_loss(logits, targets, class_counts=COUNTS, beta=beta)
        for beta in (1 - 1e-9, 1)
    )
    torch.testing.assert_close(near, at, rtol=1e-5, atol=0)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
def test_focal_is_its_formula(gamma: float, generator: torch.Generator) -> None:
    """(1 - p)^gamma times cross-entropy, times the weight of the class."""
    logits, targets = inputs(generator)
    plain = cross_entropy(logits, targets, reduction="none")
    weights = torch.tensor([1.0, 2.0, 0.0, 4.0], dtype=torch.float64)
    wanted = weights[targets] * (1 - torch.exp(-plain)) ** gamma * plain
    torch.testing.assert_close(focal_loss(logits, targets, gamma=gamma, class_weights=weights), wanted)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
def test_focal_of_a_sure_sample(gamma: float) -> None:
    """Probability 1 in any arithmetic: loss and gradient are 0, not NaN."""
    logits = torch.tensor([[1e4, 0.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0]), gamma=gamma)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert not bool(loss.any()) and not bool(gradient.any())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_counts": [1, 2, 3]}, r"one number per class \[4\]"),
        ({"class_counts": [1, 2, 3, -1]}, "finite numbers >= 0"),
        ({"class_counts": [1, 2, 3, float("nan")]}, "finite numbers >= 0"),
        ({"class_counts": [0, 0, 0, 0]}, "a class with a sample"),
        ({"class_counts": [1, 2, 3, 0]}, "a target is 3, of which class_counts has none"),
        ({"class_counts": COUNTS, "tau": -1}, "tau is -1"),
    ],
)
def test_what_does_not_fit(settings: dict[str, Any], message: str, generator: torch.Generator) -> None:
    """One sentence says what came."""
    with pytest.raises(InputError, match=message):
        balanced_softmax_loss(*inputs(generator), **settings)
    if "tau" not in settings:
        with pytest.raises(InputError, match=message):
            class_weighted_cross_entropy_loss(*inputs(generator), **settings)


def test_what_does_not_fit_of_the_others(generator: torch.Generator) -> None:
    """Their own settings are named, too."""
    logits, targets = inputs(generator)
    for beta in (-0.1, 1.1):
        with pytest.raises(InputError, match="beta is"):
            class_weighted_cross_entropy_loss(logits, targets, class_counts=COUNTS, beta=beta)
    with pytest.raises(InputError, match="gamma is"):
        focal_loss(logits, targets, gamma=-1)
    with pytest.raises(InputError, match="class_weights are"):
        focal_loss(logits, targets, class_weights=[1.0])


def test_a_class_is_not_ignored_because_its_number_is_that_of_a_byte() -> None:
    """In eight bits -100 is 156, which is a class as any other."""
    logits, targets = torch.zeros(2, 200), torch.tensor([156, 0])
    counts, weights = torch.ones(200), torch.ones(200)
    counts[156], weights[156] = 10, 3
    for loss in (
        class_weighted_cross_entropy_loss(logits, targets.to(torch.uint8), class_counts=counts),
        focal_loss(logits, targets.to(torch.uint8), class_weights=weights),
    ):
        assert loss[0] != loss[1]
    wanted = class_weighted_cross_entropy_loss(logits, targets, class_counts=counts)
    assert torch.equal(
        class_weighted_cross_entropy_loss(logits, targets.to(torch.uint8), class_counts=counts), wanted
    )


@pytest.mark.parametrize("counts", [None, ["a", "b", "c", "d"], {0: 1}, [[1], [1, 2]]])
def test_counts_that_are_no_numbers(counts: Any, generator: torch.Generator) -> None:
    """They are named like those that do not fit."""
    for loss in (balanced_softmax_loss, class_weighted_cross_entropy_loss):
        with pytest.raises(InputError, match=r"class_counts are .*one number per class \[4\]"):
            loss(*inputs(generator), class_counts=counts)

"""Losses for wrong labels: sums over labels, means under exchanged labels, the truncated form, both mixtures."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from metricgrad.errors import InputError
from metricgrad.losses import (
    active_passive_loss,
    generalized_cross_entropy_loss,
    mean_absolute_error_loss,
    symmetric_cross_entropy_loss,
)

Loss = Callable[[Tensor, Tensor], Tensor]
MIXED: dict[str, Loss] = {
    "reverse": lambda logits, targets: symmetric_cross_entropy_loss(logits, targets, alpha=0.0, beta=1.5),
    "active": lambda logits, targets: active_passive_loss(logits, targets, beta=0.0),
    "both": lambda logits, targets: active_passive_loss(logits, targets, alpha=2.0, beta=0.5),
    "with mae": lambda logits, targets: active_passive_loss(logits, targets, passive="mean_absolute_error"),
    "mae": mean_absolute_error_loss,
}
SUMS: dict[str, Callable[[int], float]] = {
    "reverse": lambda classes: 1.5 * 4 * (classes - 1),
    "active": lambda classes: 1.0,
    "both": lambda classes: 2.0 + 0.5 * 4 * (classes - 1),
    "with mae": lambda classes: 1.0 + 2 * (classes - 1),
    "mae": lambda classes: 2.0 * (classes - 1),
}


def drawn(generator: torch.Generator, classes: int = 5, rows: int = 40) -> tuple[Tensor, Tensor]:
    """Logits and targets."""
    logits = 3 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (rows,), generator=generator)


def of_all_labels(loss: Loss, logits: Tensor) -> Tensor:
    """Losses [label, sample]."""
    return torch.stack([loss(logits, torch.full((len(logits),), label)) for label in range(logits.shape[1])])


@pytest.mark.parametrize("name", list(MIXED))
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_sum_over_labels_is_a_constant(name: str, classes: int, generator: torch.Generator) -> None:
    """For every model, by enumeration: this is what makes a loss symmetric. Cross-entropy is not."""
    logits, _ = drawn(generator, classes)
    total = of_all_labels(MIXED[name], logits).sum(0)
    torch.testing.assert_close(total, torch.full_like(total, SUMS[name](classes)))
    plain = of_all_labels(lambda z, y: cross_entropy(z, y, reduction="none"), logits).sum(0)
    assert float(plain.max() - plain.min()) > 1


@pytest.mark.parametrize("name", list(MIXED))
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.6])
def test_uniformly_exchanged_labels_leave_the_minimum(
    name: str, rate: float, generator: torch.Generator
) -> None:
    """Mean under noise = (1 - r K / (K - 1)) mean + r S / (K - 1), S the sum over labels; by enumerating labels."""
    logits, targets = drawn(generator)
    classes, losses = logits.shape[1], of_all_labels(MIXED[name], logits)
    weights = torch.full_like(losses, rate / (classes - 1)).T.where(one_hot(targets, classes) == 0, 1 - rate)
    noisy = (losses.T * weights).sum(1)
    wanted = (1 - rate * classes / (classes - 1)) * MIXED[name](logits, targets)
    torch.testing.assert_close(noisy, wanted + rate * SUMS[name](classes) / (classes - 1))


@pytest.mark.parametrize("exponent", [0.0, 0.4, 0.7, 1.0])
@pytest.mark.parametrize("cutoff", [0.2, 0.5])
def test_truncated(exponent: float, cutoff: float, generator: torch.Generator) -> None:
    """The loss at the cutoff where p is not above it, without a gradient; elsewhere the plain loss, with its own."""
    logits, targets = drawn(generator)
    logits.requires_grad_()
    plain = generalized_cross_entropy_loss(logits, targets, exponent=exponent)
    cut = generalized_cross_entropy_loss(logits, targets, exponent=exponent, cutoff=cutoff)
    below = generalized_cross_entropy_loss(
        logits, targets, exponent=exponent, cutoff=cutoff, subtract_constant=True
    )
    constant = (1 - cutoff**exponent) / exponent if exponent else -math.log(cutoff)
    kept = logits.detach().softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1) > cutoff
    assert 0 < int(kept.sum()) < len(kept)
    torch.testing.assert_close(cut, torch.where(kept, plain, constant))
    torch.testing.assert_close(below, cut - constant)
    slopes = [torch.autograd.grad(loss.sum(), logits)[0] for loss in (plain, cut, below)]
    torch.testing.assert_close(slopes[1], slopes[0] * kept.unsqueeze(1))
    torch.testing.assert_close(slopes[2], slopes[1])


@pytest.mark.parametrize("classes", [2, 6])
def test_the_sum_of_truncated_losses_is_bounded(classes: int, generator: torch.Generator) -> None:
    """By the loss at the cutoff for all labels, and for all but the one whose probability is above 1/2."""
    logits, _ = drawn(generator, classes)
    total = of_all_labels(
        lambda z, y: generalized_cross_entropy_loss(z, y, exponent=0.7, cutoff=0.5), logits
    ).sum(0)
    constant = (1 - 0.5**0.7) / 0.7
    assert (classes - 1) * constant - 1e-12 <= float(total.min())
    assert float(total.max()) <= classes * constant + 1e-12


def test_a_tie_is_cut_and_an_ignored_sample_is_0() -> None:
    """A probability equal to the cutoff has no gradient, in float32, too; from an ignored sample nothing is taken."""
    for dtype in (torch.float32, torch.float64):
        logits = torch.zeros(2, 2, dtype=dtype, requires_grad=True)
        loss = generalized_cross_entropy_loss(
            logits, torch.tensor([0, -100]), cutoff=0.5, subtract_constant=True
        )
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert loss.tolist() == [0.0, 0.0] and not bool(gradient.any())


def test_what_they_are_neighbours_of(generator: torch.Generator) -> None:
    """Mean absolute error is twice GCE at 1, the reverse at A = -2; alpha alone is cross-entropy."""
    logits, targets = drawn(generator)
    wanted = mean_absolute_error_loss(logits, targets)
    by_hand = (logits.softmax(1) - one_hot(targets, 5)).abs().sum(1)
    torch.testing.assert_close(wanted, by_hand)
    torch.testing.assert_close(2 * generalized_cross_entropy_loss(logits, targets, exponent=1), wanted)
    reverse = symmetric_cross_entropy_loss(logits, targets, alpha=0, log_of_zero=-2)
    torch.testing.assert_close(reverse, wanted)
    plain = symmetric_cross_entropy_loss(logits, targets, alpha=0.3, beta=0)
    torch.testing.assert_close(plain, 0.3 * cross_entropy(logits, targets, reduction="none"))


def test_the_reverse_is_its_definition(generator: torch.Generator) -> None:
    """-sum_k p_k log q_k, by loops, with log 0 = -4 and log 1 = 0."""
    logits, targets = drawn(generator, rows=6)
    wanted = [
        -sum(p * (0.0 if label == target else -4.0) for label, p in enumerate(row))
        for row, target in zip(logits.softmax(1).tolist(), targets.tolist(), strict=True)
    ]
    found = symmetric_cross_entropy_loss(logits, targets, alpha=0)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


def test_the_published_code_clamps_the_label_trap() -> None:
    """Labels clamped at 1e-4 make A = log 1e-4 = -9.21, not -4: the same code here is another setting."""
    logits, targets = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([1])
    labels = one_hot(targets, 3).float().clamp(min=1e-4)
    clamped = -(logits.softmax(1) * labels.log()).sum(1)
    ours = symmetric_cross_entropy_loss(logits, targets, alpha=0)
    torch.testing.assert_close(
        symmetric_cross_entropy_loss(logits, targets, alpha=0, log_of_zero=math.log(1e-4)), clamped
    )
    assert float(clamped / ours) == pytest.approx(math.log(1e-4) / -4)


def test_the_normalised_part_is_its_definition(generator: torch.Generator) -> None:
    """Cross-entropy over the sum of those of all labels; 1/K without knowledge, 0 where the model is right and sure."""
    logits, targets = drawn(generator)
    losses = of_all_labels(lambda z, y: cross_entropy(z, y, reduction="none"), logits)
    wanted = losses.gather(0, targets.unsqueeze(0)).squeeze(0) / losses.sum(0)
    torch.testing.assert_close(active_passive_loss(logits, targets, beta=0), wanted)
    flat = active_passive_loss(torch.zeros(1, 4), torch.tensor([2]), beta=0)
    torch.testing.assert_close(flat, torch.tensor([0.25]))


@pytest.mark.parametrize(
    ("logits", "wanted"),
    [
        ([[1e4, 0.0, 0.0]], 0.0),
        ([[0.0, 1e30, 0.0]], 0.5),
        ([[-torch.inf, 0.0, 0.0]], 1.0),
        ([[0.0, -torch.inf, -torch.inf]], 0.0),
        ([[3.0]], 0.0),
    ],
)
def test_the_normalised_part_at_its_ends(logits: list[list[float]], wanted: float) -> None:
    """Sure, surely wrong, the target's class removed, all other classes removed, one class: numbers, and slopes."""
    leaf = torch.tensor(logits, requires_grad=True)
    loss = active_passive_loss(leaf, torch.tensor([0]), beta=0)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    torch.testing.assert_close(loss.detach(), torch.tensor([wanted]))
    assert bool(gradient.isfinite().all())


def test_an_ignored_sample_may_hold_anything(generator: torch.Generator) -> None:
    """NaN among its logits reaches nobody; NaN elsewhere stays."""
    logits, targets = drawn(generator)
    logits[3], targets[3], logits[4] = torch.nan, -100, torch.nan
    for loss in MIXED.values():
        leaf = logits.clone().requires_grad_()
        found = loss(leaf, targets)
        (gradient,) = torch.autograd.grad(found[torch.arange(40) != 4].sum(), leaf)
        assert float(found[3].detach()) == 0 and bool(found[4].isnan())
        assert bool(gradient[torch.arange(40) != 4].isfinite().all()) and not bool(gradient[3].any())


def test_refuses() -> None:
    """Weights below 0, A not below 0, cutoffs that are none."""
    logits, targets = torch.zeros(2, 3), torch.tensor([0, 1])
    for loss, name in itertools.product(
        (symmetric_cross_entropy_loss, active_passive_loss), ("alpha", "beta")
    ):
        with pytest.raises(InputError, match=f"{name} is -1"):
            loss(logits, targets, **{name: -1})  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="log_of_zero is 0"):
        symmetric_cross_entropy_loss(logits, targets, log_of_zero=0)
    with pytest.raises(InputError, match="passive is 'focal'"):
        active_passive_loss(logits, targets, passive="focal")  # pyright: ignore[reportArgumentType]
    for cutoff in (0, 1, -0.5, float("nan")):
        with pytest.raises(InputError, match="cutoff is"):
            generalized_cross_entropy_loss(logits, targets, cutoff=cutoff)
    with pytest.raises(InputError, match="without a cutoff"):
        generalized_cross_entropy_loss(logits, targets, subtract_constant=True)

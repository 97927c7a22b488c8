"""Mixup: what a mixture holds, what its loss is, batches that do not fit."""

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from metricgrad.errors import InputError
from metricgrad.losses import generalized_cross_entropy_loss
from metricgrad.pairing import mixed_loss, mixup_batch


def test_a_mixture_holds_its_parts_in_their_shares(generator: torch.Generator) -> None:
    """Inputs and labels are mixed alike."""
    labels = torch.randint(0, 4, (12,), generator=generator)
    mixed = mixup_batch(one_hot(labels).double(), labels, alpha=1.0, generator=generator)
    wanted = mixed.mix * one_hot(mixed.targets, 4) + (1 - mixed.mix) * one_hot(mixed.targets_other, 4)
    torch.testing.assert_close(mixed.inputs, wanted.double())


def test_shares_follow_the_beta_distribution(generator: torch.Generator) -> None:
    """Mean 1/2 and variance 1 / (4 (2 alpha + 1)), also where most shares are near 0 or 1; one seed, one share."""
    one = torch.zeros(1, 1), torch.zeros(1, dtype=torch.long)
    for alpha in (0.02, 0.2, 2.0):
        drawn = [mixup_batch(*one, alpha=alpha, generator=generator).mix for _ in range(4000)]
        shares = torch.tensor(drawn, dtype=torch.float64)
        assert abs(float(shares.mean()) - 0.5) < 0.04
        torch.testing.assert_close(float(shares.var()), 1 / (4 * (2 * alpha + 1)), rtol=0.06, atol=0)
    again = [mixup_batch(*one, generator=torch.Generator().manual_seed(3)).mix for _ in range(2)]
    assert again[0] == again[1]


def test_it_is_cross_entropy_with_the_mixed_label(generator: torch.Generator) -> None:
    """As cross-entropy is linear in the label; with mix 1 it is that of the first labels."""
    logits = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    first, other = torch.randint(0, 4, (2, 8), generator=generator)
    soft = 0.3 * one_hot(first, 4) + 0.7 * one_hot(other, 4)
    torch.testing.assert_close(
        mixed_loss(cross_entropy, logits, first, other, mix=0.3), cross_entropy(logits, soft.double())
    )
    assert mixed_loss(cross_entropy, logits, first, other, mix=1) == cross_entropy(logits, first)


def test_a_label_to_ignore_drops_its_own_term(generator: torch.Generator) -> None:
    """The other label of the mixture stays, and neither is counted as a loss of 0."""
    logits = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    first, other = torch.tensor([0, -100, 1]), torch.tensor([-100, 2, 3])
    for loss in (cross_entropy, lambda *given: generalized_cross_entropy_loss(*given, exponent=0)):
        found = mixed_loss(loss, logits, first, other, mix=0.25)
        kept = [torch.tensor([0, 2]), torch.tensor([1, 2])]
        wanted = [
            cross_entropy(logits[rows], labels[rows])
            for rows, labels in zip(kept, (first, other), strict=True)
        ]
        torch.testing.assert_close(found, 0.25 * wanted[0] + 0.75 * wanted[1])


def test_a_term_without_share_cannot_spoil_the_value(generator: torch.Generator) -> None:
    """0 times infinity would be NaN."""
    logits = torch.tensor([[0.0, -torch.inf]])
    assert mixed_loss(cross_entropy, logits, torch.tensor([0]), torch.tensor([1]), mix=1.0) == 0


def test_small_batches_and_no_mixing() -> None:
    """One sample is mixed with itself; alpha 0 leaves the batch as it is; no sample is no fault."""
    inputs, targets = torch.arange(3.0)[:, None], torch.arange(3)
    assert mixup_batch(inputs[1:2], targets[1:2], alpha=1.0).inputs.tolist() == [[1.0]]
    plain = mixup_batch(inputs, targets, alpha=0)
    assert plain.mix == 1 and plain.inputs is inputs
    assert len(mixup_batch(inputs[:0], targets[:0]).inputs) == 0


def test_what_does_not_fit_is_refused() -> None:
    """Whole numbers cannot be mixed; labels must be as many as inputs; a share lies between 0 and 1."""
    with pytest.raises(InputError, match="floating point"):
        mixup_batch(torch.zeros(2, 2, dtype=torch.long), torch.zeros(2))
    with pytest.raises(InputError, match="labels of every sample"):
        mixup_batch(torch.zeros(2, 2), torch.zeros(3))
    with pytest.raises(InputError, match="mix is"):
        mixed_loss(cross_entropy, torch.zeros(1, 2), torch.tensor([0]), torch.tensor([1]), mix=1.5)

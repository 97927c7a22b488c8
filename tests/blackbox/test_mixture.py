"""Mixtures of losses: which one trains on, which one weighs classes alike, and what the elite mean may not see."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metricgrad.blackbox import (
    continuing_weights,
    default_clip,
    default_radius,
    elite_mean,
    first_candidates,
    mixture_weights,
)
from metricgrad.errors import InputError

COUNTS = torch.tensor([70, 20, 10])
NAN = float("nan")


def _term_losses(biases: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of every item of three classes under output biases, and the mean of each class."""
    labels = torch.arange(3).repeat_interleave(COUNTS)
    scores = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    items = torch.nn.functional.cross_entropy(scores + biases, labels, reduction="none")
    return items, torch.stack([items[labels == k].mean() for k in range(3)])


@pytest.mark.parametrize(
    ("name", "item_weights"),
    [("continuing", [1.0, 1.0, 1.0]), ("inverse_frequency", [1 / 70, 1 / 20, 1 / 10])],
)
def test_the_first_mixtures_are_what_they_are_called(name: str, item_weights: list[float]):
    """The gradient of the mixture points where that of the plainly weighted loss does."""
    biases = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    items, terms = _term_losses(biases)
    start = terms.detach()
    plain = (items * torch.tensor(item_weights).double().repeat_interleave(COUNTS)).sum()
    mixed = (mixture_weights(first_candidates(COUNTS, start)[name]) * terms / start).sum()
    one, other = (torch.autograd.grad(loss, biases, retain_graph=True)[0] for loss in (plain, mixed))
    torch.testing.assert_close(one / one.norm(), other / other.norm())


def test_equal_weights_do_not_train_on():
    """The trap: a = 0 is another loss wherever classes differ in size."""
    assert not torch.allclose(  # noqa: TID251
        mixture_weights(continuing_weights(COUNTS, [1.0, 1.0, 1.0])), torch.ones(3).double(), atol=0.1
    )


@settings(max_examples=30)
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=6), st.floats(-1, 1))
def test_weights(values: list[float], shift: float):
    """Positive, mean 1, no further apart than the clip lets them; a common shift changes nothing within it."""
    a = torch.tensor(values, dtype=torch.float64)
    weights = mixture_weights(a)
    assert bool((weights > 0).all())
    assert weights.mean().item() == pytest.approx(1)
    assert (weights.max() / weights.min()).log().item() <= 6 + 1e-9
    if (a.abs().max() + abs(shift)).item() <= 3:
        torch.testing.assert_close(mixture_weights(a + shift), weights)


def test_candidates_come_in_order_and_within_the_clip():
    """Continuing, inverse frequency, each term alone; with one term there is nothing to search."""
    found = first_candidates([1e6, 1], [1.0, 2.0], clip=2)
    assert list(found) == ["continuing", "inverse_frequency", "alone:0", "alone:1"]
    assert all(bool((one.abs() <= 2).all()) for one in found.values())
    assert found["alone:1"].tolist() == [-2, 2]
    assert list(first_candidates([5], [1.0])) == ["continuing"]


def test_the_default_clip_holds_plain_training():
    """Very unequal terms: within 3 it would be another mixture, within the default it is n_k L_k, exactly."""
    counts, losses = torch.tensor([1e5, 10.0, 10.0]).double(), torch.tensor([0.5, 1.0, 2.0]).double()
    clip = default_clip(counts, losses)
    assert clip > 3 == default_clip(COUNTS, [1.0, 1.0, 1.0])
    expected = 3 * counts * losses / (counts * losses).sum()
    torch.testing.assert_close(mixture_weights(continuing_weights(counts, losses), clip), expected)
    assert mixture_weights(continuing_weights(counts, losses))[0] < 0.999 * expected[0]


@settings(max_examples=30)
@given(st.permutations(range(8)))
def test_the_elite_mean_sees_only_the_order(order: list[int]):
    """An order-keeping change of the values, failed candidates and the direction change nothing."""
    points = torch.randn(8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = torch.tensor(order, dtype=torch.float64)
    found = elite_mean(points, values)
    torch.testing.assert_close(elite_mean(points, (values / 3).exp() - 7), found)
    torch.testing.assert_close(elite_mean(points, -values, maximize=False), found)
    failed = torch.cat([values, torch.tensor([NAN, torch.inf]).double()])
    torch.testing.assert_close(elite_mean(torch.cat([points, points[:2] + 9]), failed), found)


def test_ties_go_to_the_earlier():
    """A constant metric gives the first quarter of the candidates."""
    points = torch.eye(4, dtype=torch.float64)
    assert elite_mean(points, torch.ones(4).double()).tolist() == [1, 0, 0, 0]
    assert elite_mean(points, torch.ones(4).double(), maximize=False).tolist() == [1, 0, 0, 0]


def test_share_counts_without_rounding_up():
    """Three tenths of ten are three, whatever 0.3 * 10 is in binary."""
    points, values = torch.eye(10, dtype=torch.float64), -torch.arange(10.0, dtype=torch.float64)
    assert int((elite_mean(points, values, 0.3) > 0).sum()) == 3


def test_radius_lets_biases_undo_the_shares():
    """The biases that make classes equally likely lie in the region; so does the one bias of two classes."""
    assert default_radius([0.94, 0.06]) == pytest.approx(2.7515, abs=1e-4)
    shares = torch.tensor([0.5, 0.2, 0.2, 0.05, 0.03, 0.02])
    logs = shares.log()
    assert default_radius(shares) >= (logs - logs.mean()).norm().item() - 1e-6
    assert default_radius([5, 5, 0]) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: mixture_weights(torch.tensor([NAN, 0.0])),
        lambda: mixture_weights(torch.zeros(2), clip=0),
        lambda: continuing_weights([1, 0], [1.0, 1.0]),
        lambda: continuing_weights([1, 2], [1.0, NAN]),
        lambda: continuing_weights([], []),
        lambda: first_candidates([1, 2], [1.0, 1.0], names=["x", "x"]),
        lambda: elite_mean(torch.zeros(2, 1), torch.tensor([NAN, NAN])),
        lambda: elite_mean(torch.zeros(2, 1), torch.zeros(3)),
        lambda: elite_mean(torch.zeros(2, 1), torch.zeros(2), 0),
        lambda: default_radius([0, 0]),
        lambda: default_radius([-1, 2]),
    ],
)
def test_refused(call):
    """Each with a message that names the function."""
    with pytest.raises(InputError, match="expected"):
        call()

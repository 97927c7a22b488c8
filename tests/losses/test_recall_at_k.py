"""What is special to the recall loss: the cap, the cut-offs, and what moving one item does."""

import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.losses import recall_at_k_loss
from metricgrad.relax import PositiveRanks, positive_ranks_from_scores


def ranks_of(values: list[list[float]], competitors: int = 20) -> PositiveRanks:
    """Ranks as given, all valid."""
    among_all = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    among_positives = torch.arange(1.0, among_all.shape[1] + 1).double().expand_as(among_all)
    count = torch.full((len(values),), competitors)
    return PositiveRanks(among_all, among_positives, torch.ones_like(among_all, dtype=torch.bool), count)


@pytest.mark.parametrize(("ranks", "floor"), [([1.0, 2.0, 3.0], 0.1021), ([2.0, 3.0, 4.0], 0.2851)])
def test_floor_of_a_perfect_ranking(ranks, floor):
    """Four per class, default k: the floor without the query among the items, and with it."""
    assert round(recall_at_k_loss(ranks_of([ranks])).item(), 4) == floor


def test_gradient_at_the_cap_is_shared():
    """Two positives exactly at rank k give a soft count of exactly 1: half of the gradient passes at the cap."""
    slopes = {}
    for cap in (True, False):
        ranks = ranks_of([[1.0, 1.0]])
        recall_at_k_loss(ranks, k=1, cap=cap).sum().backward()
        slopes[cap] = ranks.among_all.grad
    torch.testing.assert_close(slopes[True], slopes[False] / 2)
    torch.testing.assert_close(slopes[False], torch.full((1, 2), 0.25).double())


def test_no_gradient_above_the_cap():
    """Twelve tied positives and k = 8: the loss is 0 and flat with the cap, negative without."""
    capped, free = (recall_at_k_loss(ranks_of([[6.5] * 12]), k=8, cap=cap) for cap in (True, False))
    assert capped.item() == 0
    torch.testing.assert_close(free.item(), -0.22636171429046495)
    ranks = ranks_of([[6.5] * 12])
    recall_at_k_loss(ranks, k=8).sum().backward()
    assert ranks.among_all.grad is not None and not bool(ranks.among_all.grad.any())


def test_one_temperature_for_each_k():
    """The mean over k of single losses, each with its own temperature."""
    ranks = ranks_of([[1.5, 3.0, 7.0]])
    together = recall_at_k_loss(ranks, k=(1, 4), cutoff_temperature=(0.5, 2.0))
    apart = [recall_at_k_loss(ranks, k=k, cutoff_temperature=t) for k, t in ((1, 0.5), (4, 2.0))]
    torch.testing.assert_close(together, torch.stack(apart).mean(0))


def test_clamped_k():
    """A k beyond the number of items is that number with `clamp_k`, and stays as it is without."""
    ranks = ranks_of([[1.0, 2.0]], competitors=3)
    torch.testing.assert_close(recall_at_k_loss(ranks, k=64, clamp_k=True), recall_at_k_loss(ranks, k=3))
    assert recall_at_k_loss(ranks, k=64).item() < recall_at_k_loss(ranks, k=3).item()


@pytest.mark.parametrize("seed", range(4))
def test_moving_items(seed):
    """Raising a negative never lowers the loss; raising all positives alike never raises it."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(1, 10, generator=generator, dtype=torch.float64)
    relevance = torch.tensor([[True] * 3 + [False] * 7])

    def loss(values: Tensor) -> float:
        return recall_at_k_loss(positive_ranks_from_scores(values, relevance, temperature=0.2)).item()

    before = loss(scores)
    for by in torch.rand(5, generator=generator, dtype=torch.float64).tolist():
        raised = scores.clone()
        raised[0, 5] += by
        assert loss(raised) >= before - 1e-12
        assert loss(scores + by * relevance) <= before + 1e-12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": ()}, "k is"),
        ({"k": (1, 2.5)}, "k is"),
        ({"cutoff_temperature": 0}, "cutoff_temperature is 0"),
        ({"k": (1, 2), "cutoff_temperature": (1.0, 1.0, 1.0)}, "has 3 values and k has 2"),
        ({"normalizer": "k"}, "normalizer is 'k'"),
    ],
)
def test_refuses(change, message):
    """Settings that make no sense are refused by name."""
    with pytest.raises(InputError, match=message):
        recall_at_k_loss(ranks_of([[1.0]]), **change)

"""Gates that close, greedy removal and swarms: counts, budgets, and nothing that was found is lost."""

import math

import pytest
import torch
from torch import Tensor

from metricgrad.adapters import (
    HardConcreteGate,
    hard_concrete_gate,
    prune_by_swarms,
    prune_greedily,
    zero_norm,
)
from metricgrad.errors import InputError

GAINS = torch.tensor([0.5, 0.0, 0.3, -0.2, 0.01])


def value(mask: Tensor) -> float:
    """A metric that is a sum over open groups."""
    return float(GAINS @ mask.float())


def weighted(weights: Tensor, mask: Tensor) -> float:
    """A metric with its best weights at 0.7."""
    return float((mask * (GAINS - (weights - 0.7).square())).sum())


def test_zero_norm_counts() -> None:
    """What is not a number is not small; a negative tolerance is refused."""
    assert zero_norm(torch.tensor([[0.0, -1e-12], [torch.nan, torch.inf]])) == 3
    with pytest.raises(InputError, match="tolerance"):
        zero_norm(GAINS, -1)


def test_gates_are_drawn_as_often_open_as_they_say() -> None:
    """The share of gates above 0, within four standard errors; in 0 to 1, ends included."""
    log_alpha = torch.tensor([-2.0, 0.0, 1.0]).repeat_interleave(20000)
    found = hard_concrete_gate(log_alpha, torch.rand(60000, generator=torch.Generator().manual_seed(0)))
    shares = (found.gate > 0).float().view(3, -1).mean(1)
    expected = found.open.view(3, -1)[:, 0]
    assert ((shares - expected).abs() < 4 * (expected * (1 - expected) / 20000).sqrt()).all()
    assert (found.gate == 0).any() and (found.gate == 1).any()
    assert found.gate.min() >= 0 and found.gate.max() <= 1


def test_ends_of_uniforms_are_finite_and_gradients_exact() -> None:
    """U of 0 and 1 are held inside; float64 gradients are those of differences."""
    ends = hard_concrete_gate(torch.zeros(2), torch.tensor([0.0, 1.0])).gate
    assert ends.tolist() == [0.0, 1.0]
    log_alpha = torch.tensor([-0.4, 0.1, 0.6], dtype=torch.float64).requires_grad_()
    u = torch.tensor([0.4, 0.5, 0.6], dtype=torch.float64)
    for place in range(3):
        assert torch.autograd.gradcheck(lambda x, place=place: hard_concrete_gate(x, u)[place], log_alpha)
    assert hard_concrete_gate(torch.zeros(0), torch.zeros(0)).gate.shape == (0,)
    with pytest.raises(InputError, match="low < 0"):
        hard_concrete_gate(torch.zeros(1), torch.zeros(1), low=0)


def test_gates_learn_which_groups_are_needed() -> None:
    """Groups that a sum does not need close; the others stay."""
    torch.manual_seed(0)
    gate, needed = HardConcreteGate(6), torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
    optimiser = torch.optim.Adam(gate.parameters(), lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        (((gate() - 1) * needed).square().sum() + 0.1 * gate.expected()).backward()
        optimiser.step()
    gate.eval()
    assert (gate() > 0).tolist() == needed.bool().tolist()
    assert torch.equal(gate(), gate())


@pytest.mark.parametrize(("allowed", "left"), [(0.0, [0, 2]), (0.35, [0]), (0.9, [])])
def test_greedy_removes_what_costs_least(allowed, left) -> None:
    """What hurts goes first, then what matters least, down to what all groups have less the allowed drop."""
    found = prune_greedily(value, 5, allowed=allowed)
    assert found.mask.nonzero().flatten().tolist() == left
    assert found.value == pytest.approx(value(found.mask))
    assert found.best[0] == pytest.approx(value(torch.ones(5)))


def test_greedy_keeps_its_budget_and_is_never_below_the_empty_network() -> None:
    """The number of calls is the bound at most; where closed is best, closed is returned."""
    calls: list[Tensor] = []

    def bad(mask: Tensor) -> float:
        calls.append(mask)
        return 1.0 if not mask.any() else -(float(mask.sum()) ** 2)

    found = prune_greedily(bad, 6)
    assert not found.mask.any() and found.value == 1.0
    assert found.calls == len(calls) <= 2 + 6 * 7 // 2
    assert not calls[0].any()
    assert prune_greedily(bad, 0).calls == 1


def test_nan_is_the_worst_value() -> None:
    """It is chosen nowhere; where nothing else came it is said."""
    found = prune_greedily(lambda mask: math.nan if mask[0] else value(mask), 5)
    assert not found.mask[0]
    assert math.isnan(prune_greedily(lambda mask: math.nan, 2).value)
    assert prune_by_swarms(lambda w, mask: math.nan if mask.any() else 0.5, GAINS, penalty=0.0).value == 0.5


@pytest.mark.parametrize("calls", [2, 3, 41, 200])
def test_swarms_keep_their_budget_and_lose_nothing(calls) -> None:
    """Never more calls; the best objective never falls; the returned pair has the value that is said."""
    asked: list[tuple[Tensor, Tensor]] = []

    def counted(weights: Tensor, mask: Tensor) -> float:
        asked.append((weights, mask))
        return weighted(weights, mask)

    found = prune_by_swarms(counted, torch.ones(5), penalty=0.05, calls=calls)
    assert len(asked) == found.calls == calls
    assert found.best == sorted(found.best)
    assert found.weights is not None
    assert found.value == pytest.approx(weighted(found.weights, found.mask))
    assert found.best[-1] == pytest.approx(found.value - 0.05 * int(found.mask.sum()), abs=1e-6)
    assert not asked[0][1].any() and asked[1][1].all()
    torch.testing.assert_close(asked[1][0], torch.ones(5))
    assert found.best[-1] >= max(0.0, weighted(torch.ones(5), torch.ones(5)) - 0.25)


def test_the_same_seed_finds_the_same() -> None:
    """Another one looks elsewhere; the global generator is not used."""
    before = torch.get_rng_state()
    first, again, other = (
        prune_by_swarms(weighted, torch.ones(5), penalty=0.05, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert first.best == again.best != other.best


def test_swarms_find_weights_and_masks() -> None:
    """Near the best of a small problem: groups 0 and 2, weights near 0.7."""
    found = prune_by_swarms(weighted, torch.ones(5), penalty=0.05, calls=2000)
    assert found.mask.tolist() == [True, False, True, False, False]
    assert found.value > 0.75


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"calls": 1}, "calls is 1"), ({"penalty": -1.0}, "penalty"), ({"particles": 0}, "particles")],
)
def test_settings_that_do_not_fit(settings, message) -> None:
    """Refused before the metric is called."""
    with pytest.raises(InputError, match=message):
        prune_by_swarms(weighted, torch.ones(5), **{"penalty": 0.0, **settings})

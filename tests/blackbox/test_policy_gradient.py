"""Policy gradients: unbiased where they say so, by enumeration; minimum risk exact; credit by leaving out."""

import pytest
import torch

from metricgrad.blackbox import (
    kl_to_start,
    minimum_risk_loss,
    policy_advantages,
    policy_gradient_loss,
    set_credit,
)
from metricgrad.errors import InputError

LOGITS = torch.tensor([0.3, -0.8, 1.1], dtype=torch.float64)
REWARDS = torch.tensor([0.2, 0.9, 0.5], dtype=torch.float64)
NAN = float("nan")


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize(
    ("baseline", "share"), [("none", 1), ("leave_one_out", 1), ("greedy", 1), ("group_mean", None)]
)
def test_mean_over_all_draws(baseline, share, samples: int):
    """The mean of the estimate is the exact gradient, or (n - 1) / n of it with the mean of the group."""
    logits = LOGITS.clone().requires_grad_()
    exact = torch.autograd.grad((logits.softmax(0) * REWARDS).sum(), logits)[0]
    mean = torch.zeros(3, dtype=torch.float64)
    greedy = REWARDS[LOGITS.argmax()] if baseline == "greedy" else None
    for draw in torch.cartesian_prod(*[torch.arange(3)] * samples):
        advantages = policy_advantages(REWARDS[draw], baseline, greedy=greedy)
        loss = policy_gradient_loss(logits.log_softmax(0)[draw], advantages)
        mean -= LOGITS.softmax(0)[draw].prod() * torch.autograd.grad(loss, logits)[0]
    torch.testing.assert_close(mean, exact * (share or (samples - 1) / samples))


def test_queries_are_by_themselves():
    """A batch of queries has the advantages of each query alone."""
    rewards = torch.rand(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for baseline in ("leave_one_out", "group_mean", "group_normalized"):
        each = torch.stack([policy_advantages(one, baseline) for one in rewards])
        torch.testing.assert_close(policy_advantages(rewards, baseline), each)


def test_equal_rewards_teach_nothing():
    """Zero with every baseline but none."""
    for baseline in ("leave_one_out", "group_mean", "group_normalized"):
        found = policy_advantages(torch.full((4,), 0.4).double(), baseline)
        torch.testing.assert_close(found, torch.zeros(4).double())


@pytest.mark.parametrize("baseline", ["leave_one_out", "group_mean", "group_normalized"])
def test_a_failed_reward_does_not_touch_the_others(baseline):
    """Their advantages are those without it; one that is left alone has no other to be compared with."""
    rewards = torch.tensor([[0.2, NAN, 0.9, 0.4], [NAN, NAN, 0.5, NAN]]).double()
    found = policy_advantages(rewards, baseline)
    kept = torch.tensor([0, 2, 3])
    torch.testing.assert_close(found[0, kept], policy_advantages(rewards[0, kept], baseline))
    assert found[0].isnan().tolist() == [False, True, False, False]
    assert found[1].isnan().tolist() == [True, True, baseline == "leave_one_out", True]


def test_failed_rewards_are_left_out():
    """NaN is no reward: the mean is over the others; none at all is 0 and said."""
    logs = LOGITS.log_softmax(0).clone().requires_grad_()
    advantages = torch.tensor([0.5, NAN, -0.5]).double()
    kept = torch.tensor([0, 2])
    torch.testing.assert_close(
        policy_gradient_loss(logs, advantages), policy_gradient_loss(logs[kept], advantages[kept])
    )
    with pytest.warns(UserWarning, match="no sample has a reward"):
        loss = policy_gradient_loss(logs, torch.full((3,), NAN).double())
    loss.backward()
    assert loss.item() == 0
    assert logs.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("alpha", [0.1, 1.0, 3.0])
def test_minimum_risk_has_its_exact_gradient(alpha: float):
    """Against differences, and against alpha q (cost - loss)."""
    logs = torch.randn(
        2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True
    )
    costs = torch.rand(2, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda one: minimum_risk_loss(one, costs, alpha=alpha), logs)
    loss = minimum_risk_loss(logs, costs, alpha=alpha)
    q = (alpha * logs).softmax(-1)
    (found,) = torch.autograd.grad(loss.sum(), logs)
    torch.testing.assert_close(found, (alpha * q * (costs - loss[:, None])).detach())
    torch.testing.assert_close(minimum_risk_loss(logs + 7, costs, alpha=alpha), loss)


def test_an_impossible_candidate_counts_for_nothing():
    """A log probability of -inf leaves loss and gradient finite."""
    logs = torch.tensor([[0.0, -torch.inf, 0.0]]).double().requires_grad_()
    loss = minimum_risk_loss(logs, torch.tensor([[0.0, 9.0, 1.0]]).double())
    loss.sum().backward()
    assert loss.tolist() == [0.5]
    assert logs.grad.tolist() == [[-0.25, 0, 0.25]]


def test_credit_of_a_sum_is_the_part():
    """Of a metric that is a sum, each credit is what the example changes; equal outputs cost no call."""
    calls = []

    def total(outputs) -> float:
        calls.append(1)
        return float(sum(outputs))

    assert set_credit(total, [3.0, 1.0, 2.0], [1.0, 1.0, 5.0]).tolist() == [2, 0, -3]
    assert len(calls) == 3
    assert set_credit(total, torch.tensor([3.0, 1.0]), torch.tensor([3.0, 1.0])).tolist() == [0, 0]
    assert len(calls) == 3


def test_credit_of_texts():
    """Outputs may be anything in a list."""
    assert set_credit(lambda words: len("".join(words)), ["ab", "c"], ["a", "cd"]).tolist() == [1, -1]


def test_kl_is_that_of_torch():
    """And is 0 for the start itself; choices of probability 0 add nothing."""
    one, other = LOGITS.log_softmax(0), (2 * LOGITS).log_softmax(0)
    expected = torch.distributions.kl_divergence(
        *map(torch.distributions.Categorical, (one.exp(), other.exp()))
    )
    torch.testing.assert_close(kl_to_start(one, other), expected)
    assert kl_to_start(one, one).item() == 0
    hard = torch.tensor([0.0, -torch.inf]).double().requires_grad_()
    found = kl_to_start(hard, torch.tensor([0.5, 0.5]).double().log())
    found.backward()
    assert found.item() == pytest.approx(0.6931, abs=1e-4)
    assert bool(hard.grad.isfinite().all())


@pytest.mark.parametrize(
    "call",
    [
        lambda: policy_advantages(torch.zeros(1)),
        lambda: policy_advantages(torch.zeros(2), "greedy"),
        lambda: policy_advantages(torch.zeros(2), "none", greedy=torch.tensor(0.0)),
        lambda: policy_advantages(torch.zeros(2), "mean"),
        lambda: policy_gradient_loss(torch.zeros(2), torch.zeros(3)),
        lambda: minimum_risk_loss(torch.zeros(1, 2), torch.tensor([[NAN, 0.0]])),
        lambda: minimum_risk_loss(torch.zeros(1, 0), torch.zeros(1, 0)),
        lambda: minimum_risk_loss(torch.zeros(1, 2), torch.zeros(1, 2), alpha=0),
        lambda: set_credit(len, [1], [1, 2]),
    ],
)
def test_refused(call):
    """Each with a message."""
    with pytest.raises(InputError, match="expected"):
        call()

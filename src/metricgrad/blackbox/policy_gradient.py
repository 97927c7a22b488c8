"""Rewards of sampled outputs as a gradient: advantages over a baseline, minimum risk, credit in a set."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, describe, fail, positive_number

__all__ = [
    "Baseline",
    "kl_to_start",
    "minimum_risk_loss",
    "policy_advantages",
    "policy_gradient_loss",
    "set_credit",
]

Baseline = Literal["leave_one_out", "none", "greedy", "group_mean", "group_normalized"]
"""What is subtracted from a reward."""

_LEAST_DEVIATION = 1e-8


def policy_advantages(
    rewards: Float[Tensor, "*query sample"],
    baseline: Baseline = "leave_one_out",
    *,
    greedy: Float[Tensor, "*query"] | None = None,
) -> Float[Tensor, "*query sample"]:
    """Return how much better each sample is than what was to be expected of it (exact).

    `leave_one_out`: R_i minus the mean of the other samples. `none`: R_i. `greedy`: R_i minus the reward of the greedy
    output (self-critical). `group_mean`: R_i minus the mean of all. `group_normalized`: that, divided by the population
    deviation.

    Args:
        rewards: of the samples of one policy, on the last axis.
        baseline: the first three keep the gradient unbiased; `group_mean` shrinks it to (n - 1) / n of it, and
            `group_normalized` is biased.
        greedy: reward of the greedy output per query; needed by `greedy` and by no other.

    Returns:
        Advantages without gradient: a reward is a number.

    Raises:
        InputError: an unknown baseline; one sample with `leave_one_out`; `greedy` without its rewards.

    Edge cases:
        Equal rewards give 0 wherever something is subtracted; with `group_normalized` a deviation below 1e-8 counts as
        equal. A reward that failed (NaN, infinite) is in no mean and has the advantage NaN, which
        `policy_gradient_loss` leaves out; so has the only reward of a query with `leave_one_out`.

    Cost:
        O(sample).

    Reference:
        [williams1992reinforce]; [kool2019samples] for leave-one-out; [rennie2017selfcritical] for greedy.

    Example:
        >>> policy_advantages(torch.tensor([1.0, 0.0, 0.5]))
        tensor([ 0.7500, -0.7500,  0.0000])
    """
    rewards, count = rewards.detach(), rewards.shape[-1]
    if (greedy is not None) != (baseline == "greedy"):
        raise fail(
            "policy_advantages",
            f"baseline is {baseline!r} and greedy is {describe(greedy)}",
            "greedy rewards with the baseline 'greedy' and with no other",
        )
    if baseline == "none":
        return rewards
    if greedy is not None:
        return rewards - greedy.detach()[..., None]
    if baseline not in ("leave_one_out", "group_mean", "group_normalized"):
        known = "'leave_one_out', 'none', 'greedy', 'group_mean' or 'group_normalized'"
        raise fail("policy_advantages", f"baseline is {baseline!r}", known)
    if baseline == "leave_one_out" and count < 2:
        raise fail(
            "policy_advantages", f"{count} sample per query", "at least 2 to leave one out", "Draw more."
        )
    usable = rewards.isfinite()
    known_rewards, number = torch.where(usable, rewards, 0.0), usable.sum(-1, keepdim=True)
    total = known_rewards.sum(-1, keepdim=True)
    if baseline == "leave_one_out":
        others = (total - known_rewards) / (number - 1).clamp(min=1)
        return torch.where(usable & (number > 1), rewards - others, torch.nan)
    centred = torch.where(usable, rewards - total / number.clamp(min=1), torch.nan)
    if baseline == "group_mean":
        return centred
    deviation = (
        torch.where(usable, centred, 0.0).square().sum(-1, keepdim=True) / number.clamp(min=1)
    ).sqrt()
    flat = deviation < _LEAST_DEVIATION
    return torch.where(usable & flat, 0.0, centred / torch.where(flat, 1.0, deviation))


def policy_gradient_loss(
    log_probabilities: Float[Tensor, "*query sample"], advantages: Float[Tensor, "*query sample"]
) -> Float[Tensor, ""]:
    """Return -mean(A log pi): its descent raises the expected reward (estimate).

    Args:
        log_probabilities: log pi of the drawn samples, with gradient.
        advantages: as `policy_advantages` gives them.

    Raises:
        InputError: other shapes.

    Edge cases:
        A sample whose advantage is not finite (its metric failed) is left out of the mean; where none is left the loss
        is 0, with a warning.

    Gradient:
        -(1/n) sum_i A_i grad log pi(y_i), the negative of the policy gradient. The value of the loss means nothing.

    Reference:
        [williams1992reinforce]

    Example:
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> drawn = torch.tensor([0, 1])
        >>> advantages = policy_advantages(torch.tensor([1.0, 0.0]))
        >>> policy_gradient_loss(logits.log_softmax(0)[drawn], advantages).backward()
        >>> logits.grad
        tensor([-0.5000,  0.5000])
    """
    if log_probabilities.shape != advantages.shape:
        raise fail(
            "policy_gradient_loss",
            f"log_probabilities are {describe(log_probabilities)} and advantages {describe(advantages)}",
            "one of each per sample",
        )
    usable = advantages.isfinite()
    if not bool(usable.any()):
        warnings.warn("policy_gradient_loss: no sample has a reward; the loss is 0.", stacklevel=2)
        return log_probabilities[usable].sum()
    return -(advantages.detach()[usable] * log_probabilities[usable]).mean()


def minimum_risk_loss(
    log_probabilities: Float[Tensor, "query candidate"],
    costs: Float[Tensor, "query candidate"],
    *,
    alpha: Number = 1.0,
) -> Float[Tensor, " query"]:
    """Return the expected cost under the model's probabilities, renormalised over a list of candidates (exact).

        q = softmax(alpha log p),    loss = sum_k q_k cost_k

    Args:
        log_probabilities: of every candidate, with gradient.
        costs: of every candidate, lower is better; constants.
        alpha: > 0; how sharp q is.

    Raises:
        InputError: other shapes, no candidate, costs that are not finite, alpha <= 0.

    Edge cases:
        One candidate has the gradient 0. A candidate that the model finds impossible (-inf) counts for nothing.

    Gradient:
        Exact: alpha q_k (cost_k - loss). The list of candidates is a constant.

    Cost:
        O(query candidate).

    Reference:
        [shen2016minimum]

    Example:
        >>> minimum_risk_loss(torch.log(torch.tensor([[0.6, 0.2]])), torch.tensor([[0.0, 1.0]]))
        tensor([0.2500])
    """
    sharpness = positive_number("minimum_risk_loss", "alpha", alpha)
    if log_probabilities.shape != costs.shape or not costs.shape[-1] or not bool(costs.isfinite().all()):
        raise fail(
            "minimum_risk_loss",
            f"log_probabilities are {describe(log_probabilities)} and costs {describe(costs)}",
            "a finite cost for every candidate, at least one per query",
        )
    return ((sharpness * log_probabilities).softmax(-1) * costs.detach()).sum(-1)


def set_credit(
    metric: Callable[[Any], float], sampled: Tensor | Sequence[Any], greedy: Tensor | Sequence[Any]
) -> Float[Tensor, " example"]:
    """Return what each sampled output adds to the metric of the whole set (exact).

    metric(all sampled outputs) minus metric(the same with output i replaced by its greedy output).

    Args:
        metric: of all outputs together, higher is better; it is handed what `sampled` is: a tensor or a list.
        sampled: an output per example.
        greedy: the greedy output of the same examples.

    Returns:
        The credit per example, float64, on the CPU.

    Raises:
        InputError: other lengths.

    Edge cases:
        An example whose sampled output is its greedy output has 0, without a call. A call that gives NaN gives credit
        NaN, which `policy_gradient_loss` leaves out.

    Cost:
        One call of the metric, and one more per example that differs.

    Reference:
        [rennie2017selfcritical] for one output; the credit in a set is ours.

    Example:
        >>> truth = torch.tensor([1, 1, 0])
        >>> right = lambda outputs: float((outputs == truth).double().mean())
        >>> set_credit(right, torch.tensor([1, 0, 0]), torch.tensor([0, 1, 0]))
        tensor([ 0.3333, -0.3333,  0.0000], dtype=torch.float64)
    """
    if len(sampled) != len(greedy):
        raise fail(
            "set_credit", f"{len(greedy)} greedy outputs", f"one for each of the {len(sampled)} sampled"
        )
    credit = torch.zeros(len(sampled), dtype=torch.float64)
    other = [n for n, (one, two) in enumerate(zip(sampled, greedy, strict=True)) if not _equal(one, two)]
    if not other:
        return credit
    whole = float(metric(sampled))
    for n in other:
        if isinstance(sampled, Tensor):
            without = sampled.clone()
            without[n] = greedy[n]
        else:
            without = [*sampled[:n], greedy[n], *sampled[n + 1 :]]
        credit[n] = whole - float(metric(without))
    return credit


def _equal(one: Any, two: Any) -> bool:
    """Whether two outputs are the same."""
    if isinstance(one, Tensor) or isinstance(two, Tensor):
        return torch.equal(torch.as_tensor(one), torch.as_tensor(two))
    return bool(one == two)


def kl_to_start(
    log_probabilities: Float[Tensor, "*query choice"], start: Float[Tensor, "*query choice"]
) -> Float[Tensor, "*query"]:
    """Return KL(pi || pi_0), how far a policy has moved from where it started (exact).

    Added to a policy loss with a small weight (0.05) it keeps outputs what they were where no reward speaks.

    Args:
        log_probabilities: log pi, normalised, with gradient.
        start: log pi_0; a constant.

    Edge cases:
        A choice of probability 0 adds 0. A choice that only the start finds impossible makes it infinite.

    Gradient:
        Exact.

    Reference:
        [kullback1951information]

    Example:
        >>> kl_to_start(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log())
        tensor(0.5108)
    """
    possible = log_probabilities > -torch.inf
    safe = torch.where(possible, log_probabilities, 0.0)
    gap = safe - torch.where(possible, start.detach(), 0.0)
    return torch.where(possible, safe.exp() * gap, 0.0).sum(-1)

"""What is special to expected cost: its gradient, constants that change nothing, costs that do not fit."""

from typing import Any

import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.losses import expected_cost_loss
from metricgrad.metrics import expected_cost

MATRIX = [[0.0, 1.0, 5.0], [2.0, 0.0, 1.0], [10.0, 3.0, 0.0]]


def inputs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits [sample, action] and targets."""
    logits = torch.randn(20, 3, generator=generator, dtype=torch.float64).requires_grad_()
    return logits, torch.randint(0, 3, (20,), generator=generator)


def test_the_gradient_is_that_of_the_formula(generator: torch.Generator) -> None:
    """pi_k (c_k - sum_j pi_j c_j) / temperature, and with it no constant of a row matters."""
    logits, targets = inputs(generator)
    costs = torch.tensor(MATRIX, dtype=torch.float64)[targets]
    policy = (logits.detach() / 2).softmax(1)
    wanted = policy * (costs - (policy * costs).sum(1, keepdim=True)) / 2
    shift = torch.tensor([[-3.0], [0.5], [100.0]], dtype=torch.float64)
    for matrix in (torch.tensor(MATRIX), torch.tensor(MATRIX) + shift):
        loss = expected_cost_loss(logits, targets, cost_matrix=matrix, temperature=2.0)
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        torch.testing.assert_close(gradient, wanted)


def test_at_temperature_0_it_is_the_metric(generator: torch.Generator) -> None:
    """The mean is the mean cost of the largest score; costs may be a text, as those of the metric."""
    logits, targets = inputs(generator)
    text = "0 1 5; 2 0 1; 10 3 0"
    wanted = expected_cost(logits.detach(), targets, cost=text)
    for costs in (text, MATRIX):
        found = expected_cost_loss(logits, targets, cost_matrix=costs, temperature=1e-9).mean()
        torch.testing.assert_close(found.detach(), wanted)


def test_costs_of_each_sample_may_ignore_some(generator: torch.Generator) -> None:
    """They are the rows of the matrix; a sample to ignore may hold anything."""
    logits, targets = inputs(generator)
    rows = torch.tensor(MATRIX)[targets]
    whole = expected_cost_loss(logits, targets, cost_matrix=MATRIX)
    torch.testing.assert_close(expected_cost_loss(logits, costs=rows), whole)
    with torch.no_grad():
        logits[4] = torch.nan
    targets[4] = -100
    for given in ({"costs": rows}, {"cost_matrix": MATRIX}):
        loss = expected_cost_loss(logits, targets, entropy_weight=0.1, **given)
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert float(loss[4].detach()) == 0 and not bool(gradient[4].any())
        assert bool(gradient.isfinite().all())


def test_a_forbidden_action() -> None:
    """A logit of -inf takes it out, with the entropy, too."""
    logits = torch.tensor([[0.3, -torch.inf, 1.0]], requires_grad=True)
    loss = expected_cost_loss(logits, torch.tensor([0]), cost_matrix=[[0.0, 1e6, 1.0]], entropy_weight=0.1)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    without = expected_cost_loss(
        logits[:, [0, 2]], torch.tensor([0]), cost_matrix=[[0.0, 1.0]], entropy_weight=0.1
    )
    torch.testing.assert_close(loss, without)
    assert bool(gradient.isfinite().all()) and float(gradient[0, 1]) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "neither of cost_matrix and costs came"),
        ({"cost_matrix": MATRIX, "costs": torch.zeros(20, 3)}, "both of cost_matrix and costs came"),
        ({"cost_matrix": [[0.0, 1.0], [1.0, 0.0]]}, r"cost_matrix is \(2, 2\)"),
        ({"costs": torch.zeros(19, 3)}, r"costs is \(19, 3\)"),
        ({"cost_matrix": [[0.0, 1.0, float("inf")]] * 3}, "NaN or infinite"),
        ({"cost_matrix": MATRIX[:2]}, "a target is 2 where costs have 2 classes"),
        ({"cost_matrix": "0 1; 5"}, "cost is"),
        ({"cost_matrix": MATRIX, "temperature": 0}, "temperature is 0"),
    ],
)
def test_what_does_not_fit(settings: dict[str, Any], message: str) -> None:
    """One sentence says what came."""
    logits, targets = torch.zeros(20, 3), torch.arange(20) % 3
    with pytest.raises(InputError, match=message):
        expected_cost_loss(logits, targets, **settings)


def test_a_matrix_needs_targets() -> None:
    """Which row, else?"""
    with pytest.raises(InputError, match="targets are None"):
        expected_cost_loss(torch.zeros(2, 3), cost_matrix=MATRIX)

"""The decoupled pull to the start weights: weight decay whose origin is where the stage began."""

import pytest
import torch
from torch import Tensor, nn

from metricgrad._types import MethodRun
from metricgrad.errors import InputError
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.road import validated
from metricgrad.methods.surrogate import Surrogate
from metricgrad.metrics import adapt

INPUTS = torch.randn(16, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def squares(outputs: Tensor, _targets: Tensor) -> Tensor:
    """A loss that draws all outputs to 3."""
    return (outputs - 3).square().mean(1)


def flat(outputs: Tensor, _targets: Tensor) -> Tensor:
    """A loss with a gradient of 0."""
    return 0 * outputs.mean(1)


def begun(loss, model: nn.Module, **settings) -> Surrogate:
    """A method at its first step, 20 of them at a constant rate."""
    method = Surrogate(loss, DescentSettings(**{"schedule": "constant", "warmup": 0, **settings}))
    method.begin(MethodRun(model, dict(model.named_parameters()), adapt("accuracy"), 20, 0))
    return method


def linear() -> nn.Linear:
    """The same layer every time."""
    torch.manual_seed(0)
    return nn.Linear(4, 3).double()


def steps(method: Surrogate, count: int) -> None:
    """Take some steps on all inputs."""
    for _ in range(count):
        method.step((INPUTS, torch.zeros(16)))


def test_is_adamw_in_coordinates_about_the_start():
    """Of a layer that starts at zero the pull is the decay of AdamW itself, biases included, bit for bit."""
    model, twin = linear(), linear()
    for layer in (model, twin):
        for value in layer.parameters():
            nn.init.zeros_(value)
    steps(begun(squares, model, learning_rate=0.01, pull_to_start=5.0, gradient_clip=None), 20)
    optimiser = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=5.0)
    for _ in range(20):
        optimiser.zero_grad()
        squares(twin(INPUTS), INPUTS).mean().backward()
        optimiser.step()
    torch.testing.assert_close(dict(model.named_parameters()), dict(twin.named_parameters()))


def test_draws_back_by_rate_times_pull():
    """Without a gradient what has moved comes back by (1 - rate x pull) a step; weight decay has no part in it."""
    model = linear()
    method = begun(flat, model, learning_rate=0.01, pull_to_start=5.0, weight_decay=0.7)
    start = [value.detach().clone() for value in model.parameters()]
    with torch.no_grad():
        for value in model.parameters():
            value += 1.0
    steps(method, 3)
    for value, before in zip(model.parameters(), start, strict=True):
        torch.testing.assert_close(value.detach() - before, torch.full_like(before, (1 - 0.05) ** 3))


def test_stays_nearer_to_the_start():
    """The stronger the pull, the less a model moves."""
    moved = []
    for pull in (0.0, 1.0, 10.0):
        model = linear()
        steps(begun(squares, model, learning_rate=0.05, pull_to_start=pull, weight_decay=0.0), 20)
        moved.append(float((model.weight - linear().weight).detach().norm()))
    assert moved[0] > moved[1] > moved[2] > 0


def test_zero_changes_no_bit():
    """The default takes the steps of AdamW with weight decay, and its state holds no copy of the weights."""
    model, twin = linear(), linear()
    method, other = begun(squares, model), begun(squares, twin, pull_to_start=0.0)
    steps(method, 5)
    steps(other, 5)
    assert torch.equal(model.weight, twin.weight)
    assert "start" not in method.state_dict()


def test_resumes_to_the_same_bits():
    """A saved state draws to where the stage began, also when the method that goes on was begun elsewhere."""
    whole, model = linear(), linear()
    settings = {"learning_rate": 0.01, "pull_to_start": 5.0}
    steps(begun(squares, whole, **settings), 8)
    first = begun(squares, model, **settings)
    steps(first, 4)
    saved = first.state_dict()
    second = begun(squares, model, **settings)
    second.load_state_dict(saved)
    steps(second, 4)
    assert torch.equal(model.weight, whole.weight) and torch.equal(model.bias, whole.bias)


def test_a_pull_is_not_negative():
    """A sentence names the setting."""
    with pytest.raises(InputError, match="pull_to_start is -1"):
        validated(DescentSettings, {"pull_to_start": -1}, "surrogate:ndcg")

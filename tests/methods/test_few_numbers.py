"""A few numbers in a network: 0 is the network as it came, and what they give is what the network then gives."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from metricgrad._types import MethodRun
from metricgrad.errors import InputError
from metricgrad.methods.few_numbers import FewNumbers
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit

ADAPTERS = ("bias", "scale", "film", "head", "trained")


class Unit(nn.Module):
    """Ends with rows of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return unit rows."""
        return normalize(self.layer(inputs))


def classes() -> nn.Module:
    """Class scores, with dropout and a running mean, which must not move."""
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3))


def one_score() -> nn.Module:
    """A score per sample, without its axis."""
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1), nn.Flatten(0))


def frames() -> nn.Module:
    """Class scores of every frame."""
    return nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3))


def started(model: nn.Module, fixed: str = "") -> tuple[MethodRun, ArraySplit]:
    """A run of a network, and the split that its items come from."""
    generator = torch.Generator().manual_seed(0)
    split = ArraySplit(torch.randn(20, 4, generator=generator), torch.arange(20) % 3, batch=7)
    trained = {name: value for name, value in model.named_parameters() if name != fixed}
    return MethodRun(model.train(), trained, adapt("accuracy"), steps=5, seed=0, fit=split), split


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("build", [classes, one_score, frames])
def test_what_they_give_is_what_the_network_gives(adapter: Any, build: Callable[[], nn.Module]) -> None:
    """At 0 to the last bit; elsewhere after the weights were written; back at 0 every weight is as it was."""
    torch.manual_seed(0)
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run, split = started(model)
    numbers = FewNumbers("test", run, adapter)
    items = numbers.read(split)
    assert len(items) == 20
    assert torch.equal(items.targets, split.targets)
    plain = model.eval()(split.inputs)
    assert torch.equal(numbers.outputs(numbers.zero(), items), plain)
    phi = 0.3 * torch.randn(numbers.size)
    numbers.write(phi)
    torch.testing.assert_close(model(split.inputs), numbers.outputs(phi, items), rtol=1e-5, atol=1e-6)
    assert float((model(split.inputs) - plain).detach().abs().max()) > 1e-3
    numbers.write(numbers.zero())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_gradient_is_that_of_differences(adapter: Any) -> None:
    """In float64, through the fold into the last layer or through the whole network."""
    torch.manual_seed(0)
    model = classes().double()
    run, split = started(model)
    split = ArraySplit(split.inputs.double(), split.targets, batch=20)
    run = dataclasses.replace(run, fit=split)
    numbers = FewNumbers("test", run, adapter)
    items = numbers.read(split)
    phi = (0.1 * torch.randn(numbers.size, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda phi: numbers.outputs(phi, items), phi)


def test_a_network_that_cannot_be_folded_is_refused() -> None:
    """In words; `trained` takes it."""
    run, split = started(Unit())
    with pytest.raises(InputError, match="linear layer"):
        FewNumbers("test", run, "bias")
    assert len(FewNumbers("test", run, "trained").read(split)) == 20
    run, _ = started(nn.Sequential(nn.Tanh(), nn.BatchNorm1d(4)))
    with pytest.raises(InputError, match="linear layer"):
        FewNumbers("test", run, "film")
    run, _ = started(classes(), fixed="4.bias")
    with pytest.raises(InputError, match=r"4\.bias"):
        FewNumbers("test", run, "bias")

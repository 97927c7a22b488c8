"""Mixup in a run: what is trained on, and where it is refused."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from metricgrad._types import MethodRun
from metricgrad.errors import InputError
from metricgrad.methods.descent import Descent, DescentSettings
from metricgrad.methods.surrogate import Surrogate
from metricgrad.metrics import adapt


class Seen(nn.Module):
    """A linear layer that keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.inputs: list[torch.Tensor] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return class scores."""
        self.inputs.append(inputs)
        return self.layer(inputs)


def begun(metric: str = "accuracy", seed: int = 0, **settings: float) -> tuple[Surrogate, Seen]:
    """A method that follows cross-entropy, at its first step."""
    torch.manual_seed(1)
    model, method = Seen(), Surrogate(cross_entropy, DescentSettings(**settings))
    run = MethodRun(model, dict(model.named_parameters()), adapt(metric), 5, seed)
    method.begin(run)
    return method, model


BATCH = (torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4)


def test_each_step_has_its_own_mixture() -> None:
    """Of the batch with itself; the same step of the same seed has the same one, another seed another."""
    seen = {}
    for seed in (0, 0, 1):
        method, model = begun(mixup=1.0, seed=seed)
        for _ in range(3):
            method.step(BATCH)
        if seed in seen:
            assert all(torch.equal(one, other) for one, other in zip(seen[seed], model.inputs, strict=True))
        seen[seed] = model.inputs
    drawn = [*seen[0], *seen[1]]
    assert all(not torch.equal(one, other) for one in drawn for other in drawn if one is not other)
    for one in drawn:
        torch.testing.assert_close(one.mean(0), BATCH[0].mean(0))


def test_no_mixture_is_the_plain_step() -> None:
    """With mixup 0 the network sees the batch itself."""
    method, model = begun(mixup=0.0)
    method.step(BATCH)
    assert model.inputs[0] is BATCH[0]


def test_the_loss_is_that_of_both_labels() -> None:
    """As a loop of one's own has it."""
    method, model = begun(mixup=1.0)
    with torch.no_grad():
        weights = [value.clone() for value in model.layer.parameters()]
    found = method.step(BATCH)["loss"]
    outputs = torch.nn.functional.linear(model.inputs[0], *weights)
    assert method.descent.mixing is not None
    inputs, labels = method.descent.mixing.batch(BATCH, 0)
    share = float(labels.share)
    wanted = share * cross_entropy(outputs, labels.first) + (1 - share) * cross_entropy(outputs, labels.other)
    torch.testing.assert_close(found, float(wanted))
    assert 0 < share < 1 and torch.equal(inputs, model.inputs[0])


def test_retrieval_is_refused() -> None:
    """Before the first step, with the reason and what there is instead."""
    with pytest.raises(InputError, match=r"mixup is 0.2 with recall@1, a metric of retrieval.*simix"):
        begun("recall@1", mixup=0.2)


def test_a_method_with_its_own_backward_pass_refuses() -> None:
    """Direct and learned losses look at more than one label of a sample: nothing is left out in silence."""
    _, model = begun()
    run = MethodRun(model, dict(model.named_parameters()), adapt("accuracy"), 5, 0)
    with pytest.raises(InputError, match=r"mixup is 0.2 for a method.*expected mixup 0"):
        Descent(DescentSettings(mixup=0.2)).begin(run)


def test_whole_numbers_are_refused() -> None:
    """Bytes of pictures cannot be mixed: the message says what came."""
    method, _ = begun(mixup=0.2)
    with pytest.raises(InputError, match="floating point"):
        method.step((torch.zeros(4, 3, dtype=torch.uint8), torch.zeros(4, dtype=torch.long)))

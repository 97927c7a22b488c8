"""FGSM and PGD: what a step does, how far it may go, and that the model is left as it was."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from metricgrad.attacks import fgsm, pgd
from metricgrad.errors import InputError


def network(generator: torch.Generator) -> nn.Module:
    """A small network with dropout and batch normalisation."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))
    model(torch.rand(64, 5, generator=generator))
    return model


def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs in [0, 1] and classes, one of them ignored."""
    targets = torch.arange(20) % 3
    targets[4] = -100
    return torch.rand(20, 5, generator=generator), targets


def lost(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of every sample."""
    return cross_entropy(model(inputs), targets, reduction="none").detach()


def test_a_linear_model_is_attacked_in_closed_form(generator: torch.Generator) -> None:
    """Of two classes the worst change is epsilon times the sign of the difference of their weights."""
    model, epsilon = nn.Linear(4, 2).requires_grad_(False), 0.05
    inputs, targets = 0.1 + 0.8 * torch.rand(9, 4, generator=generator), torch.arange(9) % 2
    away = (model.weight[1] - model.weight[0]).sign() * torch.where(targets == 0, 1, -1).unsqueeze(1)
    torch.testing.assert_close(fgsm(model, inputs, targets, epsilon=epsilon), inputs + epsilon * away)
    found = pgd(model, inputs, targets, epsilon=epsilon, generator=generator)
    torch.testing.assert_close(found, inputs + epsilon * away)


def test_the_model_is_left_as_it_was(generator: torch.Generator) -> None:
    """Modes, weights, running statistics and gradients; one call gives what another gives."""
    model = network(generator)
    list(model.children())[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    inputs, targets = batch(generator)
    first, again = (
        pgd(model, inputs, targets, epsilon=0.1, generator=torch.Generator().manual_seed(1)) for _ in "ab"
    )
    assert torch.equal(first, again) and not first.requires_grad
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


def test_it_stays_within_epsilon_and_bounds_and_never_helps(generator: torch.Generator) -> None:
    """More steps and restarts find no less; a sample that is ignored stays as it is."""
    model = network(generator).eval()
    inputs, targets = batch(generator)
    plain = lost(model, inputs, targets)
    losses = []
    for steps, restarts in ((1, 1), (20, 1), (20, 5)):
        moved = pgd(
            model,
            inputs,
            targets,
            epsilon=0.1,
            steps=steps,
            restarts=restarts,
            generator=torch.Generator().manual_seed(0),
        )
        assert float((moved - inputs).abs().max()) <= 0.1 + 1e-6
        assert float(moved.min()) >= 0 and float(moved.max()) <= 1
        assert torch.equal(moved[4], inputs[4])
        losses.append(lost(model, moved, targets))
        assert bool((losses[-1] >= plain).all())
    assert float(losses[1].mean()) > float(losses[0].mean()) > float(plain.mean())
    assert bool((losses[2] >= losses[1] - 1e-6).all())
    assert float(losses[1].mean()) >= float(
        lost(model, fgsm(model, inputs, targets, epsilon=0.1), targets).mean()
    )


def test_a_flat_training_loss_does_not_hide_the_gradient() -> None:
    """Where p of the target is nearly 0, the attack still knows the way back: it goes through cross-entropy."""
    model = nn.Linear(2, 2, bias=False)
    model.weight.data.copy_(torch.tensor([[30.0, 0.0], [0.0, 30.0]]))
    inputs = torch.tensor([[0.9, 0.1]])
    moved = fgsm(model, inputs, torch.tensor([1]), epsilon=0.05)
    torch.testing.assert_close(moved, torch.tensor([[0.95, 0.05]]))


def test_epsilon_0_changes_nothing(generator: torch.Generator) -> None:
    """Neither of them."""
    model, (inputs, targets) = network(generator), batch(generator)
    assert torch.equal(fgsm(model, inputs, targets, epsilon=0), inputs)
    assert torch.equal(pgd(model, inputs, targets, epsilon=0), inputs)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"epsilon": -0.1}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"inputs": torch.zeros(20, 5, dtype=torch.uint8)}, "floating point"),
        ({"inputs": torch.full((20, 5), 255.0)}, "within the bounds"),
        ({"targets": torch.zeros(3, dtype=torch.long)}, "one class number"),
        ({"targets": torch.zeros(20)}, "one class number"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict, told: str, generator: torch.Generator) -> None:
    """In one sentence that says what came, by either."""
    inputs, targets = batch(generator)
    given = {"inputs": inputs, "targets": targets, "epsilon": 0.1, **changed}
    for attack in (fgsm, pgd):
        with pytest.raises(InputError, match=told):
            attack(network(generator), **given)

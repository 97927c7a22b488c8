"""LS: zero at equality, symmetry, no gradient leak either way, penalty, and what a linear embedding converges to."""

import pytest
import torch
from torch import nn

from metricgrad.errors import InputError
from metricgrad.learned import LearnedSurrogate, SequenceEncoder, words


def small(**settings: object) -> LearnedSurrogate:
    """A two-layer embedding of four coordinates, float64."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 3)).double()
    return LearnedSurrogate(encoder, **settings)


def pairs(count: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random points, targets and errors."""
    generator = torch.Generator().manual_seed(1)
    z, y = torch.randn(2, count, 4, generator=generator, dtype=torch.float64)
    return z, y, torch.rand(count, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 1e-2])
def test_equal_points_have_distance_zero_and_gradient_zero(epsilon: float) -> None:
    """e(y, y) = 0 to the last bit, with a finite gradient of 0, double backward included."""
    surrogate, (_, y, errors) = small(epsilon=epsilon), pairs()
    point = y.clone().requires_grad_()
    value = surrogate(point, y)
    assert torch.equal(value, torch.zeros_like(value))
    (gradient,) = torch.autograd.grad(value.sum(), point)
    assert torch.equal(gradient, torch.zeros_like(gradient))
    found = surrogate.fit(y, y, errors)
    found.objective.backward()
    assert found.penalty.item() == 0
    for parameter in surrogate.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_equal_words_have_distance_zero_in_any_place_of_a_batch() -> None:
    """The convolutions of the sequence encoder, in single precision."""
    torch.manual_seed(0)
    encoder = SequenceEncoder("abc", 7)
    _, y = words("abc", 7).compare(torch.zeros(5, 7, 4), ["", "a", "abc", "abcabca", "cab"])
    assert torch.equal(LearnedSurrogate(encoder)(y, y), torch.zeros(5))


def test_symmetry() -> None:
    """The order of prediction and target does not matter."""
    surrogate, (z, y, _) = small(), pairs()
    assert torch.equal(surrogate(z, y), surrogate(y, z))


def test_no_gradient_leaks() -> None:
    """A surrogate step reaches no output of the model, a model step no parameter of the embedding."""
    surrogate, (z, y, errors) = small(), pairs()
    outputs, truth = z.clone().requires_grad_(), errors.clone().requires_grad_()
    surrogate.fit(outputs, y, truth).objective.backward()
    assert outputs.grad is None and truth.grad is None
    surrogate.zero_grad(set_to_none=True)
    surrogate.requires_grad_(False)
    surrogate.loss(surrogate(outputs, y)).sum().backward()
    assert outputs.grad is not None and outputs.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in surrogate.parameters())


@pytest.mark.parametrize("settings", [{}, {"one_sided": True}, {"loss_power": 2}, {"metric_scale": 0.3}])
def test_gradients(settings: dict[str, object]) -> None:
    """The estimate against z and y, and the whole objective against the parameters, by finite differences."""
    surrogate, (z, y, errors) = small(**settings), pairs(3)
    z, y = z.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: surrogate.loss(surrogate(a, b)), (z, y))
    weight = dict(surrogate.encoder.named_parameters())["0.weight"]

    def objective(value: torch.Tensor) -> torch.Tensor:
        replaced = {"encoder.0.weight": value}
        module = _Objective(surrogate)
        return torch.func.functional_call(
            module, {f"surrogate.{name}": item for name, item in replaced.items()}, (z, y, errors)
        )

    assert torch.autograd.gradcheck(objective, (weight.detach().clone().requires_grad_(),))


class _Objective(nn.Module):
    def __init__(self, surrogate: LearnedSurrogate) -> None:
        super().__init__()
        self.surrogate = surrogate

    def forward(self, z: torch.Tensor, y: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
        return self.surrogate.fit(z, y, errors).objective


@pytest.mark.slow
def test_a_linear_embedding_of_a_euclidean_metric_becomes_orthogonal() -> None:
    """With e = |z - y| the surrogate step reaches h'h = I."""
    torch.manual_seed(0)
    surrogate = LearnedSurrogate(nn.Linear(3, 5, bias=False).double())
    optimiser = torch.optim.Adam(surrogate.parameters(), lr=0.02)
    for step in range(1500):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * 0.5 ** (step // 250)
        z, y = torch.randn(2, 64, 3, dtype=torch.float64)
        objective = surrogate.fit(z, y, (z - y).norm(dim=1)).objective
        optimiser.zero_grad()
        objective.backward()
        optimiser.step()
    weight = surrogate.encoder.weight.detach()
    torch.testing.assert_close(weight.T @ weight, torch.eye(3, dtype=torch.float64), atol=1e-3, rtol=0)


def test_one_sided_penalty_leaves_short_gradients_alone() -> None:
    """A gradient of half the length: 1/4 with two sides, nothing with one."""
    encoder = nn.Linear(2, 2, bias=False).double()
    nn.init.eye_(encoder.weight)
    encoder.weight.data.mul_(0.5)
    z, y = torch.tensor([[3.0, 4.0]]).double(), torch.zeros(1, 2).double()
    two, one = (
        LearnedSurrogate(encoder, one_sided=sides).fit(z, y, torch.zeros(1)) for sides in (False, True)
    )
    torch.testing.assert_close(two.penalty.item(), 0.25, atol=1e-6, rtol=0)
    assert one.penalty.item() == 0


def test_a_weight_of_zero_needs_no_double_backward() -> None:
    """Then the objective is the fit."""
    surrogate, found = small(gradient_penalty_weight=0.0), pairs()
    fit = surrogate.fit(*found)
    assert fit.objective is fit.fit and fit.penalty.item() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": -1.0}, "epsilon"), ({"metric_scale": 0.0}, "metric_scale"),
        ({"gradient_penalty_weight": -1.0}, "gradient_penalty_weight"), ({"loss_power": 3}, "loss_power"),
    ],
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    """Each is named."""
    with pytest.raises(InputError, match=message):
        small(**settings)

"""Rotations leave angles and norms alone, begin at the identity, and become plain weights."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from metricgrad.adapters import (
    attach_orthogonal_adapter,
    cayley,
    cayley_neumann,
    hyperspherical_energy,
    limit_rotation,
    lowdin,
    merge_orthogonal_adapter,
    merged_state,
    skew_symmetric,
)
from metricgrad.errors import InputError


def network() -> nn.Sequential:
    """Convolutions of one and of two groups, a batch norm, a linear layer whose inputs are no multiple of the block."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 2, groups=2),
        nn.Flatten(),
        nn.Linear(24, 5),
    ).eval()


def inputs() -> Tensor:
    """Eight pictures."""
    return torch.randn(8, 2, 7, 7, generator=torch.Generator().manual_seed(1))


def loss(model: nn.Module) -> Tensor:
    """Cross-entropy of the pictures."""
    return nn.functional.cross_entropy(model(inputs()), torch.arange(8) % 5)


def energies(model: nn.Sequential) -> list[Tensor]:
    """Of each layer; of a convolution with groups, of each group, since a group is turned as one."""
    found = []
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            groups = getattr(layer, "groups", 1)
            found += [hyperspherical_energy(part.flatten(1)) for part in layer.weight.detach().chunk(groups)]
    return found


def turned(model: nn.Module, steps: int = 100, **settings) -> dict[str, nn.Parameter]:
    """Attach rotations and train them."""
    parameters = attach_orthogonal_adapter(model, **settings)
    optimiser = torch.optim.Adam(parameters.values(), lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(model).backward()
        optimiser.step()
    return parameters


@pytest.mark.parametrize("map", ["cayley", "matrix_exponential", cayley_neumann])
@pytest.mark.parametrize("block_size", [7, 32, None])
def test_it_begins_at_the_identity(map, block_size) -> None:
    """Outputs are those of the plain network until a step is taken."""
    model = network()
    expected = model(inputs())
    attach_orthogonal_adapter(model, block_size, map, with_gain=True)
    torch.testing.assert_close(model(inputs()), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("map", ["cayley", "matrix_exponential"])
@pytest.mark.parametrize("block_size", [7, None])
def test_energy_and_norms_stay_over_a_hundred_steps(map, block_size) -> None:
    """The loss falls, weights move, and all angles and norms stay."""
    model, start = network(), network()
    first = loss(model).item()
    turned(model, block_size=block_size, map=map)
    assert loss(model).item() < 0.7 * first
    torch.testing.assert_close(energies(model), energies(start), rtol=1e-5, atol=0)
    for place in (0, 3, 5):
        weight, before = model[place].weight.detach(), start[place].weight.detach()
        assert (weight - before).abs().max() > 0.05
        torch.testing.assert_close(weight.flatten(1).norm(dim=1), before.flatten(1).norm(dim=1))


def test_everything_else_is_frozen_or_left() -> None:
    """Rotated weights do not move; biases keep what they were."""
    model, start = network(), network()
    parameters = turned(model, steps=3)
    assert all(value.requires_grad and value.ndim == 1 for value in parameters.values())
    assert all(name.endswith(".parametrizations.weight.0.skew") for name in parameters)
    torch.testing.assert_close(model[5].parametrizations.weight.original, start[5].weight, rtol=0, atol=0)
    assert not model[5].parametrizations.weight.original.requires_grad
    assert model[5].bias.requires_grad


def test_merging_changes_no_output() -> None:
    """The merged network, and one that loads the merged state, compute what the adapted one did."""
    model = network()
    turned(model, steps=5, with_gain=True)
    expected = model(inputs())
    state = merged_state(model)
    twin = copy.deepcopy(model)
    merge_orthogonal_adapter(model)
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in network().state_dict().items()
    }
    assert all(value.requires_grad for value in model.parameters())
    torch.testing.assert_close(model(inputs()), expected)
    loaded = network()
    loaded.load_state_dict(state)
    torch.testing.assert_close(loaded(inputs()), expected)
    torch.testing.assert_close(twin(inputs()), expected)  # a copy keeps its adapters, and can be merged
    merge_orthogonal_adapter(twin)
    torch.testing.assert_close(dict(twin.state_dict()), dict(model.state_dict()))
    with pytest.raises(InputError, match="has no adapter"):
        merge_orthogonal_adapter(model)


def test_merging_leaves_the_adapters_of_others() -> None:
    """A parametrisation of the bias, or one over the rotation, is another's."""

    class Doubled(nn.Module):
        def forward(self, value: Tensor) -> Tensor:
            return 2 * value

    layer = nn.Linear(4, 3)
    attach_orthogonal_adapter(layer)
    register_parametrization(layer, "bias", Doubled())
    expected = layer(torch.ones(2, 4))
    merge_orthogonal_adapter(layer)
    torch.testing.assert_close(layer(torch.ones(2, 4)), expected)
    assert is_parametrized(layer, "bias")
    assert not is_parametrized(layer, "weight")


def test_number_of_parameters() -> None:
    """Inputs x (block_size - 1) / 2, the last block smaller; per group of a convolution."""
    parameters = attach_orthogonal_adapter(network(), block_size=8)
    counts = [value.numel() for value in parameters.values()]
    assert counts == [2 * 28 + 1, 2 * 28, 3 * 28]  # 18 inputs are 8 + 8 + 2; 2 groups of 8; 24


def test_groups_are_turned_apart() -> None:
    """A rotation of the first group leaves the second alone."""
    layer = nn.Conv2d(4, 6, 2, groups=2)
    before = layer.weight.detach().clone()
    (skew,) = attach_orthogonal_adapter(layer).values()
    skew.data[:28] = 0.3
    assert not torch.equal(layer.weight[:3], before[:3])
    torch.testing.assert_close(layer.weight[3:], before[3:])


def test_gains_change_norms_and_no_angle() -> None:
    """A gain scales its unit."""
    layer = nn.Linear(6, 4)
    before = layer.weight.detach().clone()
    parameters = attach_orthogonal_adapter(layer, with_gain=True)
    parameters["parametrizations.weight.0.gain"].data[:] = torch.tensor([0.0, 1.0, -0.5, 0.25])
    factors = torch.tensor([1.0, 2.0, 0.5, 1.25])
    torch.testing.assert_close(layer.weight, before * factors[:, None])
    torch.testing.assert_close(hyperspherical_energy(layer.weight), hyperspherical_energy(before))


def test_the_trust_region_shrinks_and_never_grows() -> None:
    """S has at most the radius, in its direction; a small S stays."""
    layer = nn.Linear(6, 4)
    (skew,) = attach_orthogonal_adapter(layer, block_size=4).values()
    skew.data = torch.arange(7.0)
    limit_rotation(layer, 0.5)
    torch.testing.assert_close(2**0.5 * skew.detach().norm(), torch.tensor(0.5))
    torch.testing.assert_close(skew.detach() / skew[6].detach(), torch.arange(7.0) / 6)
    kept = skew.detach().clone()
    limit_rotation(layer, 5.0)
    torch.testing.assert_close(skew.detach(), kept, rtol=0, atol=0)
    with pytest.raises(InputError, match="radius"):
        limit_rotation(layer, 0.0)


def test_half_precision_is_turned_in_float32() -> None:
    """The rotation itself is float32; the weight keeps its type."""
    layer = nn.Linear(64, 8).bfloat16()
    (skew,) = attach_orthogonal_adapter(layer).values()
    assert skew.dtype == torch.float32
    skew.data = torch.randn(len(skew)) / 4
    assert layer.weight.dtype == torch.bfloat16
    before = layer.parametrizations.weight.original.float().norm(dim=1)
    torch.testing.assert_close(layer.weight.float().norm(dim=1), before, rtol=0.01, atol=0)


def test_what_cannot_be_rotated_is_refused() -> None:
    """Each with what to do."""
    with pytest.raises(InputError, match="no layer to rotate"):
        attach_orthogonal_adapter(nn.Sequential(nn.LayerNorm(3), nn.Linear(1, 3)))
    with pytest.raises(InputError, match=r"1025 inputs.*block_size"):
        attach_orthogonal_adapter(nn.Linear(1025, 2), None)
    with pytest.raises(InputError, match="map is 'householder'"):
        attach_orthogonal_adapter(nn.Linear(3, 2), map="householder")
    with pytest.raises(InputError, match="block_size is 1"):
        attach_orthogonal_adapter(nn.Linear(3, 2), 1)
    tied = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5))
    tied[1].weight = tied[0].weight
    with pytest.raises(InputError, match=r"shared \(0\.weight, 1\.weight\)"):
        attach_orthogonal_adapter(tied)
    layer = nn.Linear(3, 2)
    attach_orthogonal_adapter(layer)
    with pytest.raises(InputError, match="parametrisation already"):
        attach_orthogonal_adapter(layer)


def test_frozen_layers_are_left_alone() -> None:
    """A frozen trunk gets no adapter."""
    model = network()
    for place in range(4):
        model[place].requires_grad_(False)
    assert list(attach_orthogonal_adapter(model)) == ["5.parametrizations.weight.0.skew"]


@pytest.mark.parametrize("turn", [cayley, cayley_neumann, torch.linalg.matrix_exp])
def test_gradients_of_the_maps(turn) -> None:
    """float64 gradients are those of differences."""
    upper = (0.3 * torch.randn(2, 6, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda upper: turn(skew_symmetric(upper, 4)), upper)


def test_gradient_of_the_energy() -> None:
    """float64 gradients are those of differences; a row of zeros takes no part."""
    weight = torch.randn(4, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(hyperspherical_energy, weight)
    with_zeros = torch.cat([weight.detach(), torch.zeros(1, 3, dtype=torch.float64)])
    torch.testing.assert_close(hyperspherical_energy(with_zeros), hyperspherical_energy(weight.detach()))
    assert hyperspherical_energy(torch.ones(1, 3)) == 0
    assert hyperspherical_energy(torch.ones(2, 3)) == torch.inf


@pytest.mark.parametrize(("terms", "error"), [(4, 0.12), (5, 1e-3), (6, 0.03), (7, 6e-5)])
def test_the_even_neumann_terms_trap(terms, error) -> None:
    """An even number of terms is far from orthogonal, and more terms are no remedy for it."""
    rotation = cayley_neumann(torch.tensor([[0.0, 0.5], [-0.5, 0.0]], dtype=torch.float64), terms)
    found = (rotation.T @ rotation - torch.eye(2)).abs().max()
    assert 0.8 * error < found < 1.3 * error


def test_the_published_code_random_start_trap() -> None:
    """Free matrices from N(0, 1) would begin far from the trained weights; ours begin at 0."""
    parameters = attach_orthogonal_adapter(network())
    assert all(not value.any() for value in parameters.values())


def test_lowdin_is_the_nearest() -> None:
    """No other rotation of a fine grid is nearer; other shapes are refused."""
    matrix = torch.tensor([[1.0, 0.2], [0.0, 0.9]], dtype=torch.float64)
    angles = torch.linspace(-3.1, 3.1, 2001, dtype=torch.float64)
    grid = torch.stack([angles.cos(), angles.sin(), -angles.sin(), angles.cos()], 1).view(-1, 2, 2)
    assert (lowdin(matrix) - matrix).norm() <= (grid - matrix).norm(dim=(1, 2)).min()
    with pytest.raises(InputError, match="square"):
        lowdin(torch.ones(2, 3))

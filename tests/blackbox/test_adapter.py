"""Numbers in the last layer: the identity at 0, what each kind does, exact gradients, and networks that it refuses."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from metricgrad.blackbox import HeadAdapter, within_radius
from metricgrad.errors import InputError

KINDS = ("bias", "scale", "film", "head")
X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


def _network(bias: bool = True) -> nn.Sequential:
    torch.manual_seed(1)
    head = nn.Linear(6, 3, bias=bias)
    with torch.no_grad():
        head.weight[0, 0] = -0.0
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(), head)


def _numbers(adapter: HeadAdapter, seed: int = 2) -> torch.Tensor:
    return 0.3 * torch.randn(adapter.size, generator=torch.Generator().manual_seed(seed))


def _bits(network: nn.Module) -> dict[str, bytes]:
    return {name: one.numpy().tobytes() for name, one in network.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_zero_is_the_identity_bit_for_bit(kind, dtype):
    """Weights with their zeros' signs, in any type; making an adapter changes neither bits nor modes."""
    network = _network().to(dtype).train()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    adapter = HeadAdapter(network, kind, X.to(dtype))
    assert network.training
    zero = torch.zeros(adapter.size, dtype=torch.float64)
    for name, one in adapter.weights(zero).items():
        assert torch.equal(one.view(torch.uint8), before[name].view(torch.uint8))
    adapter.write(zero)
    for name, one in network.state_dict().items():
        assert torch.equal(one.flatten().view(torch.uint8), before[name].flatten().view(torch.uint8))


@pytest.mark.parametrize("kind", KINDS)
def test_three_roads_to_the_same_outputs(kind):
    """By functional_call, from cached features, and written; writing again refers to the start, and 0 restores it."""
    network = _network().eval()
    before = _bits(network)
    adapter = HeadAdapter(network, kind, X)
    phi = _numbers(adapter)
    called = torch.func.functional_call(network, adapter.weights(phi), X)
    assert _bits(network) == before
    torch.testing.assert_close(adapter.outputs(adapter.features(X), phi), called)
    adapter.write(_numbers(adapter, 9))
    adapter.write(phi)
    assert torch.equal(network(X), called)
    assert not torch.equal(
        called, torch.func.functional_call(network, adapter.weights(torch.zeros_like(phi)), X)
    )
    adapter.write(torch.zeros_like(phi))
    assert _bits(network) == before


def test_what_each_kind_does():
    """Against the formulas on the outputs and on the units that enter."""
    network = _network().eval()
    with torch.no_grad():
        plain, units = network(X), network[:4](X)
    head = network[4]
    bias, scale, film, full = (HeadAdapter(network, kind, X) for kind in KINDS)
    phi = _numbers(bias)
    torch.testing.assert_close(bias.outputs(bias.features(X), phi), plain + phi)
    torch.testing.assert_close(scale.outputs(scale.features(X), phi), plain * phi.exp())
    phi = _numbers(film)
    s, t, d, c = phi.split([6, 6, 3, 1])
    expected = c.exp() * head((1 + s) * units + t) + d
    torch.testing.assert_close(film.outputs(units, phi), expected)
    phi = _numbers(full)
    expected = plain + units @ phi[:18].view(3, 6).T + phi[18:]
    torch.testing.assert_close(full.outputs(units, phi), expected)
    assert [one.size for one in (bias, scale, film, full)] == [3, 3, 16, 21]


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_exact(kind):
    """Against differences, at 0 and elsewhere; by torch.func, too."""
    network = _network().double().eval()
    adapter = HeadAdapter(network, kind, X.double())
    units = adapter.features(X.double())
    for phi in (torch.zeros(adapter.size).double(), _numbers(adapter).double()):
        assert torch.autograd.gradcheck(lambda one: adapter.outputs(units, one), phi.requires_grad_())

        def loss(one: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(network, adapter.weights(one), X.double()).square().sum()

        (expected,) = torch.autograd.grad(loss(phi), phi)
        torch.testing.assert_close(torch.func.grad(loss)(phi.detach()), expected)
        assert bool((expected != 0).any())


class _Scores(nn.Module):
    """One score per item: the last axis is dropped."""

    def __init__(self, end) -> None:
        super().__init__()
        self.head, self.end = nn.Linear(4, 1), end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.head(x))


def test_one_column_and_no_bias():
    """Scores without their axis of one are the layer's; a layer without a bias has a scale and a head."""
    network = _Scores(lambda scores: scores.squeeze(-1))
    adapter = HeadAdapter(network, "bias", X)
    assert (adapter.name, adapter.size) == ("head", 1)
    assert adapter.outputs(adapter.features(X), torch.ones(1)).shape == (5,)
    torch.testing.assert_close(adapter.outputs(X, torch.ones(1)), network(X) + 1)
    assert HeadAdapter(_network(bias=False), "head", X).size == 18
    assert list(HeadAdapter(_network(bias=False), "scale", X).weights(torch.zeros(3))) == ["4.weight"]


class _Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.layer(x))


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)
        self.head.weight = self.words.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 2), nn.LogSoftmax(-1)), "something follows it"),
        (lambda: nn.Sequential(nn.Linear(4, 2), nn.ReLU(inplace=True)), "something follows it"),
        (lambda: nn.Tanh(), "it has none"),
        (lambda: _Scores(lambda scores: {"scores": scores}), "returns a dict"),
        (_Twice, "is called 2 times"),
        (_Tied, "shares its weights with 'words.weight'"),
        (lambda: parametrizations.weight_norm(nn.Linear(4, 2)), "computes its weight"),
        (lambda: nn.Linear(4, 2, bias=False), "has no bias"),
    ],
)
def test_refused_in_words(make, words: str):
    """What the adapter cannot be folded into, and what to do."""
    with pytest.raises(InputError, match=words):
        HeadAdapter(make(), "bias", X)


def test_wrong_arguments():
    """An unknown kind, and numbers that are not as many as there are."""
    with pytest.raises(InputError, match="kind is 'lora'"):
        HeadAdapter(_network(), "lora", X)
    with pytest.raises(InputError, match="3 numbers for 'bias'"):
        HeadAdapter(_network(), "bias", X).write(torch.zeros(4))


def test_projection_on_the_ball():
    """Inside nothing changes; outside, the nearest point, whose length is the radius; around any middle."""
    inside, middle = torch.tensor([0.3, 0.4]), torch.tensor([1.0, 1.0])
    assert within_radius(inside, 1) is inside
    found = within_radius(torch.tensor([4.0, 5.0]), 2, middle)
    torch.testing.assert_close(found, torch.tensor([2.2, 2.6]))
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1.5, 3.5, 101)] * 2, indexing="ij"), -1).flatten(0, 1)
    ball = grid[(grid - middle).norm(dim=1) <= 2]
    assert (ball - torch.tensor([4.0, 5.0])).norm(dim=1).min() >= (
        found - torch.tensor([4.0, 5.0])
    ).norm() - 1e-5
    with pytest.raises(InputError, match="radius"):
        within_radius(inside, 0)

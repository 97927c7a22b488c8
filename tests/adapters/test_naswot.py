"""Scores of untrained networks: which units are seen, what is singular, and what does not change them."""

import math

import pytest
import torch
from torch import Tensor, nn

from metricgrad.adapters import agreement, naswot_score, rank_untrained
from metricgrad.errors import InputError


class Functional(nn.Module):
    """The same network as `plain`, with ReLU as functions and a method."""

    def __init__(self, plain: nn.Sequential) -> None:
        super().__init__()
        self.layers = plain

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        x = nn.functional.relu(self.layers[0](x), inplace=True)
        return self.layers[4](self.layers[2](x).relu())


def network(width: int = 32) -> nn.Sequential:
    """Two hidden layers."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )


def inputs(items: int = 16) -> Tensor:
    """A batch."""
    return torch.randn(items, 5, generator=torch.Generator().manual_seed(1))


def test_it_is_the_determinant_of_the_agreements_of_all_layers() -> None:
    """By concatenated codes and slogdet."""
    model = network()
    hidden = model[0](inputs())
    codes = torch.cat([hidden, model[2](hidden.relu())], 1) > 0
    expected = torch.linalg.slogdet(agreement(codes)).logabsdet
    assert naswot_score(model, inputs()) == pytest.approx(expected.item(), abs=1e-9)
    by_pairs = (codes[:, None] == codes[None]).sum(-1).double()
    torch.testing.assert_close(agreement(codes), by_pairs)


def test_the_order_of_the_items_changes_nothing() -> None:
    """The score is one of a set."""
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    assert naswot_score(network(), inputs()[order]) == pytest.approx(
        naswot_score(network(), inputs()), abs=1e-9
    )


def test_the_published_code_functional_relu_trap() -> None:
    """ReLU as a function, a method and in place is seen as the module is."""
    assert naswot_score(Functional(network()), inputs()) == naswot_score(network(), inputs())


def test_equal_patterns_are_singular_and_jitter_helps() -> None:
    """Equal items, and more items than patterns can tell apart."""
    doubled = torch.cat([inputs(4), inputs(4)])
    assert naswot_score(network(), doubled) == -math.inf
    assert math.isfinite(naswot_score(network(), doubled, jitter=1e-3))
    assert naswot_score(network(2), inputs(16)) == -math.inf


def test_bounds() -> None:
    """One item has log(units); N items at most N log(units)."""
    assert naswot_score(network(), inputs(1)) == pytest.approx(math.log(64))
    assert naswot_score(network(), inputs(8)) <= 8 * math.log(64)


def test_convolutions_and_several_inputs() -> None:
    """Every place of a picture is a unit; inputs may be a tuple."""

    class Both(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return torch.relu(x) + nn.functional.relu(y)

    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.LeakyReLU())
    assert naswot_score(model, torch.randn(1, 1, 6, 6)) == pytest.approx(math.log(48))
    assert naswot_score(Both(), (torch.randn(1, 4), torch.randn(1, 4))) == pytest.approx(math.log(8))


def test_what_cannot_be_scored_is_refused() -> None:
    """Each with the reason."""
    with pytest.raises(InputError, match="no gating units found"):
        naswot_score(nn.Sequential(nn.Linear(5, 3), nn.GELU()), inputs())
    with pytest.raises(InputError, match="no item"):
        naswot_score(network(), inputs(0))
    with pytest.raises(InputError, match="one row per item"):
        naswot_score(nn.Sequential(nn.Flatten(0), nn.ReLU()), inputs())
    with pytest.raises(InputError, match="jitter"):
        naswot_score(network(), inputs(), jitter=-1)
    with pytest.raises(InputError, match="no candidate"):
        rank_untrained({}, inputs(), 1)


def test_ranking_averages_initialisations_and_draws_nothing_from_the_caller() -> None:
    """The best first, `keep` of them, the same twice."""
    candidates = {
        str(width): (lambda width=width: nn.Sequential(nn.Linear(5, width), nn.ReLU()))
        for width in (8, 256, 64)
    }
    before = torch.get_rng_state()
    found = rank_untrained(candidates, inputs(), 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert [(one.name, one.units) for one in found] == [("256", 256), ("64", 64)]
    assert found == rank_untrained(candidates, inputs(), 2)
    single = rank_untrained(candidates, inputs(), 1, initialisations=1)
    torch.manual_seed(0)
    assert single[0].score == naswot_score(candidates["256"](), inputs())

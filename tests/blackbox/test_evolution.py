"""The evolution strategy: exact on linear functions, blind to the scale of the metric, safe where it fails."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metricgrad.blackbox import antithetic_directions, centered_ranks, evolution_gradient
from metricgrad.errors import InputError

DIRECTIONS = antithetic_directions(3, 4, torch.Generator().manual_seed(0))
SLOPE = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
NAN = float("nan")


@settings(max_examples=30)
@given(st.floats(1e-3, 10))
def test_exact_on_a_linear_function(sigma: float):
    """(1/M) sum_i (a.e_i) e_i, whatever sigma and the point are."""
    phi = torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64)
    plus, minus = ((phi + sign * sigma * DIRECTIONS) @ SLOPE for sign in (1, -1))
    expected = (DIRECTIONS @ SLOPE) @ DIRECTIONS / len(DIRECTIONS)
    torch.testing.assert_close(
        evolution_gradient(DIRECTIONS, plus, minus, sigma, "none"), expected, rtol=1e-9, atol=1e-9
    )


@settings(max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=8, max_size=8))
def test_ranks_see_only_the_order(values: list[int]):
    """An order-keeping change of the metric changes no bit; a falling one turns the sign."""
    f = torch.tensor(values, dtype=torch.float64)
    found = evolution_gradient(DIRECTIONS, f[:4], f[4:], 0.1)
    changed = (f / 2).exp() + 5
    assert torch.equal(evolution_gradient(DIRECTIONS, changed[:4], changed[4:], 0.1), found)
    torch.testing.assert_close(evolution_gradient(DIRECTIONS, -f[:4], -f[4:], 0.1), -found)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_centered_ranks(values: list[int]):
    """They sum to 0, lie within a half, and equal values share one."""
    ranks = centered_ranks(torch.tensor(values, dtype=torch.float64))
    assert ranks.sum().item() == pytest.approx(0, abs=1e-12)
    assert bool((ranks.abs() <= 0.5).all())
    assert len({*zip(values, ranks.tolist(), strict=True)}) == len({*values})


@pytest.mark.parametrize("shaping", ["centered_rank", "standardize", "none"])
def test_a_failed_pair_is_as_if_it_had_not_been_drawn(shaping):
    """NaN or infinity on one side drops the pair before shaping."""
    plus, minus = (
        torch.tensor([0.3, NAN, 0.9, 0.2]).double(),
        torch.tensor([0.1, 0.5, 0.4, torch.inf]).double(),
    )
    kept = torch.tensor([0, 2])
    torch.testing.assert_close(
        evolution_gradient(DIRECTIONS, plus, minus, 0.1, shaping),
        evolution_gradient(DIRECTIONS[kept], plus[kept], minus[kept], 0.1, shaping),
    )


def test_no_pair_left_is_said():
    """Zero, and a warning."""
    nothing = torch.full((4,), NAN).double()
    with pytest.warns(UserWarning, match="no value for any of the 4 pairs"):
        assert evolution_gradient(DIRECTIONS, nothing, nothing, 0.1).tolist() == [0, 0, 0]


def test_it_climbs():
    """Twenty steps on a hill whose height is only known as a step function."""
    generator = torch.Generator().manual_seed(3)
    goal = torch.tensor([1.0, -1.0, 2.0, 0.0]).double()

    def height(points: torch.Tensor) -> torch.Tensor:
        return (-(points - goal).norm(dim=-1) * 50).round()

    phi = torch.zeros(4, dtype=torch.float64)
    for _ in range(20):
        e = antithetic_directions(4, 8, generator)
        rise = evolution_gradient(e, height(phi + 0.2 * e), height(phi - 0.2 * e), 0.2)
        phi = phi + 0.15 * rise / rise.norm()
    assert (phi - goal).norm().item() < 0.5


@pytest.mark.parametrize("wrong", [{"sigma": 0}, {"shaping": "rank"}, {"plus": torch.zeros(3).double()}])
def test_refused(wrong):
    """Each with a message."""
    zeros = torch.zeros(4).double()
    given_ = {"directions": DIRECTIONS, "plus": zeros, "minus": zeros, "sigma": 0.1}
    with pytest.raises(InputError, match="evolution_gradient"):
        evolution_gradient(**{**given_, **wrong})

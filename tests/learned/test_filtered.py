"""FEDS: the ramp, what it weights, and that it pays nobody for being wrong."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from metricgrad.errors import InputError
from metricgrad.learned import FilteredSurrogate, LearnedSurrogate, filtered_mean, ramp_filter


def test_ramp() -> None:
    """1 up to a, 0 from b, a line between; a sample without a metric has no weight."""
    misses = torch.tensor([0.0, 0.25, 0.625, 1.0, 7.0, math.nan])
    assert ramp_filter(misses, full_below=0.25, zero_above=1.0).tolist() == [1.0, 1.0, 0.5, 0.0, 0.0, 0.0]


WIDTHS = st.floats(1e-3, 1e3)


@given(
    low=st.one_of(st.just(0.0), WIDTHS), width=WIDTHS, dtype=st.sampled_from([torch.float32, torch.float64])
)
def test_ends_are_exact_whatever_rounding_does(low: float, width: float, dtype: torch.dtype) -> None:
    """A miss equal to an end, or off by the last bit of a sum, weighs exactly 1 and 0; between it falls."""
    high = low + low * 1e-3 + width
    ends = torch.tensor([low, high], dtype=dtype)
    exact = [ends, ends * 3 / 3, (ends + 7 * ends) / 8, torch.nextafter(ends, torch.zeros_like(ends))]
    for misses in exact:
        assert ramp_filter(misses, full_below=low, zero_above=high).tolist() == [1.0, 0.0]
    weights = ramp_filter(
        torch.linspace(0, 2 * high, 65, dtype=torch.float64), full_below=low, zero_above=high
    )
    assert bool((weights.diff() <= 0).all()) and weights[0] == 1 and weights[-1] == 0


@given(
    error=st.floats(0, 100),
    high=st.sampled_from([0.1, 0.3, 0.7, 1.0, 1.1]),
    scale=st.sampled_from([0.1, 1.0, 3.0, 7.0]),
)
def test_an_error_at_the_upper_end_is_not_kept(error: float, high: float, scale: float) -> None:
    """Estimates that miss by zero_above have weight 0, on both sides, in any unit, for large errors too."""
    errors = torch.tensor([error, error + high], dtype=torch.float64)
    estimates = (scale * errors.flip(0)).float()
    surrogate = FilteredSurrogate(nn.Identity(), metric_scale=scale, full_below=0.05, zero_above=high)
    assert surrogate.weights(estimates, errors.float()).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (-0.1, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_ends_in_the_wrong_order(ends: tuple[float, float]) -> None:
    """0 <= a < b < infinity: the filter is switched off by not asking it."""
    with pytest.raises(InputError, match=r"full_below|zero_above"):
        ramp_filter(torch.zeros(1), full_below=ends[0], zero_above=ends[1])


def test_a_sample_alone_does_not_grow() -> None:
    """The sum of the weights counts as one at least."""
    assert filtered_mean(torch.tensor([4.0, 1.0]), torch.tensor([0.25, 0.0])).item() == 1.0
    assert filtered_mean(torch.tensor([4.0]), torch.tensor([0.0])).item() == 0.0


def test_weights_are_in_units_of_the_metric_and_carry_no_gradient() -> None:
    """Estimates are scaled, misses are not; only filter_gradient lets the gradient through."""
    estimates, errors = torch.tensor([0.5, 1.0], requires_grad=True), torch.tensor([1.0, 3.0])
    surrogate = FilteredSurrogate(nn.Identity(), metric_scale=0.5, full_below=0.25, zero_above=1.0)
    weights = surrogate.weights(estimates, errors)
    assert weights.tolist() == [1.0, 0.0] and not weights.requires_grad
    leaking = FilteredSurrogate(nn.Identity(), filter_gradient=True)
    assert leaking.weights(estimates, errors).requires_grad


@pytest.mark.parametrize(("where", "same"), [("model", True), ("surrogate", False), ("both", False)])
def test_the_surrogate_step_is_filtered_where_asked(where: str, same: bool) -> None:
    """`model` leaves the fit as LS has it; the others leave out pairs that miss by more than b."""
    z, y, errors = torch.tensor([[1.0], [5.0]]), torch.zeros(2, 1), torch.tensor([1.1, 1.0])
    plain = LearnedSurrogate(nn.Identity(), gradient_penalty_weight=0.0, epsilon=0.0).fit(z, y, errors)
    filtered = FilteredSurrogate(
        nn.Identity(), gradient_penalty_weight=0.0, epsilon=0.0, filter_on=where
    ).fit(z, y, errors)
    assert (plain.fit.item() == filtered.fit.item()) is same
    if not same:
        torch.testing.assert_close(filtered.fit.item(), 0.01, atol=1e-6, rtol=0)


def test_where_nothing_is_filtered_the_loss_is_that_of_ls() -> None:
    """All weights 1: the same mean to the last bit."""
    values = torch.rand(37)
    assert torch.equal(filtered_mean(values, torch.ones(37)), values.sum() / 37)


def test_an_unknown_place_is_refused() -> None:
    """The three are named."""
    with pytest.raises(InputError, match="'model', 'surrogate' or 'both'"):
        FilteredSurrogate(nn.Identity(), filter_on="nothing")

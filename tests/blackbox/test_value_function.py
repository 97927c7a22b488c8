"""What a value function is taught with: values between observations, a loss that stays finite, a direction."""

import pytest
import torch

from metricgrad.blackbox import clear_pairs, combined_direction, interpolated_values, value_loss
from metricgrad.errors import InputError

NAN = float("nan")
TIMES = torch.tensor([0.0, 5.0, 10.0], dtype=torch.float64)
VALUES = torch.tensor([0.1, 0.6, 0.5], dtype=torch.float64)
VARIANCES = torch.tensor([0.01, 0.02, 0.01], dtype=torch.float64)


def test_observations_are_kept():
    """At an observation, its value and its variance, in whatever order they come."""
    found = interpolated_values(TIMES, VALUES, VARIANCES, TIMES)
    torch.testing.assert_close(found.values, VALUES)
    torch.testing.assert_close(found.variances, VARIANCES)
    back = TIMES.flip(0), VALUES.flip(0), VARIANCES.flip(0)
    asked = torch.linspace(-3, 14, 40, dtype=torch.float64)
    for one, other in zip(
        interpolated_values(*back, asked), interpolated_values(TIMES, VALUES, VARIANCES, asked), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_a_failed_observation_is_none():
    """NaN is left out; what remains is interpolated across it."""
    holed = torch.tensor([0.1, NAN, 0.5], dtype=torch.float64)
    assert interpolated_values(TIMES, holed, VARIANCES, TIMES[1:2]).values.item() == pytest.approx(0.3)


def test_equal_observations_stay_finite():
    """Variances of 0 are floored: the loss of a constant metric is finite, with its gradient, in float32 too."""
    f = torch.tensor([0.2, 0.4], requires_grad=True)
    loss = value_loss(f, torch.full((2,), 0.5), torch.zeros(2))
    loss.backward()
    assert loss.item() == pytest.approx(0.05)
    assert bool(f.grad.isfinite().all())


def test_loss_is_least_at_the_truth_without_pairs():
    """0 there; with clear pairs it asks for more distance, but never for another order."""
    assert value_loss(VALUES, VALUES, VARIANCES, pair_weight=0).item() == 0
    sure = torch.full((3,), 1e-6, dtype=torch.float64)
    assert int(clear_pairs(VALUES, sure).sum()) == 3
    wrong = VALUES.flip(0)
    assert value_loss(VALUES, VALUES, sure) < value_loss(wrong, VALUES, sure)


def test_gradient_of_the_loss():
    """Against differences."""
    sure = torch.full((3,), 1e-3, dtype=torch.float64)
    f = torch.tensor([0.3, 0.1, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda one: value_loss(one, VALUES, sure), f)


def test_direction_falls_back_to_the_loss():
    """Without confidence, without a value gradient; lengths of the gradients do not matter."""
    one, other = torch.tensor([3.0, 4.0]).double(), torch.tensor([1.0, 0.0]).double()
    unit = torch.tensor([0.6, 0.8]).double()
    torch.testing.assert_close(combined_direction(one, other, confidence=0), unit)
    torch.testing.assert_close(combined_direction(one, torch.zeros(2).double()), unit)
    torch.testing.assert_close(combined_direction(9 * one, 1e-3 * other), combined_direction(one, other))


@pytest.mark.parametrize(
    "call",
    [
        lambda: interpolated_values(TIMES, VALUES[:2], VARIANCES, TIMES),
        lambda: interpolated_values(TIMES * 0, VALUES, VARIANCES, TIMES),
        lambda: interpolated_values(TIMES, VALUES * NAN, VARIANCES, TIMES),
        lambda: interpolated_values(TIMES, VALUES, -VARIANCES, TIMES),
        lambda: value_loss(VALUES[:0], VALUES[:0], VALUES[:0]),
        lambda: value_loss(VALUES, VALUES, VARIANCES, pair_weight=-1),
        lambda: combined_direction(VALUES, VALUES, confidence=2),
        lambda: combined_direction(VALUES, VALUES[:2]),
    ],
)
def test_refused(call):
    """Each with a message."""
    with pytest.raises(InputError, match="expected"):
        call()

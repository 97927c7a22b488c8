"""The soft steps: values at and far from 0, and slopes that match differences and do not cancel."""

import math

import pytest
import torch

from metricgrad.relax import hard_step, laplace_step, logistic_step
from metricgrad.relax.step import laplace_slope_, laplace_step_, logistic_slope_, logistic_step_
from tests.oracles.soft_ranks import step

PAIRS = {
    "logistic": (logistic_step, logistic_step_, logistic_slope_),
    "laplace": (laplace_step, laplace_step_, laplace_slope_),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_value(kind):
    """Both forms equal the definition, from far below 0 to far above."""
    points = [-700.0, -40.0, -1.0, -1e-9, 0.0, 1e-9, 2.0, 40.0, 700.0]
    expected = torch.tensor([step(point, kind) for point in points], dtype=torch.float64)
    for form in PAIRS[kind][:2]:
        torch.testing.assert_close(
            form(torch.tensor(points, dtype=torch.float64)), expected, rtol=1e-14, atol=0
        )


@pytest.mark.parametrize("kind", PAIRS)
def test_slope(kind, generator):
    """The gradient passes gradcheck, equals the in-place slope and is right at 0."""
    x = torch.randn(40, generator=generator, dtype=torch.float64) * 5
    assert torch.autograd.gradcheck(PAIRS[kind][0], x.clone().requires_grad_())
    x = torch.cat([x, torch.zeros(1).double()]).requires_grad_()
    PAIRS[kind][0](x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, PAIRS[kind][2](x.detach().clone()))
    torch.testing.assert_close(x.grad[-1].item(), {"logistic": 0.25, "laplace": 0.5}[kind])


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("point", [-60.0, -17.0, 17.0, 60.0])
def test_slope_in_float32_does_not_cancel(kind, point):
    """Where step * (1 - step) is 0 in float32, the slope still has its full relative precision."""
    x = torch.tensor([point], requires_grad=True)
    PAIRS[kind][0](x).sum().backward()
    expected = math.exp(-abs(point)) * {"logistic": 1.0, "laplace": 0.5}[kind]
    assert x.grad is not None
    torch.testing.assert_close(x.grad.item(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", PAIRS)
def test_infinity(kind):
    """An infinite difference has step 0 or 1 and slope 0, never NaN."""
    ends = torch.tensor([-torch.inf, torch.inf])
    torch.testing.assert_close(PAIRS[kind][1](ends.clone()), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(PAIRS[kind][2](ends.clone()), torch.zeros(2))


def test_hard_step_is_the_limit(generator):
    """The smooth steps of x / t reach the hard one."""
    x = torch.cat([torch.randn(30, generator=generator, dtype=torch.float64), torch.zeros(2).double()])
    for smooth in (logistic_step, laplace_step):
        torch.testing.assert_close(smooth(x / 1e-6), hard_step(x))

"""What is special to soft domain labels: the least value, extreme logits, shares, the turned gradient."""

import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.losses import domain_mixup_loss
from metricgrad.relax import reverse_gradient


@pytest.mark.parametrize("share", [0.1, 0.5, 0.6, 0.9])
def test_the_released_code_loses_the_soft_label(share: float) -> None:
    """It rounds the share down to 0; here the discriminator is best at sigmoid(score) = share."""
    score = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([score], max_iter=100, tolerance_grad=1e-12, tolerance_change=0)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = domain_mixup_loss(score, torch.tensor([share])).sum()
        loss.backward()
        return loss

    optimiser.step(closure)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(score.sigmoid().item(), share, rtol=1e-6, atol=0)


def test_extreme_logits_are_finite() -> None:
    """The logarithm of a sigmoid of 1000 would be minus infinity."""
    loss = domain_mixup_loss(torch.tensor([1000.0, -1000.0]), 0.25)
    torch.testing.assert_close(loss, torch.tensor([750.0, 250.0]))


@pytest.mark.parametrize("share", [-0.1, 1.1, torch.tensor([0.5]), torch.tensor([0.2, torch.nan])])
def test_shares_that_do_not_fit_are_refused(share: float | torch.Tensor) -> None:
    """Outside of 0 to 1, another number of them, NaN."""
    with pytest.raises(InputError, match="domain_mixup_loss"):
        domain_mixup_loss(torch.zeros(2), share)


def test_the_encoder_learns_the_other_way() -> None:
    """The values pass, the gradient comes back times -scale; what stands behind has its own."""
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    behind = torch.tensor([5.0, 7.0], requires_grad=True)
    passed = reverse_gradient(weight, scale=0.1)
    assert torch.equal(passed, weight)
    (passed * behind).sum().backward()
    torch.testing.assert_close(weight.grad, -0.1 * behind.detach())
    torch.testing.assert_close(behind.grad, weight.detach())
    with pytest.raises(InputError, match="scale"):
        reverse_gradient(weight, scale=-1.0)

"""The head on frozen features: what its dropout drops."""

import pytest
import torch
from torch.testing import assert_close

from metricgrad.tasks.film_head import FilmHead, QuickDropout


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(501, 401), (1, 200_001)])
def test_the_share_that_is_dropped(rate: float, shape: tuple[int, int]) -> None:
    """As many as the rate says, up to five standard errors; the others are scaled so that the mean stays."""
    torch.manual_seed(0)
    kept = QuickDropout(rate)(torch.ones(shape))
    error = 5 * (rate * (1 - rate) / kept.numel()) ** 0.5
    assert_close((kept == 0).double().mean().item(), rate, rtol=0, atol=error)
    assert_close(kept.double().mean().item(), 1.0, rtol=0, atol=error / (1 - rate))
    assert_close(kept.max().item(), 1 / (1 - rate), rtol=1e-3, atol=0)


def test_every_place_is_dropped_alike_and_by_itself() -> None:
    """Four places share 64 random bits; none is favoured, and neighbours do not hang together."""
    torch.manual_seed(0)
    dropped = torch.stack([(QuickDropout(0.3)(torch.ones(9)) == 0).double() for _ in range(1000)])
    assert_close(
        dropped.mean(0), torch.full((9,), 0.3, dtype=torch.double), rtol=0, atol=5 * (0.21 / 1000) ** 0.5
    )
    assert torch.corrcoef(dropped.T).fill_diagonal_(0).abs().max() < 5 / 1000**0.5


def test_the_gradient_is_that_of_what_is_kept() -> None:
    """What is dropped has none; and the same seed drops the same, as a resumed run needs."""
    inputs = torch.rand(7, 5, dtype=torch.double) + 1
    inputs.requires_grad_()
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(QuickDropout(0.5)(inputs))
    assert_close(outputs[0], outputs[1], rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(outputs[0].sum(), inputs)
    assert_close(gradient, outputs[0].detach() / inputs.detach())


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False)])
def test_nothing_is_dropped(rate: float, training: bool) -> None:
    """Without a rate, and in eval; no random number is drawn then."""
    state = torch.get_rng_state()
    inputs = torch.randn(4, 3)
    expected = torch.get_rng_state()
    assert_close(QuickDropout(rate).train(training)(inputs), inputs, rtol=0, atol=0)
    assert_close(torch.get_rng_state(), expected)
    torch.set_rng_state(state)


def test_everything_is_dropped_at_rate_one() -> None:
    """Zeros, not NaN; and no input, no output."""
    assert_close(QuickDropout(1.0)(torch.ones(3)), torch.zeros(3))
    assert QuickDropout(0.5)(torch.ones(0, 4)).shape == (0, 4)


def test_a_feature_that_never_changes_is_not_scaled() -> None:
    """Its deviation of 0 counts as 1."""
    head = FilmHead(torch.zeros(2), torch.tensor([0.0, 2.0]), dim=3)
    assert_close(head.deviation, torch.tensor([1.0, 2.0]))

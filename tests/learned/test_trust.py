"""Trust numbers against loops over pairs, with ties and gaps."""

import math

import numpy as np
import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.learned import agreement, kendall_tau_b, sign_agreement
from metricgrad.learned.trust import concordance


def orders(first: np.ndarray, second: np.ndarray) -> tuple[int, int, int, int]:
    """Concordant, discordant, tied in the first only or both, tied in the second or both, by loops."""
    right = wrong = tied_first = tied_second = 0
    for i in range(len(first)):
        for j in range(i):
            product = (first[i] - first[j]) * (second[i] - second[j])
            right, wrong = right + (product > 0), wrong + (product < 0)
            tied_first += first[i] == first[j]
            tied_second += second[i] == second[j]
    return right, wrong, tied_first, tied_second


@pytest.mark.parametrize("seed", range(20))
def test_orders_equal_the_loops(seed: int) -> None:
    """Kendall's tau-b and the concordance, many ties among them."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 30))
    first, second = rng.integers(0, 6, count).astype(float), rng.integers(0, 4, count).astype(float)
    right, wrong, tied_first, tied_second = orders(first, second)
    pairs = count * (count - 1) // 2
    both = math.sqrt((pairs - tied_first) * (pairs - tied_second))
    tau = (right - wrong) / both if both else math.nan
    order = (right - wrong) / (pairs - tied_second) if pairs > tied_second else math.nan
    np.testing.assert_allclose(kendall_tau_b(first, second), tau, equal_nan=True)
    np.testing.assert_allclose(concordance(first, second), order, equal_nan=True)


def test_a_good_model_can_pass() -> None:
    """With three quarters of the errors 0 tau-b of a perfect order is far below 1; the concordance is not."""
    errors = torch.tensor([0.0] * 75 + [1.0] * 15 + [2.0] * 10)
    found = agreement(errors + torch.linspace(0, 0.2, 100), errors)
    assert found.kendall_tau < 0.7
    assert found.concordance == 1.0 and found.passes(0.7)


def test_an_estimate_must_beat_the_mean() -> None:
    """A right order with wrong values does not pass; nor does a metric that is everywhere the same."""
    errors = torch.tensor([0.0, 1.0, 2.0])
    assert not agreement(errors + 5, errors).passes(0.7)
    assert not agreement(-errors, errors).passes(0.7)
    assert not agreement(torch.rand(3), torch.ones(3)).passes(-1)


def test_samples_without_a_metric_are_left_out() -> None:
    """And where none is left, every number is undefined."""
    errors = torch.tensor([0.0, math.nan, 2.0])
    assert agreement(torch.tensor([0.0, 9.0, 2.0]), errors).mean_absolute_error == 0
    assert math.isnan(agreement(torch.zeros(1), torch.tensor([math.nan])).mean_absolute_error)


def test_bias_of_the_best_decile() -> None:
    """Where the estimate is smallest the metric is not: the surrogate is deceived there."""
    estimates = torch.arange(20.0)
    errors = estimates.clone()
    errors[:2] += 3
    assert agreement(estimates, errors).best_decile_bias == -3.0


def test_sign_agreement() -> None:
    """Unchanged metric: left out; unchanged estimate: disagreement; nothing changed: undefined."""
    before, after = torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([0.5, 1.0, 2.0, 0.0])
    assert sign_agreement(before, after, torch.ones(4), torch.tensor([0.0, 0.0, 2.0, 1.0])) == (2 / 3, 3)
    share, changed = sign_agreement(before, after, torch.ones(4), torch.ones(4))
    assert math.isnan(share) and changed == 0


def test_shapes() -> None:
    """One estimate and one error a sample."""
    with pytest.raises(InputError, match="agreement"):
        agreement(torch.zeros(2), torch.zeros(3))

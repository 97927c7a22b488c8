"""Linear splines: their slope changes, what rebuilds them, and calibrators that keep the order."""

import pytest
import torch
from torch import Tensor

from metricgrad.adapters import (
    LinearSpline,
    MonotoneSpline,
    fit_calibrator,
    from_slope_changes,
    linear_spline,
    nearest_monotone,
    slope_changes,
    sparser,
    tv2,
)
from metricgrad.errors import InputError
from metricgrad.losses import soft_counts_loss
from metricgrad.metrics import f_beta, roc_auc


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_straight_line_has_no_variation() -> None:
    """Nor have two knots."""
    torch.testing.assert_close(tv2(3 - 0.5 * torch.arange(9.0), 0.25), torch.tensor(0.0))
    assert tv2(torch.tensor([1.0, 5.0]), 2) == 0


def test_changes_rebuild_the_coefficients() -> None:
    """Of a thousand knots, where the recurrence's rounding grows."""
    coefficients = drawn(1000)
    found = from_slope_changes(coefficients[:2], slope_changes(coefficients, 0.1), 0.1)
    torch.testing.assert_close(found, coefficients, rtol=0, atol=1e-8)
    single = from_slope_changes(coefficients[:2].float(), slope_changes(coefficients, 0.1).float(), 0.1)
    assert single.dtype == torch.float32


def test_values_are_those_of_relus() -> None:
    """c0 + slope (x - left) + the sum of change_k relu(x - knot_k)."""
    coefficients, x = drawn(7), 3 * drawn(200, seed=1)
    slope = (coefficients[1] - coefficients[0]) / 0.5
    expected = coefficients[0] + slope * (x + 1.5)
    for place, change in enumerate(slope_changes(coefficients, 0.5)):
        expected = expected + change * (x + 1.5 - 0.5 * (place + 1)).relu()
    torch.testing.assert_close(linear_spline(x, coefficients, left=-1.5, step=0.5), expected)


def test_slopes_on_and_beyond_the_knots() -> None:
    """The right piece on a knot, the last piece on the last one, the end pieces beyond; NaN stays NaN."""
    coefficients = torch.tensor([0.0, 1.0, 3.0, 0.0])
    x = torch.tensor([-9.0, 0.0, 1.0, 2.0, 3.0, 50.0, torch.nan], requires_grad=True)
    values = linear_spline(x, coefficients, left=0, step=1)
    values[:-1].sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([1.0, 1.0, 2.0, -3.0, -3.0, -3.0, 0.0]))
    torch.testing.assert_close(values[[0, 5]].detach(), torch.tensor([-9.0, -141.0]))
    assert values[-1].isnan()
    far = linear_spline(torch.tensor([torch.inf, -torch.inf]), coefficients, left=0, step=1)
    assert far.tolist() == [-torch.inf, -torch.inf]


def test_gradients() -> None:
    """float64 gradients are those of differences, of x and coefficients, away from the kinks."""
    x, coefficients = drawn(20).requires_grad_(), drawn(6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, c: linear_spline(x, c, left=-1, step=0.3), (x, coefficients))
    assert torch.autograd.gradcheck(lambda c: tv2(c, 0.3), coefficients)
    flat = torch.zeros(5, requires_grad=True)
    tv2(flat, 1).backward()
    assert flat.grad is not None
    assert not flat.grad.any()  # the subgradient at 0


def test_sparser_leaves_fewer_knots_and_changes_a_little() -> None:
    """Small changes vanish exactly enough, and the function moves by little."""
    coefficients = from_slope_changes(drawn(2), torch.tensor([0.05, 1.0, -0.02, -2.0, 0.01]).double(), 0.5)
    changes = slope_changes(sparser(coefficients, 0.5, 0.1), 0.5)
    expected = torch.tensor([0.0, 0.9, 0.0, -1.9, 0.0], dtype=torch.float64)
    torch.testing.assert_close(changes, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(sparser(coefficients, 0.5, 0), coefficients)


def test_nearest_monotone_is_scikit_learns_isotonic_fit() -> None:
    """Pooling, ties included."""
    from sklearn.isotonic import isotonic_regression

    for seed in range(20):
        values = drawn(1 + seed, seed=seed).round(decimals=1)
        expected = torch.tensor(isotonic_regression(values.numpy()))
        torch.testing.assert_close(nearest_monotone(values), expected)


@pytest.mark.parametrize("coefficients", [torch.zeros(0), torch.zeros(1), torch.zeros(2, 2)])
def test_fewer_than_two_knots_are_refused(coefficients) -> None:
    """By every function of the coefficients."""
    with pytest.raises((InputError, TypeError), match=r"coefficients|annotat"):
        linear_spline(torch.zeros(3), coefficients, left=0, step=1)
    with pytest.raises(InputError, match="knots is 1"):
        LinearSpline(1)


def test_an_activation_learns_and_its_penalty_leaves_few_knots() -> None:
    """It begins as a leaky ReLU, fits |x|, and keeps fewer bends with the penalty."""
    x = torch.linspace(-4, 4, 401)
    torch.testing.assert_close(LinearSpline()(x), torch.nn.functional.leaky_relu(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(LinearSpline(negative_slope=1)(x), x, rtol=0, atol=1e-6)

    def trained(weight: float) -> LinearSpline:
        module = LinearSpline(21)
        optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
        noisy = x.abs() + 0.3 * drawn(401).float()
        for _ in range(400):
            optimiser.zero_grad()
            ((module(x) - noisy).square().mean() + weight * module.penalty()).backward()
            optimiser.step()
        return module

    plain, few = trained(0.0), trained(0.01)
    assert few.penalty() < 0.6 * plain.penalty()
    assert (few(x) - x.abs()).abs().mean() < (plain(x) - x.abs()).abs().mean()


def test_any_parameters_of_the_monotone_spline_never_decrease() -> None:
    """And the area under the ROC curve stays."""
    spline = MonotoneSpline(-2, 0.2, 21)
    scores, targets = 2 * drawn(500), (drawn(500, seed=1) > 0.8).long()
    torch.testing.assert_close(spline(scores), scores)
    spline.slopes.data = 3 * drawn(20, seed=2)
    assert (spline.coefficients.diff() >= 0).all()
    torch.testing.assert_close(roc_auc(spline(scores).detach(), targets), roc_auc(scores, targets))


def test_a_calibrator_calibrates() -> None:
    """Scores that are too sure and bent come near to the log odds that made the targets; the order stays."""
    truth = 2 * drawn(4000)
    targets = (torch.rand(4000, generator=torch.Generator().manual_seed(3)) < truth.sigmoid()).long()
    scores = 2 * truth.sign() * truth.abs().pow(1.3) + 1
    spline = fit_calibrator(scores[:2000], targets[:2000])
    before = torch.nn.functional.binary_cross_entropy_with_logits(scores[2000:], targets[2000:].double())
    after = torch.nn.functional.binary_cross_entropy_with_logits(
        spline(scores[2000:]), targets[2000:].double()
    )
    best = torch.nn.functional.binary_cross_entropy_with_logits(truth[2000:], targets[2000:].double())
    assert after - best < 0.05 * (before - best)
    torch.testing.assert_close(roc_auc(spline(scores), targets), roc_auc(scores, targets))
    assert not any(value.requires_grad for value in spline.parameters())


def test_a_calibrator_for_f_moves_the_scores_over_the_cut() -> None:
    """With a loss of counts, F of the fixed cut at 0 rises."""
    truth = 2 * drawn(2000) - 3
    targets = (torch.rand(2000, generator=torch.Generator().manual_seed(3)) < truth.sigmoid()).long()
    spline = fit_calibrator(
        truth, targets, loss=lambda scores, labels: soft_counts_loss(scores, labels.long())
    )
    assert f_beta((spline(truth) > 0).long(), targets) > f_beta((truth > 0).long(), targets) + 0.05


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (torch.arange(209.0), torch.zeros(209), "209 items for 21 knots.*at most 20 knots"),
        (torch.ones(300), torch.zeros(300), "all scores are 1"),
        (torch.full((300,), torch.nan), torch.zeros(300), "NaN"),
        (torch.arange(300.0), torch.full((300,), 2), "other values than 0 and 1"),
        (torch.arange(300.0), torch.zeros(299), "one of each"),
    ],
)
def test_what_no_calibrator_can_be_fitted_to(scores, targets, message) -> None:
    """Each is refused with what to do."""
    with pytest.raises(InputError, match=message):
        fit_calibrator(scores, targets)

"""The loss of two decodes: epsilon, normalisation, margin, noise, memory, and what it refuses."""

import math

import pytest
import torch
from torch import Tensor

from metricgrad.direct import DirectLoss, Interleaving
from metricgrad.direct.brackets import bracket
from metricgrad.direct.direct_loss import REFIT
from metricgrad.direct.epsilon import displacement, fitted_epsilon
from metricgrad.errors import InputError

RAW_NEG = "ignore:DirectLoss. update='neg' on raw scores"


def batch(seed: int = 0, queries: int = 6, items: int = 12) -> tuple[Tensor, Tensor]:
    """Scores and relevance; every query has both kinds."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(queries, items, generator=generator, dtype=torch.float64)
    targets = (torch.rand(queries, items, generator=generator) < 0.4).long()
    targets[:, 0], targets[:, 1] = 1, 0
    return scores, targets


def slopes(leaf: Tensor) -> Tensor:
    """Its gradient, which it must have."""
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.filterwarnings(RAW_NEG)
def test_value_brackets_the_loss():
    """l_neg <= loss <= l_pos, the hinge above it; two is the mean of both sides."""
    scores, targets = batch()
    values = {
        update: DirectLoss(Interleaving(), update=update, epsilon=0.7).per_unit(scores, targets)[0]
        for update in ("two", "pos", "neg", "hinge")
    }
    lower, loss, upper = DirectLoss(Interleaving(), epsilon=0.7).bracket(scores, targets)
    torch.testing.assert_close((values["neg"], values["pos"]), (lower, upper))
    torch.testing.assert_close(values["two"], (lower + upper) / 2)
    for smaller, larger in ((lower, loss), (loss, upper), (loss, values["hinge"])):
        assert (smaller <= larger + 1e-12).all()


@pytest.mark.parametrize("update", ["two", "pos", "neg"])
def test_displacement_does_not_decrease(update: str):
    """D(epsilon) is a rising staircase, and the fitted epsilon is the first stair that is high enough."""
    scores, targets = batch(1)
    structure = Interleaving("ndcg")

    def apart(epsilon: float) -> float:
        return displacement(
            bracket(structure, update, scores, targets, epsilon=epsilon), structure, targets, None, 1.0
        )

    stairs = [apart(10 ** (power / 4)) for power in range(-12, 12)]
    assert stairs == sorted(stairs)
    assert stairs[0] < stairs[-1]
    found = fitted_epsilon(apart, 1.0, target=0.1, far=1e9)
    goal = min(0.1, apart(1e9) / 2)
    assert apart(found * (1 + 1e-5)) >= goal > apart(found * (1 - 1e-5))
    # from wherever the search begins
    for start in (1e-3, 50.0):
        assert fitted_epsilon(apart, start, target=0.1, far=1e9) == pytest.approx(found, rel=1e-5)


def test_epsilon_fits_itself_now_and_then():
    """At the first call and every 50th, slowly after the first; not in evaluation."""
    scores, targets = batch(2)
    criterion = DirectLoss(Interleaving())
    criterion(scores, targets)
    first = criterion.epsilon.item()
    for _ in range(REFIT - 1):
        criterion(10 * scores, targets)
    assert criterion.epsilon.item() == first
    criterion(10 * scores, targets)
    # ten times the scores need ten times the epsilon, of which a tenth of the logarithm arrives
    assert criterion.epsilon.item() == pytest.approx(first * 10**0.1, rel=1e-4)
    calls = criterion.calls.item()
    criterion.eval()(scores, targets)
    assert criterion.calls.item() == calls
    assert criterion.seen["epsilon"] == criterion.epsilon.item()


def test_nothing_to_fit():
    """A perfect ranking cannot be bettered: "neg" keeps its epsilon."""
    scores, targets = torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([[1, 1, 0]])
    criterion = DirectLoss(Interleaving(), update="neg", normalize="std")
    assert criterion(scores, targets).item() == 0
    assert criterion.epsilon.item() == 1


def test_state_is_kept():
    """A loss that continues from another's state does what that one would have done, memory included."""
    criterion, other = (DirectLoss(Interleaving(), memory=2) for _ in range(2))
    for seed in range(3):
        criterion(*batch(seed))
    other.load_state_dict(criterion.state_dict())
    torch.testing.assert_close(other(*batch(4)), criterion(*batch(4)), atol=0, rtol=0)
    assert len(other.past) == 2


def test_memory_joins_the_ranking():
    """Past scores compete, without a gradient."""
    (old, old_targets), (new, new_targets) = batch(0), batch(1)
    criterion = DirectLoss(Interleaving(), epsilon=0.5, memory=1)
    criterion(old, old_targets)
    free = new.clone().requires_grad_()
    value = criterion(free, new_targets)
    value.backward()
    joined = torch.cat([new, old], 1).requires_grad_()
    whole = DirectLoss(Interleaving(), epsilon=0.5)(joined, torch.cat([new_targets, old_targets], 1))
    whole.backward()
    torch.testing.assert_close((value, slopes(free)), (whole, slopes(joined)[:, : new.shape[1]]))
    with pytest.raises(InputError, match="2 queries came and 6 before"):
        criterion(new[:2], new_targets[:2])


@pytest.mark.parametrize("normalize", ["std", "unit"])
def test_normalised_scores(normalize: str):
    """The scale of the scores does not matter; the gradient passes through; flat scores stay as they are."""
    scores, targets = batch(3)
    scores = scores - scores.mean(1, keepdim=True) if normalize == "unit" else scores
    criterion = DirectLoss(Interleaving(), epsilon=0.5, normalize=normalize)
    for factor in (1e3, 1e-9, 1e-140, 1e-300, 1e100, 1e180, 1e300):
        free = (scores * factor).requires_grad_()
        value = criterion(free, targets)
        torch.testing.assert_close(criterion(scores, targets), value)
        value.backward()
        plain = scores.clone().requires_grad_()
        criterion(plain, targets).backward()
        torch.testing.assert_close(slopes(free) * factor, slopes(plain))
    assert torch.autograd.gradcheck(lambda free: criterion(free, targets), scores.requires_grad_())
    flat = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    criterion(flat, torch.tensor([[1, 0, 0], [0, 1, 0]])).backward()
    assert torch.isfinite(slopes(flat)).all()


def test_padding_changes_nothing():
    """Masked items have no gradient, and whatever stands there does not matter, in any update."""
    scores, targets = batch(5)
    mask = torch.ones_like(targets, dtype=torch.bool)
    mask[:, -4:] = False
    for update in ("two", "pos", "neg", "hinge", "perceptron", "blackbox", "identity"):
        criterion = DirectLoss(Interleaving(), update=update, epsilon=0.5, normalize="std")
        free = scores.clone().masked_fill(~mask, torch.nan).requires_grad_()
        value = criterion(free, targets, mask)
        value.backward()
        short = scores[:, :-4].clone().requires_grad_()
        expected = criterion(short, targets[:, :-4])
        expected.backward()
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(slopes(free)[:, :-4], slopes(short))
        assert (slopes(free)[:, -4:] == 0).all()


def test_undefined_units_are_left_out():
    """A query with one kind only has no loss; a batch of such queries is a 0 with a gradient of 0."""
    scores, targets = batch(6)
    targets[2:] = 1
    criterion = DirectLoss(Interleaving(), epsilon=0.5)
    free = scores.clone().requires_grad_()
    value = criterion(free, targets)
    value.backward()
    torch.testing.assert_close(value.detach(), criterion(scores[:2], targets[:2]))
    assert (slopes(free)[2:] == 0).all()
    assert criterion.seen["undefined"] == 0  # of the last call
    alone = scores.clone().requires_grad_()
    nothing = criterion(alone, torch.ones_like(targets))
    nothing.backward()
    assert nothing.item() == 0
    assert (slopes(alone) == 0).all()
    assert criterion.seen["undefined"] == len(scores)
    assert criterion(scores[:0], targets[:0]).item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision(dtype: torch.dtype):
    """Decodes are float64; the value is float32, the gradient of the outputs' type."""
    scores, targets = batch(7)
    free = scores.to(dtype).requires_grad_()
    value = DirectLoss(Interleaving(), epsilon=0.5)(free, targets)
    value.backward()
    assert (value.dtype, slopes(free).dtype) == (torch.float32, dtype)
    wide = free.detach().double().requires_grad_()
    DirectLoss(Interleaving(), epsilon=0.5)(wide, targets).backward()
    torch.testing.assert_close(slopes(free).double(), wide.grad, atol=0, rtol=torch.finfo(dtype).eps)


def test_noise_is_drawn_once():
    """The same noise stands in both decodes: the value still brackets, and a seed repeats it."""
    scores, targets = batch(8)
    criterion = DirectLoss(Interleaving(), epsilon=0.5, noise=0.3)
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append(criterion(scores, targets).item())
    assert values[0] == values[1] != values[2]
    assert 0 <= values[0] <= 2


def test_margin_makes_the_ranking_harder():
    """Positives are lowered and negatives raised by half of it."""
    scores, targets = batch(9)
    shifted = scores + 0.4 * (0.5 - targets.double())
    torch.testing.assert_close(
        DirectLoss(Interleaving(), epsilon=0.5, margin=0.4)(scores, targets),
        DirectLoss(Interleaving(), epsilon=0.5)(shifted, targets),
    )


def test_descent_lowers_the_loss():
    """Free scores that follow the two-sided gradient reach the perfect ranking."""
    scores, targets = batch(10)
    free = scores.clone().requires_grad_()
    criterion = DirectLoss(Interleaving("average_precision"), epsilon=5.0)
    optimiser = torch.optim.Adam([free], lr=0.2)
    for _ in range(50):
        optimiser.zero_grad()
        criterion(free, targets).backward()
        optimiser.step()
    assert criterion.bracket(free.detach(), targets).loss.max() < 0.02


def test_shrinking_is_warned_of():
    """Updates that a collapse lowers say so on raw scores, and not on normalised ones."""
    for update in ("neg", "blackbox", "identity"):
        with pytest.warns(RuntimeWarning, match="lowered by shrinking"):
            DirectLoss(Interleaving(), update=update)
        DirectLoss(Interleaving(), update=update, normalize="std")
    with pytest.warns(RuntimeWarning, match="without any gradient"):
        DirectLoss(Interleaving(), update="pos", margin=0.1, normalize="std")


class _OneSided:
    """A structure that only solves the negative sign."""

    signs = frozenset({-1})
    exact = True


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"update": "both"}, "expected a known update"),
        ({"epsilon": 0.0}, "epsilon is 0.0; expected a finite number > 0"),
        ({"epsilon": -1}, "epsilon is -1"),
        ({"epsilon": math.nan}, "epsilon is nan"),
        ({"epsilon": "fast"}, "expected a number > 0, or 'auto'"),
        ({"normalize": "max"}, "expected 'std', 'unit' or None"),
        ({"margin": -1}, "margin is -1"),
        ({"margin": 0.1, "update": "pos"}, "expected normalize='std' or 'unit'"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"memory": 1.5}, "memory is 1.5"),
        ({"moved": 1.0}, "moved is 1.0"),
    ],
)
def test_bad_settings(settings: dict, message: str):
    """Refused at construction."""
    with pytest.raises(InputError, match=message):
        DirectLoss(Interleaving(), **settings)


def test_unsolved_signs():
    """An update that a structure does not solve exactly is refused, and the ones that it does are named."""
    for update in ("two", "pos", "hinge"):
        with pytest.raises(InputError, match=r"sign \+1, which _OneSided does not solve exactly.*'neg'"):
            DirectLoss(_OneSided(), update=update)
    for update in ("perceptron", "blackbox", "identity"):
        with pytest.raises(InputError, match="_OneSided has none"):
            DirectLoss(_OneSided(), update=update)
    with pytest.raises(InputError, match="no slope in the ranks"):
        DirectLoss(Interleaving("hit_at_k", k=1), update="blackbox", normalize="std")(*batch())


def test_moved_pairs_are_counted():
    """`moved` is the share of pairs that change order between the two decodes."""
    scores, targets = torch.tensor([[0.2, 0.9, 0.1]]), torch.tensor([[1, 0, 0]])
    criterion = DirectLoss(Interleaving("average_precision"), epsilon=2.0)
    criterion(scores, targets)  # the positive goes from the end to the front: both of its pairs
    assert criterion.seen["moved"] == 1
    small = DirectLoss(Interleaving("average_precision"), epsilon=1e-6)
    small(scores, targets)
    assert (small.seen["moved"], small.seen["zero"]) == (0, 1)

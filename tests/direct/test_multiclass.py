"""One class of many under a table of costs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metricgrad.direct.brackets import bracket
from metricgrad.direct.brute_force import BruteForce
from metricgrad.direct.direct_loss import DirectLoss
from metricgrad.direct.multiclass import Multiclass
from metricgrad.errors import InputError
from tests.direct.test_brute_force import hold


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores, targets, costs and mask of up to three samples; ties abound."""
    samples, classes = draw(st.integers(1, 3)), draw(st.integers(1, 4))

    def numbers(low: int, high: int, *shape: int) -> Tensor:
        count = int(torch.tensor(shape).prod())
        drawn = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
        return torch.tensor(drawn).reshape(shape)

    scores, cost = numbers(-2, 2, samples, classes).double() / 2, numbers(-1, 3, classes, classes).double()
    targets = numbers(0, classes - 1, samples)
    mask = numbers(0, 2, samples, classes) > 0
    return scores, targets, cost, mask.scatter(1, targets[:, None], True)


@given(cases(), st.booleans())
@settings(max_examples=25)
def test_equals_enumeration(case: tuple[Tensor, Tensor, Tensor, Tensor], with_costs: bool):
    """Both signs, ties, masks, costs of any sign and on the diagonal."""
    scores, targets, cost, mask = case
    table = cost if with_costs else 1 - torch.eye(len(cost), dtype=torch.float64)

    def classes(unit: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        target, there = unit
        return torch.eye(*shape, dtype=torch.float64)[there], table[target][there]

    structure = Multiclass(cost) if with_costs else Multiclass()
    hold(structure, BruteForce(classes), scores, targets, mask)


def test_hinge_is_the_multiclass_hinge():
    """Max (s + cost) - s[target]: with equal costs, torch's own up to where it takes the sum."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(5, (20,), generator=generator)
    values, _ = DirectLoss(Multiclass(), update="hinge").per_unit(scores, targets)
    own = scores.gather(1, targets[:, None])
    others = (scores + 1).scatter(1, targets[:, None], own)
    torch.testing.assert_close(values, (others.amax(1) - own[:, 0]))


def test_black_box_is_the_negative_update():
    """The loss is linear in the output: gradients are equal; the value is the cost of the prediction."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    targets = torch.randint(4, (50,), generator=generator)
    structure = Multiclass(torch.rand(4, 4, generator=generator))
    for strength in (0.3, 3.0):
        value, slopes = structure.blackbox(scores, targets, strength=strength)
        found = bracket(structure, "neg", scores, targets, epsilon=strength)
        torch.testing.assert_close(slopes, found.gradient)
        torch.testing.assert_close(value, structure.task_loss(structure.predict(scores)[0], targets))
        assert (slopes != 0).any()
        assert (found.value <= value + 1e-12).all()


def test_costs_steer_the_decision():
    """Free scores that follow the gradient, under noise, end at the class that costs least, not at the likeliest."""
    torch.manual_seed(2)
    targets = torch.tensor([0] * 60 + [1] * 40)
    cost = torch.tensor([[0.0, 1.0], [5.0, 0.0]])
    scores = torch.tensor([0.3, 0.0], dtype=torch.float64, requires_grad=True)
    criterion = DirectLoss(Multiclass(cost), epsilon=0.1, noise=0.5)
    for _ in range(20):
        (slope,) = torch.autograd.grad(criterion(scores.expand(100, 2), targets), scores)
        scores = (scores - 0.1 * slope).detach().requires_grad_()
    assert scores[1] > scores[0] + 0.5


SCORES, TARGETS = torch.zeros(2, 3), torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("scores", "targets", "mask", "message"),
    [
        (SCORES[0], TARGETS, None, r"floating-point tensor \(sample, class\)"),
        (SCORES[:, :0], TARGETS, None, "at least one class"),
        (SCORES, TARGETS[:1], None, "for 2 samples"),
        (SCORES, TARGETS.double(), None, "a class number"),
        (SCORES, TARGETS.bool(), None, "a class number"),
        (SCORES, TARGETS + 1, None, "targets hold 3; expected class numbers from 0 to 2"),
        (SCORES, TARGETS - 1, None, "targets hold -1"),
        (SCORES / 0, TARGETS, None, "NaN"),
        (SCORES, TARGETS, torch.tensor([[True, True, False]] * 2), "the target 2 of sample 1 is masked"),
    ],
)
def test_bad_input(scores: Tensor, targets: Tensor, mask: Tensor | None, message: str):
    """What came and what was expected."""
    with pytest.raises(InputError, match=message):
        DirectLoss(Multiclass(), epsilon=1.0)(scores, targets, mask)


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (torch.zeros(2, 3), "as many rows as columns"),
        (torch.zeros(2), "class, class"),
        (torch.tensor([[0.0, torch.nan], [1.0, 0.0]]), "cost has NaN"),
    ],
)
def test_bad_costs(cost: Tensor, message: str):
    """Refused at construction; the number of classes at the first call."""
    with pytest.raises(InputError, match=message):
        Multiclass(cost)
    with pytest.raises(InputError, match="costs of 2 classes"):
        Multiclass(torch.zeros(2, 2)).defined(SCORES, TARGETS)

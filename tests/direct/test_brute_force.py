"""Every output, one by one; and what the other structures are held to with it."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metricgrad._types import Structure
from metricgrad.direct.brute_force import BruteForce
from metricgrad.direct.direct_loss import DirectLoss
from metricgrad.errors import InputError

EPSILONS = (0.7, 50.0)


def hold(structure: Structure, every: BruteForce, scores: Tensor, targets: Any, mask: Tensor | None = None):
    """Hold a structure to all its outputs: values of every decode, losses of the outputs, the bracket.

    The outputs are listed by `(target, mask)` of a unit; those without a loss are not looked at.
    """
    there = torch.ones(scores.shape[:2], dtype=torch.bool) if mask is None else mask
    units, close = list(zip(targets, there, strict=True)), {"atol": 1e-9, "rtol": 1e-12}
    defined = structure.defined(scores, targets, mask=mask)
    prediction, best = structure.predict(scores, targets=targets, mask=mask)
    mean, expected = every.predict(scores, targets=units)
    torch.testing.assert_close(
        (prediction[defined], best[defined]), (mean[defined], expected[defined]), **close
    )
    loss = structure.task_loss(prediction, targets, mask=mask)
    for epsilon, sign in itertools.product(EPSILONS, sorted(structure.signs)):
        output, value = structure.augment(scores, targets, epsilon=epsilon, sign=sign, mask=mask)
        _, expected = every.augment(scores, units, epsilon=epsilon, sign=sign)
        torch.testing.assert_close(value[defined], expected[defined], **close)
        of_output = structure.task_loss(output, targets, mask=mask)
        torch.testing.assert_close(of_output[defined], every.task_loss(output, units)[defined], **close)
        feature = structure.gradient(output, targets, mask=mask)
        made_up = (feature * scores).flatten(1).sum(1) + sign * epsilon * of_output
        torch.testing.assert_close(made_up[defined], value[defined], **close)
        side = sign * (value - best) / epsilon
        assert (sign * (side - loss)[defined] >= -1e-9).all()


def sets(unit: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Every set of items, its loss the share of items that it has wrong; the mask is not looked at."""
    features = torch.tensor(list(itertools.product((0.0, 1.0), repeat=shape[0])), dtype=torch.float64)
    return features, (features != unit[0]).double().mean(1)


def pairs(unit: Any, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Outputs of a score matrix: one of its two rows, or of its two columns."""
    features = torch.zeros(4, 2, 2, dtype=torch.float64)
    features[0, 0] = features[1, 1] = features[2, :, 0] = features[3, :, 1] = 1
    return features, torch.tensor(unit, dtype=torch.float64)


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5]), min_size=3, max_size=3), st.integers(0, 7))
@settings(max_examples=15)
def test_sets(row: list[float], number: int):
    """Independent items are decided one by one: the scores of both decodes are known in closed form."""
    scores = torch.tensor([row], dtype=torch.float64)
    target = torch.tensor([[number >> item & 1 for item in range(3)]])
    structure = BruteForce(sets)
    units = [(target[0], None)]
    statistic, value = structure.predict(scores, targets=units)
    torch.testing.assert_close(statistic, (scores > 0).double() + (scores == 0).double() / 2)
    torch.testing.assert_close(value, scores.clamp(min=0).sum(1))
    wrong = (target == 0).double()  # the loss of taking an item, in thirds; of leaving it, one minus that
    for epsilon, sign in itertools.product(EPSILONS, (1, -1)):
        price = sign * epsilon / 3
        expected = torch.maximum(scores + price * wrong, price * (1 - wrong)).sum(1)
        torch.testing.assert_close(structure.augment(scores, units, epsilon=epsilon, sign=sign)[1], expected)


def test_loss_of_ties():
    """A mean feature has the mean loss of the outputs that it is the mean of, and of no others."""

    def outputs(target: Any, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        features, _ = sets((torch.zeros(2), torch.ones(2)), shape)
        return features, torch.tensor([0.25, 9.0, 0.75, 9.0])

    structure = BruteForce(outputs)
    scores = torch.tensor([[0.0, -1.0]], dtype=torch.float64)
    statistic, _ = structure.predict(scores, targets=[None])
    torch.testing.assert_close(statistic, torch.tensor([[0.5, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(structure.task_loss(statistic, [None]), torch.tensor([0.5]).double())


def test_rounding_is_a_tie():
    """Sums that differ in their last bit are equal."""
    scores = torch.tensor([[[0.1, 0.2], [0.3, 0.0]]], dtype=torch.float64)
    statistic, _ = BruteForce(pairs).predict(scores + 1e-17, targets=[[0.0, 1.0, 2.0, 3.0]])
    torch.testing.assert_close(
        statistic[0], torch.tensor([[0.0, 0.0], [0.0, 0.0]]).double() + pairs([0.0] * 4, (2, 2))[0][2]
    )
    scores[0, 0, 0] = scores[0, 1, 1] = 0.1 + 0.2 - 0.3  # 5.6e-17
    scores[0, 0, 1] = scores[0, 1, 0] = 0.0
    statistic, _ = BruteForce(pairs).predict(scores, targets=[[0.0, 1.0, 2.0, 3.0]])
    torch.testing.assert_close(statistic, torch.full((1, 2, 2), 0.5, dtype=torch.float64))


def test_updates():
    """Any structure of one's own goes into the loss; matrices of scores do, too."""
    scores = torch.tensor([[[2.0, 0.0], [0.5, 0.0]]] * 2, requires_grad=True)
    targets = [[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]]
    DirectLoss(BruteForce(pairs), epsilon=4.0).per_unit(scores, targets)[0].sum().backward()
    expected = torch.zeros(2, 2, 2)
    # the first column stands against the second row, then the first column against the first row
    expected[0], expected[1] = (
        torch.tensor([[1.0, 0.0], [0.0, -1.0]]),
        torch.tensor([[0.0, -1.0], [1.0, 0.0]]),
    )
    torch.testing.assert_close(scores.grad, expected / 8)


def test_no_outputs():
    """A unit without outputs has no loss."""
    structure = BruteForce(lambda target, shape: (torch.ones(target, *shape), torch.ones(target)))
    scores = torch.zeros(2, 3)
    assert structure.defined(scores, [0, 1]).tolist() == [False, True]
    values, _ = DirectLoss(structure, epsilon=1.0).per_unit(scores, [0, 1])
    torch.testing.assert_close(values, torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize(
    ("scores", "targets", "mask", "message"),
    [
        (torch.zeros(2, 3), [0], None, r"\(2, 3\) of torch.float32 for 1 targets"),
        (torch.zeros(3), [0, 0, 0], None, "scores are"),
        (torch.full((1, 3), torch.nan), [0], None, "NaN"),
        (torch.zeros(1, 3), [0], torch.ones(1, 3, dtype=torch.bool), "expected none: let `outputs` list"),
        (torch.zeros(1, 4), [0], None, r"expected \[output, 4\]"),
    ],
)
def test_bad_input(scores: Tensor, targets: list[int], mask: Tensor | None, message: str):
    """What came and what was expected."""
    structure = BruteForce(lambda target, shape: (torch.ones(2, 3), torch.ones(2)))
    with pytest.raises(InputError, match=message):
        structure.defined(scores, targets, mask=mask)

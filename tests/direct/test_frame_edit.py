"""A symbol for every frame under the edit distance."""

import functools
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metricgrad.direct.brute_force import BruteForce
from metricgrad.direct.direct_loss import DirectLoss
from metricgrad.direct.frame_edit import FrameEdit
from metricgrad.errors import InputError
from tests.direct.test_brute_force import hold


@functools.cache
def distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """The unit-cost edit distance, by its definition."""
    if not one or not other:
        return len(one) + len(other)
    kept = distance(one[1:], other[1:]) + (one[0] != other[0])
    return min(kept, distance(one[1:], other) + 1, distance(one, other[1:]) + 1)


def strings(normalize_length: bool) -> BruteForce:
    """Every string of a symbol for each frame that is there."""

    def listed(unit: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        reference, there = tuple(symbol for symbol in unit[0].tolist() if symbol >= 0), unit[1]
        every = list(itertools.product(range(shape[1]), repeat=int(there.sum())))
        features = torch.zeros(len(every), *shape, dtype=torch.float64)
        symbols = torch.tensor(every, dtype=torch.int64).reshape(len(every), -1)
        features[:, there] = torch.nn.functional.one_hot(symbols, shape[1]).double()
        unit_of = max(1, len(reference)) if normalize_length else 1
        losses = [distance(one, reference) / unit_of for one in every]
        return features, torch.tensor(losses, dtype=torch.float64)

    return BruteForce(listed)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, references and mask of up to three samples; ties abound, strings may be empty."""
    samples, frames, classes, length = (draw(st.integers(low, 3)) for low in (1, 0, 1, 0))
    count = samples * frames * classes
    scores = draw(st.lists(st.integers(-2, 2), min_size=count, max_size=count))
    references = torch.full((samples, length), -1)
    for sample in range(samples):
        symbols = draw(st.lists(st.integers(0, classes - 1), max_size=length))
        references[sample, : len(symbols)] = torch.tensor(symbols, dtype=torch.int64)
    there = draw(
        st.lists(st.sampled_from([True, True, False]), min_size=samples * frames, max_size=samples * frames)
    )
    mask = torch.tensor(there, dtype=torch.bool).reshape(samples, frames)
    return torch.tensor(scores, dtype=torch.float64).reshape(samples, frames, classes) / 2, references, mask


@pytest.mark.parametrize(("normalize_length", "automaton"), [(False, True), (True, True), (False, False)])
@given(case=cases())
@settings(max_examples=20)
def test_equals_enumeration(normalize_length: bool, automaton: bool, case: tuple[Tensor, Tensor, Tensor]):
    """Every sign that is solved: ties, frames left out, empty strings and references."""
    structure = FrameEdit(normalize_length=normalize_length, automaton=automaton)
    assert structure.signs == ({1, -1} if automaton else {-1})
    scores, references, mask = case
    hold(structure, strings(normalize_length), scores, references, mask)


def test_scores_without_ties():
    """Longer references, where ways are given up: the largest of all strings of four frames."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(12, 4, 4, generator=generator, dtype=torch.float64)
    references = torch.randint(4, (12, 6), generator=generator)
    references[:6, 3:] = -1
    units = [(reference, torch.ones(4, dtype=torch.bool)) for reference in references]
    every, structure = strings(False), FrameEdit(automaton=True)
    for epsilon, sign in itertools.product((0.7, 1.5, 3.0, 1e9), (1, -1)):
        _, value = structure.augment(scores, references, epsilon=epsilon, sign=sign)
        _, expected = every.augment(scores, units, epsilon=epsilon, sign=sign)
        torch.testing.assert_close(value, expected, atol=1e-9, rtol=1e-12)


def test_distance_of_long_strings():
    """The loss of whole strings is the distance by its definition."""
    generator = torch.Generator().manual_seed(1)
    symbols = torch.randint(3, (4, 12), generator=generator)
    references = torch.randint(3, (4, 9), generator=generator)
    references[2, 5:] = -1
    loss = FrameEdit().task_loss(torch.nn.functional.one_hot(symbols, 3).double(), references)
    expected = [
        distance(tuple(one), tuple(symbol for symbol in other if symbol >= 0))
        for one, other in zip(symbols.tolist(), references.tolist(), strict=True)
    ]
    assert loss.tolist() == expected


def test_ties_share_the_prediction():
    """Tied symbols have equal shares; the loss is that of the first of each frame."""
    scores = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 2.0, 0.0]]])
    structure = FrameEdit()
    statistic, value = structure.predict(scores)
    assert statistic.tolist() == [[[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]]
    assert value.tolist() == [3.0]
    assert structure.task_loss(statistic, torch.tensor([[0, 1]])).tolist() == [0.0]
    assert structure.task_loss(statistic, torch.tensor([[1, 1]])).tolist() == [1.0]


@pytest.mark.filterwarnings("ignore:DirectLoss. update='neg' on raw scores")
def test_gradient_points_at_the_reference():
    """The nearer string gains what the prediction loses; frames that are not there have none."""
    scores = torch.tensor([[[0.0, 0.4], [1.0, 0.0], [torch.nan] * 2]], requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    value = DirectLoss(FrameEdit(), update="neg", epsilon=1.0)(scores, torch.tensor([[0, 0]]), mask)
    value.backward()
    torch.testing.assert_close(value.detach(), torch.tensor(0.4))  # M0 - M- = 1.4 - 1.0
    torch.testing.assert_close(scores.grad, torch.tensor([[[-1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]]))


SCORES, TARGETS = torch.zeros(2, 4, 3), torch.tensor([[0, 1], [2, -1]])


@pytest.mark.parametrize(
    ("scores", "targets", "mask", "message"),
    [
        (SCORES[0], TARGETS, None, r"floating-point tensor \(sample, token, class\)"),
        (SCORES[:, :, :0], TARGETS, None, "at least one class"),
        (SCORES / 0, TARGETS, None, "NaN"),
        (SCORES, TARGETS[0], None, "expected symbol numbers"),
        (SCORES, TARGETS[:1], None, "expected symbol numbers"),
        (SCORES, TARGETS.double(), None, "float64; expected symbol numbers"),
        (SCORES, TARGETS > 0, None, "bool; expected symbol numbers"),
        (SCORES, TARGETS + 1, None, "targets hold 3; expected symbol numbers 0 to 2, or -1"),
        (SCORES, TARGETS - 1, None, "targets hold -2"),
        (SCORES, TARGETS.flip(1), None, "-1 before its end"),
        (SCORES, TARGETS, torch.ones(2, 4), "mask is"),
        (SCORES, TARGETS, torch.ones(2, 3, dtype=torch.bool), r"bool of the shape \(2, 4\)"),
    ],
)
def test_bad_input(scores: Tensor, targets: Tensor, mask: Tensor | None, message: str):
    """What came and what was expected."""
    with pytest.raises(InputError, match=message):
        FrameEdit().defined(scores, targets, mask=mask)


def test_unsolved_sign():
    """The positive sign needs the automaton, and that few frames."""
    with pytest.raises(InputError, match=r"sign is \+1; expected one of \[-1\]. automaton=True"):
        FrameEdit().augment(SCORES, TARGETS, epsilon=1.0, sign=1)
    with pytest.raises(InputError, match="update='two' needs the sign"):
        DirectLoss(FrameEdit())
    with pytest.raises(InputError, match="9 frames with automaton=True; expected at most 8"):
        FrameEdit(automaton=True).defined(torch.zeros(2, 9, 3), TARGETS)

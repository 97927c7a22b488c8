"""What outputs and targets are compared as, kind by kind; what is refused, and boxes that are no boxes."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.learned import (
    LearnedSurrogate,
    SequenceEncoder,
    box_features,
    classes,
    rotated_boxes,
    upright_boxes,
    vectors,
    words,
)
from metricgrad.learned.kinds.boxes import box_in_frame
from metricgrad.learned.kinds.words import _Windows
from metricgrad.metrics import rotated_iou

# ------------------------------------------------------------------------------------------------- texts


def test_texts_are_filled_up_with_the_end_symbol() -> None:
    """An empty word is all end symbols; the longest word has none; probabilities are a softmax."""
    logits = torch.tensor([[[0.0, math.log(2.0), 0.0]] * 3] * 2)
    z, y = words("ab", 3).compare(logits, ["", "bab"])
    assert y.argmax(-1).tolist() == [[2, 2, 2], [1, 0, 1]]
    torch.testing.assert_close(y.sum(-1), torch.ones(2, 3))
    torch.testing.assert_close(z, torch.tensor([0.25, 0.5, 0.25]).expand(2, 3, 3))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 9])
def test_any_length_of_text(length: int) -> None:
    """The strides leave as many steps as the linear layer takes."""
    encoder = SequenceEncoder("ab", length)
    assert encoder(torch.zeros(2, length, 3)).shape == (2, 256)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_windows_before_a_linear_layer_are_a_convolution(
    steps: int, stride: int, generator: torch.Generator
) -> None:
    """The convolutions of texts are written as windows, which is faster on a CPU."""
    rows = torch.randn(3, steps, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(6, 3, 4, generator=generator, dtype=torch.float64)  # [out, shift, in]
    expected = torch.nn.functional.conv1d(rows.mT, weight.mT, stride=stride, padding=1)
    torch.testing.assert_close(_Windows(stride)(rows) @ weight.flatten(1).T, expected.mT)


def test_words_that_are_too_long() -> None:
    """Refused with the two remedies, or cut where that is asked for."""
    outputs = torch.zeros(1, 3, 3)
    with pytest.raises(InputError, match=r"4 symbols: 'abab'; expected at most 3.*truncate=True"):
        words("ab", 3).compare(outputs, ["abab"])
    _, y = words("ab", 3, truncate=True).compare(outputs, ["abab"])
    assert y.argmax(-1).tolist() == [[0, 1, 0]]


def test_unknown_symbols() -> None:
    """Refused, or mapped to the symbol that stands for others."""
    outputs = torch.zeros(1, 3, 3)
    with pytest.raises(InputError, match=r"the symbol 'x' of 'ax'.*unknown="):
        words("ab", 3).compare(outputs, ["ax"])
    _, y = words("ab", 3, unknown="b").compare(outputs, ["ax"])
    assert y.argmax(-1).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphabet": ""}, "alphabet"), ({"alphabet": "aba"}, "each once"), ({"max_length": 0}, "max_length is 0"),
        ({"unknown": "x"}, "unknown is 'x'"),
    ],
)  # fmt: skip
def test_texts_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    """Alphabet, length and stand-in are checked."""
    with pytest.raises(InputError, match=message):
        words(**{"alphabet": "ab", "max_length": 3, **arguments})


# ------------------------------------------------------------------------------------------------- boxes


def boxes(samples: int, generator: torch.Generator) -> Tensor:
    """Random rotated boxes, float64, of sides 0.2 to 5."""
    centre, sides = torch.randn(2, samples, 2, generator=generator, dtype=torch.float64)
    angle = 4 * torch.randn(samples, 1, generator=generator, dtype=torch.float64)
    return torch.cat([centre, (sides.clamp(-2, 2) * 0.8).exp(), angle], 1)


def described(rows: Tensor, *, swapped: bool, turn: float) -> Tensor:
    """The boxes with their sides swapped or not, turned further."""
    x, y, width, height, angle = rows.unbind(1)
    sides = (height, width) if swapped else (width, height)
    return torch.stack([x, y, *sides, angle + turn], 1)


@pytest.mark.parametrize(
    ("swapped", "turn"),
    [(True, math.pi / 2), (True, -math.pi / 2), (False, math.pi), (False, -3 * math.pi), (True, 2.5 * math.pi)],
)  # fmt: skip
def test_one_rectangle_has_one_description(swapped: bool, turn: float, generator: torch.Generator) -> None:
    """(w, h, t), (h, w, t + pi/2) and (w, h, t + pi) have the same features; a box turned by less has others."""
    rows = boxes(50, generator)
    torch.testing.assert_close(
        box_features(described(rows, swapped=swapped, turn=turn)), box_features(rows), rtol=0, atol=1e-12
    )
    other = box_features(described(rows, swapped=swapped, turn=turn + 0.3))
    assert ((other - box_features(rows)).norm(dim=1) > 0.05).all()


def test_the_turn_of_a_square_shows() -> None:
    """Features differ for every turn within a quarter, most at 45 degrees, and are the same after a quarter."""
    turns = torch.linspace(0, math.pi / 2, 19, dtype=torch.float64)
    squares = torch.stack([*torch.tensor([[0.0, 0.0, 2.0, 2.0]]).T.expand(4, 19).double(), turns], 1)
    features = box_features(squares)
    apart = (features - features[0]).norm(dim=1)
    assert (apart[1:-1] > 0.1).all()
    assert int(apart.argmax()) == 9
    torch.testing.assert_close(features[-1], features[0], rtol=0, atol=1e-12)


def test_features_have_a_gradient_everywhere(generator: torch.Generator) -> None:
    """By finite differences; for sides of 0 and below it is finite."""
    rows = boxes(5, generator).requires_grad_()
    assert torch.autograd.gradcheck(box_features, (rows,))


@pytest.mark.parametrize("coordinates", [4, 5])
def test_the_frame_leaves_the_overlap(coordinates: int, generator: torch.Generator) -> None:
    """Intersection over union is the same in the frame of the target; the target's own box lies at its origin."""
    targets = boxes(200, generator)
    moved = targets + torch.tensor([0.3, 0.3, 0, 0, 0.4]) * torch.randn(200, 5, generator=generator)
    predictions = moved * torch.tensor([1.0, 1.0, 1.3, 0.8, 1.0])
    if coordinates == 4:
        targets[:, 4] = predictions[:, 4] = 0
    there = rotated_iou(predictions, targets)
    framed = [box_in_frame(one[:, :coordinates], targets[:, :coordinates]) for one in (predictions, targets)]
    here = rotated_iou(*(torch.cat([one, one.new_zeros(200, 5 - coordinates)], 1) for one in framed))
    assert there.std() > 0.1
    torch.testing.assert_close(here, there, rtol=0, atol=1e-9)
    torch.testing.assert_close(framed[1][:, :2], torch.zeros(200, 2, dtype=torch.float64))
    torch.testing.assert_close(framed[1][:, 2] * framed[1][:, 3], torch.ones(200, dtype=torch.float64))


def test_shift_turn_and_size_of_a_pair_do_not_matter(generator: torch.Generator) -> None:
    """The points of a pair that is moved, turned and scaled as one stay what they were."""
    kind, targets = rotated_boxes(), boxes(40, generator)
    predictions = targets + 0.3 * torch.randn(40, 5, generator=generator).clamp(-0.5, 0.5)
    turn, size = 0.7, 3.0
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]).double()

    def together(rows: Tensor) -> Tensor:
        centre = size * rows[:, :2] @ rotation.T + torch.tensor([5.0, -2.0])
        return torch.cat([centre, size * rows[:, 2:4], rows[:, 4:] + turn], 1)

    for before, after in zip(
        kind.compare(predictions, targets),
        kind.compare(together(predictions), together(targets)),
        strict=True,
    ):
        torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)


DEGENERATE = [
    [0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 2.0, -1.0, 1.0, 0.3], [0.0, 0.0, -2.0, -3.0, 0.0], [0.0, 0.0, 1e-6, 1e-6, 9.0],
    [0.0, 0.0, 1e-20, 5.0, 0.0], [0.0, 1.0, 0.0, 4.0, -2.0],
]  # fmt: skip


@pytest.mark.parametrize("coordinates", [4, 5])
def test_boxes_that_are_none(coordinates: int) -> None:
    """Sides that are 0 or negative, on either side: finite points, estimates, penalties and gradients."""
    torch.manual_seed(0)
    kind = rotated_boxes() if coordinates == 5 else upright_boxes()
    surrogate = LearnedSurrogate(kind.encoder())
    bad, good = torch.tensor(DEGENERATE), torch.tensor([[0.5, 0.5, 1.0, 2.0, 0.1]] * len(DEGENERATE))
    for outputs, targets in ((bad, good), (good, bad), (bad, bad), (bad, bad.flip(0))):
        outputs = outputs[:, :coordinates].clone().requires_grad_()
        z, y = kind.compare(outputs, targets[:, :coordinates])
        assert torch.isfinite(z).all() and torch.isfinite(y).all()
        estimates = surrogate(z, y)
        assert torch.isfinite(estimates).all() and (estimates >= 0).all()
        (gradient,) = torch.autograd.grad(estimates.sum(), outputs, retain_graph=True)
        assert torch.isfinite(gradient).all()
        surrogate.zero_grad()
        surrogate.fit(z, y, torch.ones(len(bad))).objective.backward()
        grads = [parameter.grad for parameter in surrogate.parameters() if parameter.grad is not None]
        assert grads and all(torch.isfinite(grad).all() for grad in grads)


def test_boxes_of_other_shapes() -> None:
    """Both forms say what they expect."""
    with pytest.raises(InputError, match=r"\[sample, 5\]"):
        rotated_boxes().compare(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(InputError, match=r"\[sample, 4\]"):
        upright_boxes().compare(torch.zeros(2, 4), torch.zeros(3, 4))


# ------------------------------------------------------------------------------------ classes and vectors


@pytest.mark.parametrize("wrong", [-1, 4, 100])
def test_classes_out_of_range(wrong: int) -> None:
    """Refused with the range."""
    with pytest.raises(InputError, match="classes 0 to 3"):
        classes(4).compare(torch.zeros(2, 4), torch.tensor([0, wrong]))


def test_class_points() -> None:
    """Softmax against one-hot; the targets are whole numbers of any width."""
    outputs = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    for width in (torch.int64, torch.int32, torch.int8):
        z, y = classes(2).compare(outputs, torch.tensor([1, 0], dtype=width))
        torch.testing.assert_close(z, torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
        torch.testing.assert_close(y, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


def test_a_coordinate_that_never_changes() -> None:
    """It is shifted and left unscaled: no division by 0; the others have unit deviation."""
    targets = torch.tensor([[1.0, 7.0], [3.0, 7.0], [5.0, 7.0]])
    kind = vectors(targets.mean(0), targets.std(0, correction=0))
    z, y = kind.compare(targets + torch.tensor([0.0, 2.0]), targets)
    torch.testing.assert_close(y[:, 1], torch.zeros(3))
    torch.testing.assert_close(z[:, 1], torch.full((3,), 2.0))
    torch.testing.assert_close(y[:, 0].std(correction=0), torch.tensor(1.0))
    assert torch.isfinite(kind.encoder()(z)).all()


def test_vectors_of_other_shapes() -> None:
    """Mean and deviation, outputs and targets."""
    with pytest.raises(InputError, match=r"two vectors \[coordinate\]"):
        vectors([0.0], [1.0, 2.0])
    with pytest.raises(InputError, match=r"\[sample, 2\]"):
        vectors([0.0, 0.0], [1.0, 2.0]).compare(torch.zeros(3, 1), torch.zeros(3, 1))

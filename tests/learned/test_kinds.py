"""Kinds of output: how they are read, and that their parts fit each other."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metricgrad import learned
from metricgrad._types import OutputKind
from metricgrad.errors import InputError
from metricgrad.learned import LearnedSurrogate, classes, lines, rotated_boxes, upright_boxes, vectors, words

KINDS: dict[str, tuple[Callable[[], OutputKind], tuple[int, ...]]] = {
    "words": (lambda: words("abc", 5), (5, 4)),
    "lines": (lambda: lines(words("abc", 5), 2), (2, 5, 4)),
    "rotated boxes": (rotated_boxes, (7,)),
    "upright boxes": (upright_boxes, (4,)),
    "classes": (lambda: classes(4), (4,)),
    "vectors": (lambda: vectors([0.0, 3.0], [1.0, 2.0]), (2,)),
}
"""One row for every kind: how it is made, and the shape of a point that its encoder embeds."""


def made(name: str) -> Any:
    """The kind of a row."""
    return KINDS[name][0]()


def test_every_kind_has_a_row() -> None:
    """Every public function that returns an `OutputKind`."""
    makers = [
        getattr(learned, name) for name in learned.__all__ if inspect.isfunction(getattr(learned, name))
    ]
    public = {one.__name__ for one in makers if inspect.signature(one).return_annotation is OutputKind}
    assert public == {name.replace(" ", "_") for name in KINDS}


def logits(rows: list[str], alphabet: str = "ab") -> Tensor:
    """Outputs whose largest symbol is given; `.` is the end."""
    codes = torch.tensor([[(alphabet + ".").index(symbol) for symbol in row] for row in rows])
    noise = torch.randn(*codes.shape, len(alphabet) + 1, generator=torch.Generator().manual_seed(0))
    return noise.clamp(-2, 2) + 5 * torch.nn.functional.one_hot(codes, len(alphabet) + 1)


@pytest.mark.parametrize("name", KINDS)
def test_the_parts_fit(name: str) -> None:
    """Made-up pairs are read, compared and embedded; predictions are as many and carry no graph."""
    kind = made(name)
    assert kind.name == name and kind.pairs is not None
    outputs, targets = kind.pairs(12, np.random.default_rng(0))
    predictions = kind.decode(outputs.requires_grad_())
    assert len(predictions) == len(targets) == 12
    assert not isinstance(predictions, Tensor) or not predictions.requires_grad
    estimates = LearnedSurrogate(kind.encoder())(*kind.compare(outputs, targets))
    assert estimates.shape == (12,) and torch.isfinite(estimates).all()


@pytest.mark.parametrize("name", KINDS)
def test_shapes_and_gradients(name: str) -> None:
    """Points of one form for both sides, embeddings [sample, dim]; the prediction's points carry its gradient."""
    torch.manual_seed(0)
    kind = made(name)
    encoder = kind.encoder()
    outputs, targets = kind.pairs(6, np.random.default_rng(0))
    outputs.requires_grad_()
    z, y = kind.compare(outputs, targets)
    assert z.shape == y.shape == (6, *KINDS[name][1])
    assert z.dtype == y.dtype == torch.float32 and not y.requires_grad
    assert encoder(z).ndim == 2 and len(encoder(z)) == 6
    encoder(z).square().sum().backward()
    assert outputs.grad is not None and torch.isfinite(outputs.grad).all() and outputs.grad.abs().sum() > 0


@pytest.mark.parametrize("name", KINDS)
def test_a_sample_is_embedded_by_itself(name: str, generator: torch.Generator) -> None:
    """Alone, among others, in another order, in training or evaluation: the same up to rounding."""
    torch.manual_seed(0)
    kind = made(name)
    encoder = kind.encoder()
    z, _ = kind.compare(*kind.pairs(9, np.random.default_rng(1)))
    whole = encoder(z)
    order = torch.randperm(9, generator=generator)
    torch.testing.assert_close(encoder(z[order]), whole[order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.eval()(z), whole, rtol=0, atol=0)
    alone = torch.cat([encoder(row[None]) for row in z])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-5)
    assert (whole[0] - whole[1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", KINDS)
def test_no_sample(name: str) -> None:
    """An empty batch has empty points and embeddings."""
    kind = made(name)
    outputs, targets = kind.pairs(4, np.random.default_rng(0))
    z, y = kind.compare(outputs[:0], targets[:0])
    assert z.shape == y.shape == (0, *KINDS[name][1])
    assert len(kind.encoder()(z)) == 0


@pytest.mark.parametrize("name", KINDS)
def test_every_encoder_is_a_new_one(name: str) -> None:
    """Two seeds, two networks; one seed, one network."""
    kind = made(name)
    first, second, third = ([*_seeded(kind, seed).parameters()] for seed in (0, 1, 0))
    assert all(torch.equal(one, other) for one, other in zip(first, third, strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def _seeded(kind: OutputKind, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.encoder()


def test_texts_of_every_length() -> None:
    """A full output has no end symbol; one that begins with it is empty; what follows it does not count."""
    outputs = logits(["aba", "ab.", "a.b", "...", ".ab"])
    assert words("ab", 3).decode(outputs) == ["aba", "ab", "a", "", ""]
    assert words("ab", 3).decode(outputs[:0]) == []


def test_logits_and_probabilities_are_read_alike(generator: torch.Generator) -> None:
    """Only the order of the symbols counts."""
    outputs = 3 * torch.randn(50, 4, 3, generator=generator)
    kind = words("ab", 4)
    assert kind.decode(outputs) == kind.decode(outputs.softmax(-1)) == kind.decode(outputs.log_softmax(-1))
    scores = 3 * torch.randn(50, 4, generator=generator)
    torch.testing.assert_close(classes(4).decode(scores), classes(4).decode(scores.softmax(-1)))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 2), (2, 3, 4), (2, 3, 3, 1)])
def test_outputs_that_are_no_texts(shape: tuple[int, ...]) -> None:
    """Refused with what is expected."""
    with pytest.raises(InputError, match=r"\[sample, step, 3\]"):
        words("ab", 3).decode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("", 3), "alphabet"), (("aa", 3), "each once"), (("ab", 0), "max_length")],
)  # fmt: skip
def test_words_that_cannot_be_fail_at_once(arguments: tuple[str, int], message: str) -> None:
    """Not first when a run begins."""
    with pytest.raises(InputError, match=message):
        words(*arguments)
    with pytest.raises(InputError, match="unknown is 'x'"):
        words("ab", 3, unknown="x")


def test_settings_of_words_reach_the_targets() -> None:
    """`truncate` and `unknown`."""
    _, y = words("ab", 2, unknown="b", truncate=True).compare(torch.zeros(1, 2, 3), ["axx"])
    assert y.argmax(-1).tolist() == [[0, 1]]


def test_a_vocabulary_is_copied() -> None:
    """A list that changes later changes nothing; pairs are of its words."""
    vocabulary = ["ab", "ba"]
    kind: Any = words("ab", 2, vocabulary=vocabulary)
    vocabulary.append("aa")
    assert set(kind.pairs(50, np.random.default_rng(0))[1]) == {"ab", "ba"}


@pytest.mark.parametrize("count", [1, 0, -3])
def test_fewer_than_two_classes(count: int) -> None:
    """Refused."""
    with pytest.raises(InputError, match="at least 2 classes"):
        classes(count)


def test_boxes_and_vectors_are_predictions_as_they_are() -> None:
    """Decoding changes no number."""
    for kind, width in ((rotated_boxes(), 5), (upright_boxes(), 4), (vectors([0.0], [1.0]), 1)):
        outputs = torch.randn(3, width, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(kind.decode(outputs), outputs, rtol=0, atol=0)


def test_mean_and_deviation_may_be_any_numbers() -> None:
    """Lists, arrays and tensors on their graph make the same points."""
    mean = torch.tensor([1.0, 2.0], requires_grad=True)
    kinds = [
        vectors(*given)
        for given in (([1.0, 2.0], [3.0, 4.0]), (np.array([1.0, 2.0]), np.array([3, 4])), (mean, mean + 2))
    ]
    points = torch.tensor([[4.0, 6.0]])
    for kind in kinds:
        torch.testing.assert_close(kind.compare(points, points)[0], torch.ones(1, 2))

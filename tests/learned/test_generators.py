"""Pairs made without data: determined by the generator, and spread as they are said to be."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metricgrad.learned import lines, words
from metricgrad.learned.kinds.boxes import RotatedBoxPairs, UprightBoxPairs
from metricgrad.learned.kinds.classes import ClassPairs
from metricgrad.learned.kinds.vectors import VectorPairs
from metricgrad.learned.kinds.words import TextPairs, read_texts
from metricgrad.metrics import adapt, iou, rotated_iou, word_edit_distance

LINES = lines(words("abcdef", 6), 3)
assert LINES.pairs is not None

GENERATORS: dict[str, Callable[[int, np.random.Generator], tuple[Any, Any]]] = {
    "texts": TextPairs("abcdef", 6),
    "words": TextPairs("abcdef", 6, ("bad", "cafe", "face", "")),
    "lines": LINES.pairs,
    "rotated boxes": RotatedBoxPairs(),
    "upright boxes": UprightBoxPairs(),
    "classes": ClassPairs(4),
    "vectors": VectorPairs([1.0, -2.0, 5.0], [2.0, 0.5, 0.0]),
}


def drawn(name: str, count: int, seed: int) -> tuple[Any, Any]:
    """Pairs of a seed."""
    return GENERATORS[name](count, np.random.default_rng(seed))


def equal(one: Any, other: Any) -> bool:
    """Whether two sides are the same to the last bit."""
    return torch.equal(one, other) if isinstance(one, Tensor) else one == other


@pytest.mark.parametrize("name", GENERATORS)
def test_the_seed_decides(name: str) -> None:
    """The same seed makes the same pairs, another one others; a generator goes on with others."""
    first, again, other = drawn(name, 50, 3), drawn(name, 50, 3), drawn(name, 50, 4)
    assert equal(first[0], again[0]) and equal(first[1], again[1])
    assert not equal(first[0], other[0]) and not equal(first[1], other[1])
    rng = np.random.default_rng(3)
    assert equal(GENERATORS[name](50, rng)[0], first[0])
    assert not equal(GENERATORS[name](50, rng)[0], first[0])


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("count", [1, 2, 17])
def test_as_many_as_asked_for(name: str, count: int) -> None:
    """Outputs are float32 and finite, one target each."""
    outputs, targets = drawn(name, count, count)
    assert len(outputs) == len(targets) == count
    assert outputs.dtype == torch.float32 and torch.isfinite(outputs).all()
    if isinstance(targets, Tensor) and targets.is_floating_point():
        assert targets.dtype == torch.float32 and torch.isfinite(targets).all()


# ------------------------------------------------------------------------------------------------- lines


def test_words_of_lines_are_right_in_every_number() -> None:
    """No word wrong, one, two, three: none is rare, so that the number of wrong words can be learned."""
    outputs, targets = drawn("lines", 800, 0)
    wrong = word_edit_distance(LINES.decode(outputs), targets)
    assert wrong.long().bincount(minlength=4).min() > 20


# ------------------------------------------------------------------------------------------------- boxes


@pytest.mark.parametrize(("name", "overlap"), [("rotated boxes", rotated_iou), ("upright boxes", iou)])
def test_overlaps_are_spread_evenly(name: str, overlap: Any) -> None:
    """Ten bins with a tenth each (rounding to float32 may move a pair or two), few pairs that are disjoint."""
    outputs, targets = drawn(name, 1003, 0)
    values = overlap(outputs, targets).numpy()
    counts = np.histogram(values, 10, (0, 1))[0]
    assert counts.sum() == 1003 and counts.min() >= 98 and counts.max() <= 103
    assert 0 < (values == 0).mean() <= 0.2
    halves = [np.histogram(part, 10, (0, 1))[0] for part in (values[:501], values[501:])]
    assert min(half.min() for half in halves) >= 25  # in random order, not bin by bin


@pytest.mark.parametrize("name", ["rotated boxes", "upright boxes"])
def test_boxes_have_sides(name: str) -> None:
    """Positive ones, of ratio up to 10 for targets, that are as often wide as high; any angle where it is turned."""
    outputs, targets = drawn(name, 1000, 1)
    assert (outputs[:, 2:4] > 0).all() and (targets[:, 2:4] > 0).all()
    ratio = targets[:, 2] / targets[:, 3]
    assert 5 < ratio.max() < 10.01 and 0.0999 < ratio.min() < 0.2
    assert 0.4 < (ratio > 1).float().mean() < 0.6
    if name == "rotated boxes":
        quarters = np.histogram(targets[:, 4].numpy(), 4, (-np.pi, np.pi))[0]
        assert quarters.sum() == 1000 and quarters.min() > 200
        assert (outputs[:, 4] != targets[:, 4]).any()


# ------------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("name", ["texts", "words"])
def test_readings_vary_around_the_target(name: str) -> None:
    """Within length and alphabet; some right, some empty, most near; logits sharp and blurred."""
    outputs, targets = drawn(name, 1500, 0)
    assert outputs.shape == (1500, 6, 7)
    assert all(len(text) <= 6 and set(text) <= set("abcdef") for text in targets)
    readings = read_texts(outputs, alphabet="abcdef")
    distance = adapt("edit_distance")
    assert distance.of_predictions is None
    values = distance.measure(readings, targets)[:, 0]
    shuffled = distance.measure(readings, targets[1:] + targets[:1])[:, 0]
    assert 0.1 < (values == 0).double().mean() < 0.6
    assert {0.0, 1.0, 2.0, 3.0} <= set(values.tolist())
    assert values.mean() < 0.7 * shuffled.mean()
    assert any(text == "" for text in readings) and any(len(text) == 6 for text in readings)
    surest = outputs.softmax(-1).amax((1, 2))
    assert (surest < 0.9).any() and (surest > 0.999).any()


def test_random_words_have_every_length_and_letter() -> None:
    """From 1 to the longest, about as often; words of a vocabulary are its own."""
    _, targets = drawn("texts", 1500, 1)
    lengths = np.bincount([len(text) for text in targets], minlength=7)
    assert lengths[0] == 0 and lengths[1:].min() > 180 and len(lengths) == 7
    assert set("".join(targets)) == set("abcdef")
    _, targets = drawn("words", 200, 1)
    assert set(targets) == {"bad", "cafe", "face", ""}


# ------------------------------------------------------------------------------------ classes and vectors


def test_class_logits() -> None:
    """Rows from nearly certain to nearly even; every class is a target as often."""
    outputs, targets = drawn("classes", 4000, 0)
    assert outputs.shape == (4000, 4) and targets.dtype == torch.int64
    torch.testing.assert_close(outputs.softmax(1).sum(1), torch.ones(4000))
    counts = targets.bincount(minlength=4)
    assert len(counts) == 4 and counts.min() > 900
    surest = outputs.softmax(1).amax(1)
    assert (surest > 0.99).float().mean() > 0.02 and (surest < 0.5).float().mean() > 0.1


def test_rows_of_the_smallest_concentration_stay_finite() -> None:
    """However small a gamma variate, its logit is not below that of 1e-30."""
    outputs, _ = ClassPairs(200)(3000, np.random.default_rng(0))
    assert torch.isfinite(outputs).all() and torch.isfinite(outputs.softmax(1)).all()
    assert -69.1 < outputs.min() < -60


def test_vectors_lie_around_the_targets() -> None:
    """Targets have the given mean and deviation; the noise has many sizes, in one coordinate or in all."""
    outputs, targets = drawn("vectors", 4000, 0)
    torch.testing.assert_close(targets.mean(0), torch.tensor([1.0, -2.0, 5.0]), atol=0.15, rtol=0)
    torch.testing.assert_close(targets.std(0), torch.tensor([2.0, 0.5, 0.0]), atol=0.1, rtol=0)
    noise = ((outputs - targets) / torch.tensor([2.0, 0.5, 1.0]))[:, :2]
    sizes = noise.norm(dim=1)
    assert (sizes < 0.05).float().mean() > 0.1 and (sizes > 1).float().mean() > 0.1
    assert (noise[:, 0].abs() < 1e-6).float().mean() > 0.1
    torch.testing.assert_close(outputs[:, 2], torch.full((4000,), 5.0))

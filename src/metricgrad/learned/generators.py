"""Pairs of outputs and targets made without data: a surrogate must know the metric beyond the model's own errors.

A generator is `(count, rng) -> (outputs, targets)`, in the formats of network and split, determined by the numpy
generator that it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad.metrics import rotated_iou

__all__ = ["ClassPairs", "RotatedBoxPairs", "TextPairs", "UprightBoxPairs", "VectorPairs"]

BINS = 10
"""Bins of equal width of the intersection over union, filled alike."""
POOL = 12
"""Candidates drawn for every pair of boxes that is kept."""


@dataclass(frozen=True)
class TextPairs:
    """A random word and an edited copy of it as uncertain logits.

    Args:
        alphabet: symbols.
        max_length: steps of the output.
        vocabulary: words to draw from; None draws letters.

    The copy has r random insertions, deletions and substitutions, r uniform in 0 to the length of the word. Its rows
    are softened by a random temperature, and some get a rival symbol, so that they look like outputs of a model.

    Example:
        >>> outputs, targets = TextPairs("abc", 5)(2, np.random.default_rng(0))
        >>> outputs.shape, [len(text) <= 5 for text in targets]
        (torch.Size([2, 5, 4]), [True, True])
    """

    alphabet: str
    max_length: int
    vocabulary: Sequence[str] | None = None

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, list[str]]:
        """Return logits [count, step, symbol] and texts."""
        targets = [self._word(rng) for _ in range(count)]
        codes = np.full((count, self.max_length), len(self.alphabet))
        for row, text in zip(codes, targets, strict=True):
            edited = self._edited(text, rng)
            row[: len(edited)] = edited
        return torch.from_numpy(self._softened(codes, rng)), targets

    def _word(self, rng: np.random.Generator) -> str:
        if self.vocabulary is not None:
            return self.vocabulary[int(rng.integers(len(self.vocabulary)))]
        letters = rng.integers(len(self.alphabet), size=rng.integers(1, self.max_length + 1))
        return "".join(self.alphabet[letter] for letter in letters)

    def _edited(self, text: str, rng: np.random.Generator) -> list[int]:
        symbols = [self.alphabet.index(symbol) for symbol in text]
        for _ in range(rng.integers(0, len(symbols) + 1)):
            kind, symbol = rng.integers(3), int(rng.integers(len(self.alphabet)))
            place = int(rng.integers(len(symbols) + 1))
            if kind == 0 and len(symbols) < self.max_length:
                symbols.insert(place, symbol)
            elif kind == 1 and place < len(symbols):
                del symbols[place]
            elif place < len(symbols):
                symbols[place] = symbol
        return symbols

    def _softened(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Logits whose largest is mostly the symbol: sharp or blurred by sample; a fifth of the rows has a rival."""
        samples, steps = codes.shape
        symbols = len(self.alphabet) + 1
        height = np.exp(rng.uniform(np.log(2.0), np.log(16.0), (samples, 1)))
        logits = rng.normal(0.0, 1.0, (samples, steps, symbols))
        rows = np.ogrid[:samples, :steps]
        logits[(*rows, codes)] += height
        rival = rng.integers(symbols, size=codes.shape)
        logits[(*rows, rival)] += (
            height * rng.uniform(0.6, 1.1, codes.shape) * (rng.random(codes.shape) < 0.2)
        )
        return logits.astype(np.float32)


@dataclass(frozen=True)
class RotatedBoxPairs:
    """Rotated boxes beside jittered copies, the intersection over union spread evenly over [0, 1].

    Targets have sides of ratio up to 10 and any angle. At most a tenth of the pairs, the lowest bin's, is disjoint.

    Example:
        >>> outputs, targets = RotatedBoxPairs()(100, np.random.default_rng(0))
        >>> np.histogram(rotated_iou(outputs, targets), 10, (0, 1))[0].tolist()
        [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]
    """

    rotated: bool = True

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return boxes cx, cy, w, h, angle [count, 5], candidates and targets."""
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        if count == 0:
            return torch.zeros(0, 5), torch.zeros(0, 5)
        wanted = np.full(BINS, count // BINS)
        wanted[rng.permutation(BINS)[: count % BINS]] += 1
        while wanted.any():  # every bin has a share of the candidates: it ends
            boxes, targets = self._candidates(POOL * count, rng)
            overlap = rotated_iou(torch.from_numpy(boxes), torch.from_numpy(targets)).numpy()
            bins = np.minimum((overlap * BINS).astype(int), BINS - 1)
            for number in range(BINS):
                chosen = np.flatnonzero(bins == number)[: wanted[number]]
                kept.append((boxes[chosen], targets[chosen]))
                wanted[number] -= len(chosen)
        boxes, targets = (np.concatenate(side) for side in zip(*kept, strict=True))
        order = rng.permutation(len(boxes))
        return torch.from_numpy(boxes[order]).float(), torch.from_numpy(targets[order]).float()

    def _candidates(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        size = np.exp(rng.uniform(np.log(0.1), np.log(0.5), count))
        ratio = np.exp(rng.uniform(-np.log(10.0), np.log(10.0), count) / 2)
        angle = rng.uniform(-np.pi, np.pi, count) * self.rotated
        centre = rng.uniform(0.0, 1.0, (count, 2))
        targets = np.column_stack([centre, size * ratio, size / ratio, angle])
        amount = rng.uniform(0.0, 1.0, count) ** 2  # most copies are near, some far
        shift = rng.normal(0.0, 1.0, (count, 2)) * amount[:, None] * targets[:, 2:4]
        cosine, sine = np.cos(angle), np.sin(angle)
        moved = np.column_stack(
            [cosine * shift[:, 0] - sine * shift[:, 1], sine * shift[:, 0] + cosine * shift[:, 1]]
        )
        sides = targets[:, 2:4] * np.exp(rng.normal(0.0, 0.7, (count, 2)) * amount[:, None])
        width = np.where(rng.random(count) < 0.5, 0.15, 1.0)
        turned = angle + rng.normal(0.0, 1.0, count) * width * amount * self.rotated
        return np.column_stack([centre + moved, sides, turned]), targets


@dataclass(frozen=True)
class UprightBoxPairs:
    """The same for upright boxes cx, cy, w, h.

    Example:
        >>> outputs, targets = UprightBoxPairs()(10, np.random.default_rng(0))
        >>> outputs.shape
        torch.Size([10, 4])
    """

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return boxes [count, 4], candidates and targets."""
        boxes, targets = RotatedBoxPairs(rotated=False)(count, rng)
        return boxes[:, :4], targets[:, :4]


@dataclass(frozen=True)
class ClassPairs:
    """Dirichlet probabilities (concentration log-uniform in 0.05 to 5) as logits, and random classes.

    Example:
        >>> outputs, targets = ClassPairs(3)(4, np.random.default_rng(0))
        >>> outputs.shape, targets.shape
        (torch.Size([4, 3]), torch.Size([4]))
    """

    classes: int

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return logits [count, class] and classes [count]."""
        concentration = np.exp(rng.uniform(np.log(0.05), np.log(5.0), (count, 1)))
        gamma = rng.standard_gamma(np.broadcast_to(concentration, (count, self.classes)))
        logits = np.log(np.maximum(gamma, 1e-30))
        return torch.from_numpy(logits).float(), torch.from_numpy(rng.integers(self.classes, size=count))


@dataclass(frozen=True)
class VectorPairs:
    """Vectors drawn like the targets, and the same with noise of log-uniform size in random directions.

    Args:
        mean: of the targets [coordinate].
        deviation: their standard deviation.
    """

    mean: Any
    deviation: Any

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return outputs and targets [count, coordinate]."""
        mean, deviation = np.asarray(self.mean, float), np.asarray(self.deviation, float)
        if mean.shape != deviation.shape or mean.ndim != 1:
            raise fail("VectorPairs", f"mean {mean.shape}, deviation {deviation.shape}", "two vectors")
        targets = rng.normal(0.0, 1.0, (count, len(mean)))
        size = np.exp(rng.uniform(np.log(0.01), np.log(3.0), (count, 1)))
        direction = rng.normal(0.0, 1.0, targets.shape)
        sparse = rng.random(targets.shape) < rng.uniform(0.1, 1.0, (count, 1))
        direction = direction * sparse
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        outputs = targets + size * direction / np.maximum(length, 1e-12)
        return tuple(torch.from_numpy(one * deviation + mean).float() for one in (outputs, targets))  # pyright: ignore[reportReturnType]

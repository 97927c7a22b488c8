"""Kinds of output that learned surrogates know: how they are read, embedded and made up."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._types import OutputKind
from metricgrad.learned.encoders import (
    BoxEncoder,
    ClassEncoder,
    SequenceEncoder,
    VectorEncoder,
    encoded,
    one_hot,
)
from metricgrad.learned.generators import ClassPairs, RotatedBoxPairs, TextPairs, UprightBoxPairs, VectorPairs

__all__ = ["classes", "rotated_boxes", "upright_boxes", "vectors", "words"]


def words(
    alphabet: str,
    max_length: int,
    *,
    vocabulary: Sequence[str] | None = None,
    width: int = 64,
    unknown: str | None = None,
    truncate: bool = False,
) -> OutputKind:
    """Texts: outputs are logits [sample, step, symbol] over the alphabet and an end symbol, targets are strings.

    Args:
        alphabet: symbols in the order of the outputs; the end symbol is the one after them.
        max_length: steps of an output.
        vocabulary: words that made-up pairs are drawn from; None makes them of random letters.
        width: of the encoder, see `SequenceEncoder`.
        unknown: symbol of the alphabet that stands for any other in a target; None refuses them.
        truncate: cut longer targets instead of refusing them.

    Example:
        >>> kind = words("ab", max_length=3)
        >>> kind.decode(torch.tensor([[[0.0, 9.0, 1.0], [5.0, 0.0, 1.0], [0.0, 0.0, 7.0]]]))
        ['ba']
    """
    encoder = partial(SequenceEncoder, alphabet, max_length, width=width, unknown=unknown, truncate=truncate)
    encoder()  # checks the arguments
    pairs = TextPairs(alphabet, max_length, _read_back(vocabulary, alphabet, max_length, unknown, truncate))
    return OutputKind("words", partial(read_texts, alphabet=alphabet), encoder, pairs)


def _read_back(
    vocabulary: Sequence[str] | None, alphabet: str, max_length: int, unknown: str | None, truncate: bool
) -> tuple[str, ...] | None:
    """Check a vocabulary, and return its words as a target of theirs is read."""
    if vocabulary is None:
        return None
    if not len(vocabulary):
        raise fail("words", "the vocabulary is empty", "words, or None for random letters")
    codes = encoded(vocabulary, alphabet, max_length, unknown=unknown, truncate=truncate)
    return tuple(read_texts(one_hot(codes, len(alphabet) + 1), alphabet=alphabet))


def read_texts(outputs: Tensor, *, alphabet: str) -> list[str]:
    """Return the most probable symbol of every step, up to the first end symbol; logits or probabilities."""
    if outputs.ndim != 3 or outputs.shape[2] != len(alphabet) + 1:
        raise fail("words", f"outputs are {describe(outputs)}", f"[sample, step, {len(alphabet) + 1}]")
    end = len(alphabet)
    texts = []
    for row in outputs.detach().argmax(-1).tolist():
        length = row.index(end) if end in row else len(row)
        texts.append("".join([alphabet[symbol] for symbol in row[:length]]))
    return texts


def rotated_boxes() -> OutputKind:
    """Rotated boxes: outputs and targets are cx, cy, w, h, angle in radians, counter-clockwise [sample, 5].

    Example:
        >>> rotated_boxes().encoder()(torch.zeros(1, 7)).shape
        torch.Size([1, 128])
    """
    return OutputKind("rotated boxes", as_they_are, BoxEncoder, RotatedBoxPairs())


def upright_boxes() -> OutputKind:
    """Upright boxes: outputs and targets are cx, cy, w, h [sample, 4].

    Example:
        >>> upright_boxes().name
        'upright boxes'
    """
    return OutputKind("upright boxes", as_they_are, partial(BoxEncoder, rotated=False), UprightBoxPairs())


def classes(count: int) -> OutputKind:
    """Classes: outputs are logits [sample, class], targets numbers of classes [sample]; predictions are numbers, too.

    Example:
        >>> classes(3).decode(torch.tensor([[0.1, 0.7, 0.2]])).tolist()
        [1]
    """
    if count < 2:
        raise fail("classes", f"count is {count}", "at least 2 classes")
    return OutputKind(
        "classes", partial(most_probable, count=count), partial(ClassEncoder, count), ClassPairs(count)
    )


def vectors(mean: Any, deviation: Any) -> OutputKind:
    """Vectors: outputs and targets are [sample, coordinate].

    Args:
        mean: of the training targets [coordinate].
        deviation: their standard deviation [coordinate].

    Example:
        >>> vectors([0.0], [1.0]).decode(torch.tensor([[2.0]])).tolist()
        [[2.0]]
    """
    mean, deviation = (torch.as_tensor(one).detach().cpu().double() for one in (mean, deviation))
    return OutputKind(
        "vectors",
        as_they_are,
        partial(VectorEncoder, mean, deviation),
        VectorPairs(mean.tolist(), deviation.tolist()),
    )


def as_they_are(outputs: Tensor) -> Tensor:
    """Return the outputs without their graph."""
    return outputs.detach()


def most_probable(outputs: Tensor, *, count: int) -> Tensor:
    """Return the class of the largest logit [sample]; one column would always be class 0 and is refused."""
    if outputs.ndim != 2 or outputs.shape[1] != count:
        raise fail("classes", f"outputs are {describe(outputs)}", f"logits [sample, {count}]")
    return outputs.detach().argmax(-1)

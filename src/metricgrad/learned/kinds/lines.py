"""Lines as outputs: several texts side by side, each in steps of its own, with a space between two."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import describe, fail, whole_number
from metricgrad._types import OutputKind
from metricgrad.learned.layers import mlp

__all__ = ["LineEncoder", "LinePairs", "cells_of", "lines", "texts_of"]

SPACE = " "
DIM = 256
"""Of the embedding of a text, as `SequenceEncoder` makes it, and of a line."""


def lines(text: OutputKind, cells: int) -> OutputKind:
    """Lines of texts: outputs are those of their texts one after the other, targets are strings with spaces.

    Each text of a line has the same number of steps, its cell. The end symbol of a cell is the space of the line, and
    of the last cell its end. Which cell a text lies in is given, so that nothing is run together or split; a cell
    that is read as empty leaves its space.

    Args:
        text: the kind of a cell (`words`), whose texts hold no space.
        cells: texts of a line, at least 1.

    Raises:
        InputError: cells < 1.

    Example:
        >>> import torch
        >>> from metricgrad.learned import words
        >>> read = torch.tensor([[[9.0, 0.0, 1.0], [0.0, 9.0, 1.0], [0.0, 9.0, 1.0], [0.0, 0.0, 9.0]]])
        >>> lines(words("ab", max_length=2), 2).decode(read)
        ['ab b']
    """
    cells = whole_number("lines", "cells", cells)
    return OutputKind(
        "lines",
        decode=partial(read_lines, text=text, cells=cells),
        compare=partial(compare_lines, text=text, cells=cells),
        encoder=partial(LineEncoder, text.encoder, cells),
        pairs=None if text.pairs is None else LinePairs(text.pairs, text.decode, cells),
    )


def cells_of(outputs: Tensor, cells: int) -> Float[Tensor, "cell step symbol"]:
    """Return the outputs of every cell, those of a line one after the other.

    Raises:
        InputError: steps that are not the same number for every cell.
    """
    if outputs.ndim != 3 or outputs.shape[1] % cells:
        came = f"outputs are {describe(outputs)}"
        raise fail("lines", came, f"[sample, step, symbol] with as many steps in each of {cells} cells")
    return outputs.unflatten(1, (cells, -1)).flatten(0, 1)


def texts_of(targets: Sequence[str], cells: int) -> list[str]:
    """Return the texts of all lines.

    Raises:
        InputError: a line of another number of texts.
    """
    parts = [target.split(SPACE) for target in targets]
    for part, target in zip(parts, targets, strict=True):
        if len(part) != cells:
            raise fail("lines", f"a line of {len(part)} texts: {target!r}", f"{cells}, a space between two")
    return list(chain(*parts))


def joined(texts: Sequence[str], cells: int) -> list[str]:
    """Return the lines of texts."""
    return [SPACE.join(texts[first : first + cells]) for first in range(0, len(texts), cells)]


def read_lines(outputs: Tensor, *, text: OutputKind, cells: int) -> list[str]:
    """Read every cell as the kind of its text does, and put a space between two."""
    return joined(text.decode(cells_of(outputs, cells)), cells)


def compare_lines(
    outputs: Float[Tensor, "sample step symbol"], targets: Sequence[str], *, text: OutputKind, cells: int
) -> tuple[Tensor, Tensor]:
    """Bring every cell and its text into one space, those of a line one after the other."""
    z, y = text.compare(cells_of(outputs, cells), texts_of(targets, cells))
    return z.unflatten(0, (-1, cells)), y.unflatten(0, (-1, cells))


class LineEncoder(nn.Module):
    """Embeds lines: each text by one encoder that they share, then all of them together (learned-surrogate encoder).

    Args:
        text: makes the encoder of a text, of 256 numbers.
        cells: texts of a line.

    Example:
        >>> import torch
        >>> from metricgrad.learned import SequenceEncoder
        >>> encoder = LineEncoder(lambda: SequenceEncoder("ab", 4), 3)
        >>> encoder(torch.zeros(5, 3, 4, 3)).shape
        torch.Size([5, 256])
    """

    def __init__(self, text: Callable[[], nn.Module], cells: int) -> None:
        super().__init__()
        self.text = text()
        self.line = mlp(cells * DIM, DIM, DIM)

    def forward(self, points: Float[Tensor, "sample cell step symbol"]) -> Float[Tensor, "sample dim"]:
        """Embed rows of probabilities."""
        of_texts = self.text(points.flatten(0, 1)).unflatten(0, points.shape[:2])  # [sample, cell, dim]
        return self.line(of_texts.flatten(1))


@dataclass(frozen=True)
class LinePairs:
    """Lines of made-up pairs of texts; half of the targets are what the outputs say, as most texts of a model are.

    Args:
        text: makes pairs of texts.
        decode: reads their outputs.
        cells: texts of a line.

    Example:
        >>> from metricgrad.learned import words
        >>> outputs, targets = lines(words("abc", 5), 2).pairs(4, np.random.default_rng(0))
        >>> outputs.shape, [len(target.split(" ")) for target in targets]
        (torch.Size([4, 10, 4]), [2, 2, 2, 2])
    """

    text: Callable[[int, np.random.Generator], tuple[Any, Any]]
    decode: Callable[[Any], Any]
    cells: int

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, list[str]]:
        """Return logits [count, step, symbol] and lines."""
        outputs, targets = self.text(count * self.cells, rng)
        right = rng.random(len(targets)) < 0.5
        texts = [
            said if same else target
            for said, target, same in zip(self.decode(outputs), targets, right, strict=True)
        ]
        return outputs.unflatten(0, (-1, self.cells)).flatten(1, 2), joined(texts, self.cells)

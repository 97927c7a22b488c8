"""Pictures of words in memory, in lines and batches, each word shifted at random."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad.tasks.png import Pictures
from metricgrad.tasks.words_pictures import WIDTH

__all__ = ["WordSplit", "lines_of"]


class WordSplit:
    r"""Pictures and their words in memory, in batches of consecutive items or, with `shuffle`, of random ones.

    Args:
        inputs: uint8 [sample, 32, 128], or a multiple of 128 for pictures of several words side by side.
        targets: one text a picture.
        batch: pictures of a batch; the last one may be smaller.
        shuffle: draw a new order every epoch (from seed and epoch alone).
        shift: largest random shift of a word down and across, in pixels, new in every epoch (from seed, epoch and
            word alone); at the border of its cell the outermost pixels are repeated.
        seed: of order and shifts.
        names: one text a picture, for the gallery; default: the words.

    Raises:
        InputError: another form of pictures, other numbers of pictures and texts, or no picture.

    Example:
        >>> split = WordSplit(torch.zeros(3, 32, 128, dtype=torch.uint8), ["one", "two", "three"], batch=2)
        >>> [targets for _, targets in split], split.pictures([1])[0][:4]
        ([['one', 'two'], ['three']], b'\x89PNG')
    """

    def __init__(
        self,
        inputs: UInt8[Tensor, "sample 32 width"],
        targets: Sequence[str],
        *,
        batch: int = 256,
        shuffle: bool = False,
        shift: tuple[int, int] = (0, 0),
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> None:
        whole = inputs.ndim == 3 and inputs.dtype == torch.uint8 and inputs.shape[2] % WIDTH == 0
        if not whole or not 0 < len(inputs) == len(targets):
            raise fail(
                "WordSplit",
                f"inputs are {describe(inputs)} and there are {len(targets)} targets",
                f"uint8 [sample, height, {WIDTH} for each word], at least one, and as many texts",
            )
        self.inputs, self.targets, self.names = inputs, list(targets), list(names or targets)
        self.batch, self.shuffle, self.shift, self.seed, self.epoch = batch, shuffle, shift, seed, 0

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self.inputs) // self.batch)

    def __iter__(self) -> Iterator[tuple[UInt8[Tensor, "sample 32 width"], list[str]]]:
        """Yield `(inputs, targets)` batches of the current epoch."""
        rng = np.random.default_rng((self.seed, self.epoch))
        items = len(self.inputs)
        order = rng.permutation(items) if self.shuffle else np.arange(items)
        size = (items, self.inputs.shape[2] // WIDTH, 2)
        shifts = torch.from_numpy(rng.integers(-np.array(self.shift), np.array(self.shift) + 1, size))
        for chosen in torch.from_numpy(order).split(self.batch):
            inputs = self.inputs[chosen]
            moved = _shifted(inputs, shifts[chosen]) if any(self.shift) else inputs
            yield moved, [self.targets[item] for item in chosen.tolist()]

    def set_epoch(self, epoch: int) -> None:
        """Choose order and shifts of the next pass; they depend on (seed, epoch) alone."""
        self.epoch = epoch

    def rebatch(self, size: int) -> "WordSplit":
        """Return the same pictures in batches of another size."""
        return self._with(self.inputs, self.targets, self.names, batch=size)

    def part(self, kept: Bool[Tensor, "sample"]) -> "WordSplit":
        """Return some of the pictures, in batches of the same kind."""
        texts, names = (list(compress(one, kept.tolist())) for one in (self.targets, self.names))
        return self._with(self.inputs[kept], texts, names, batch=self.batch)

    def _with(self, inputs: Tensor, targets: list[str], names: list[str], *, batch: int) -> "WordSplit":
        return WordSplit(
            inputs, targets, batch=batch, shuffle=self.shuffle, shift=self.shift, seed=self.seed, names=names
        )

    def pictures(self, indices: Sequence[int]) -> list[bytes]:
        """Return PNG bytes of the pictures with the given indices, as they are, for the report's gallery.

        Raises:
            MissingExtraError: Pillow is not installed.
        """
        return Pictures(self.inputs.numpy(), "words")(indices)

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of pictures, words and batches."""
        facts = (self.targets, tuple(self.inputs.shape), self.batch, self.shuffle, self.shift, self.seed)
        total = hashlib.sha256(repr(facts).encode())
        total.update(self.inputs.contiguous().numpy().tobytes())
        return total.hexdigest()


def lines_of(name: str, fonts: Sequence[str], count: int) -> Int64[np.ndarray, "line cell"]:
    """Return the pictures of every line: consecutive ones of a font, the lines in the order of their first picture.

    Args:
        name: of the split.
        fonts: of every picture.
        count: pictures of a line.

    Raises:
        InputError: no font has so many.

    Example:
        >>> lines_of("fit", ["a", "b", "a", "b", "b"], 2).tolist()
        [[0, 2], [1, 3]]
    """
    of_font: dict[str, list[int]] = {}
    for row, font in enumerate(fonts):
        of_font.setdefault(font, []).append(row)
    full = [
        rows[at : at + count] for rows in of_font.values() for at in range(0, len(rows) - count + 1, count)
    ]
    if not full:
        came = f"no font has {count} of the {len(fonts)} pictures of {name}"
        raise fail("task words", came, "at least one line of one font", f"More of them: items_{name}.")
    return np.array(sorted(full), dtype=np.int64)


def _shifted(
    inputs: UInt8[Tensor, "sample height width"], shifts: Int64[Tensor, "sample cell 2"]
) -> UInt8[Tensor, "sample height width"]:
    """Move each word by its own (down, across); its border's pixels are repeated where nothing came."""
    cells = inputs.unflatten(2, (-1, WIDTH)).transpose(1, 2)  # [sample, cell, height, 128]
    words, (down, across) = cells.flatten(0, 1), shifts.flatten(0, 1).unsqueeze(1).unbind(2)  # [word, 1]
    rows = (torch.arange(words.shape[1]) - down).clamp(0, words.shape[1] - 1)  # [word, height]
    columns = (torch.arange(WIDTH) - across).clamp(0, WIDTH - 1)  # [word, 128]
    moved = words[torch.arange(len(words))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.unflatten(0, cells.shape[:2]).transpose(1, 2).flatten(2)

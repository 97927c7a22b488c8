"""Pictures of words in memory, in batches, each picture shifted at random."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad.tasks.png import Pictures

__all__ = ["WordSplit"]


class WordSplit:
    r"""Pictures and their words in memory, in batches of consecutive items or, with `shuffle`, of random ones.

    Args:
        inputs: uint8 [sample, 32, 128].
        targets: one text a picture.
        batch: pictures of a batch; the last one may be smaller.
        shuffle: draw a new order every epoch (from seed and epoch alone).
        shift: largest random shift of a picture down and across, in pixels, new in every epoch (from seed, epoch and
            item alone); at the border the outermost pixels are repeated.
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
        inputs: UInt8[Tensor, "sample 32 128"],
        targets: Sequence[str],
        *,
        batch: int = 256,
        shuffle: bool = False,
        shift: tuple[int, int] = (0, 0),
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> None:
        if inputs.ndim != 3 or inputs.dtype != torch.uint8 or not 0 < len(inputs) == len(targets):
            raise fail(
                "WordSplit",
                f"inputs are {describe(inputs)} and there are {len(targets)} targets",
                "uint8 [sample, height, width], at least one, and as many texts",
            )
        self.inputs, self.targets, self.names = inputs, list(targets), list(names or targets)
        self.batch, self.shuffle, self.shift, self.seed, self.epoch = batch, shuffle, shift, seed, 0

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self.inputs) // self.batch)

    def __iter__(self) -> Iterator[tuple[UInt8[Tensor, "sample 32 128"], list[str]]]:
        """Yield `(inputs, targets)` batches of the current epoch."""
        rng = np.random.default_rng((self.seed, self.epoch))
        items = len(self.inputs)
        order = rng.permutation(items) if self.shuffle else np.arange(items)
        shifts = torch.from_numpy(rng.integers(-np.array(self.shift), np.array(self.shift) + 1, (items, 2)))
        for chosen in torch.from_numpy(order).split(self.batch):
            inputs = self.inputs[chosen]
            moved = _shifted(inputs, shifts[chosen]) if any(self.shift) else inputs
            yield moved, [self.targets[item] for item in chosen.tolist()]

    def set_epoch(self, epoch: int) -> None:
        """Choose order and shifts of the next pass; they depend on (seed, epoch) alone."""
        self.epoch = epoch

    def rebatch(self, size: int) -> "WordSplit":
        """Return the same pictures in batches of another size."""
        return WordSplit(
            self.inputs,
            self.targets,
            batch=size,
            shuffle=self.shuffle,
            shift=self.shift,
            seed=self.seed,
            names=self.names,
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


def _shifted(
    inputs: UInt8[Tensor, "sample height width"], shifts: Tensor
) -> UInt8[Tensor, "sample height width"]:
    """Move each picture by its own (down, across); the border's pixels are repeated where nothing came."""
    items, height, width = inputs.shape
    rows = (torch.arange(height) - shifts[:, :1]).clamp(0, height - 1)  # [sample, height]
    columns = (torch.arange(width) - shifts[:, 1:]).clamp(0, width - 1)  # [sample, width]
    return inputs[torch.arange(items)[:, None, None], rows[:, :, None], columns[:, None, :]]

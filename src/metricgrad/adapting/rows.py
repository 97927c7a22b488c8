"""Splits whose rows are read from an array or a memory map when they are asked for."""

import hashlib
import mmap
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metricgrad._labels import Labels, number_labels
from metricgrad.pairing import ClassBatchSampler

__all__ = ["ClassRows", "RowSplit", "rows_of"]

BATCH = 4_096
KEPT = 2**25
"""Numbers of a split that stays in memory: 128 MB."""


def rows_of(array: np.ndarray, numbers: np.ndarray) -> Tensor:
    """Rows of an array as a float32 tensor of their own; the pages of a memory map are given back."""
    rows = torch.from_numpy(np.array(array[numbers], dtype=np.float32, order="C"))
    _give_back(array)
    return rows


def _give_back(array: np.ndarray) -> None:
    """Let go of the pages of a read-only memory map, which otherwise count as memory of this process for good.

    They stay in the cache of the system while there is room, so that the next reading costs little.
    """
    pages: Any = getattr(array, "_mmap", None)
    if isinstance(array, np.memmap) and array.mode == "r" and hasattr(pages, "madvise"):
        pages.madvise(mmap.MADV_DONTNEED)


class RowSplit:
    """Rows of an array in their order, in batches.

    Args:
        array: vectors [row, dim], a memory map for instance.
        rows: numbers of the rows.
        targets: one per row: classes, or numbers of queries or documents.
        side: as `tune.ArraySplit`.
        reference: what the rows are ranked against.
        known: whether other splits may have the same classes: `tune` does not look for them then, and intervals draw
            items, not classes.
    """

    def __init__(
        self,
        array: np.ndarray,
        rows: np.ndarray,
        targets: Tensor,
        *,
        side: Literal["query", "document"] | None = None,
        reference: "RowSplit | None" = None,
        known: bool = False,
    ) -> None:
        self.array, self.rows, self.side, self.reference = array, rows, side, reference
        self.items = len(rows)
        self._codes, self.known = targets, known
        self._kept: list[Tensor] | None = [] if len(rows) * array.shape[1] <= KEPT else None
        if not known:
            self.targets = targets

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.rows) // BATCH)

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        """Yield `(inputs, targets)` batches."""
        for number in range(len(self)):
            inputs = self._inputs(number)
            first = number * BATCH
            yield ({self.side: inputs} if self.side else inputs), self._codes[first : first + BATCH]

    def _inputs(self, number: int) -> Tensor:
        """The rows of a batch: the same tensor every time, where all of them are few enough to be kept."""
        if self._kept is not None and number < len(self._kept):
            return self._kept[number]
        inputs = rows_of(self.array, self.rows[number * BATCH : (number + 1) * BATCH])
        if self._kept is not None and number == len(self._kept):
            self._kept.append(inputs)
        return inputs

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of rows, targets and reference."""
        reference = "" if self.reference is None else self.reference.digest
        total = hashlib.sha256(f"{self.array.shape}{self.array.dtype}{self.side}{reference}".encode())
        for inputs, targets in self:
            total.update(_bytes(inputs[self.side] if self.side else inputs))
            total.update(_bytes(targets))
        return total.hexdigest()


class ClassRows:
    """Batches of P classes with K items each, read from an array when they are drawn: fit of a memory map.

    Args:
        array: vectors [row, dim].
        rows: numbers of the rows of this split.
        labels: one per row of the split.
        classes_per_batch: P.
        samples_per_class: K.
        known: whether select and test may have the same classes.
    """

    def __init__(
        self,
        array: np.ndarray,
        rows: np.ndarray,
        labels: Labels,
        *,
        classes_per_batch: int,
        samples_per_class: int,
        known: bool = False,
    ) -> None:
        self.array, self.rows = array, rows
        self.codes = number_labels("adapt", {"labels": labels}, device="cpu").codes[0]
        if not known:
            self.targets = torch.as_tensor(labels)  # tune checks that splits share no class
        self.sampler = ClassBatchSampler(
            self.codes,
            classes_per_batch=classes_per_batch,
            samples_per_class=samples_per_class,
            small_classes="keep",
        )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `(inputs, targets)` batches of the current epoch."""
        for chosen in self.sampler:
            yield rows_of(self.array, self.rows[chosen]), self.codes[chosen]

    def set_epoch(self, epoch: int) -> None:
        """Choose the batches of the next pass."""
        self.sampler.set_epoch(epoch)

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of rows, classes and batches."""
        sampler = self.sampler
        total = hashlib.sha256(f"{sampler.classes_per_batch} {sampler.samples_per_class}".encode())
        total.update(_bytes(self.codes))
        for first in range(0, len(self.rows), BATCH):
            total.update(_bytes(rows_of(self.array, self.rows[first : first + BATCH])))
        return total.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()

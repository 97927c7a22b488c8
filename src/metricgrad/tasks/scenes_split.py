"""Scenes and their masks in memory: in batches, mirrored at random."""

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from metricgrad.tune import ArraySplit

__all__ = ["MaskSplit"]


class MaskSplit(ArraySplit):
    """Pictures and the class of every pixel in memory.

    Args:
        inputs: uint8 [scene, 3, row, column], RGB.
        targets: class numbers [scene, row, column].
        batch: scenes of a batch; the last one may be smaller.
        shuffle: draw a new order every epoch (from seed and epoch alone).
        seed: of the order.
        mirror: mirror every scene left to right, or not, when it is drawn into a batch (from seed, epoch and batch
            alone).

    Example:
        >>> split = MaskSplit(
        ...     torch.zeros(3, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8).long(), batch=2
        ... )
        >>> [masks.shape for _, masks in split]
        [torch.Size([2, 8, 8]), torch.Size([1, 8, 8])]
    """

    def __init__(
        self,
        inputs: UInt8[Tensor, "scene 3 row column"],
        targets: Int64[Tensor, "scene row column"],
        *,
        batch: int = 256,
        shuffle: bool = False,
        seed: int = 0,
        mirror: bool = False,
    ) -> None:
        self.mirror = mirror
        super().__init__(inputs, targets, batch=batch, shuffle=shuffle, seed=seed)

    def rebatch(self, size: int) -> "MaskSplit":
        """Return the same scenes in batches of another size."""
        return MaskSplit(
            self.inputs, self.targets, batch=size, shuffle=self.shuffle, seed=self.seed, mirror=self.mirror
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `(inputs, targets)` batches of the current epoch, mirrored anew in each."""
        for number, (pictures, masks) in enumerate(super().__iter__()):
            if self.mirror:
                draws = np.random.default_rng((self.seed, self.epoch, number)).random(len(masks))
                turned = torch.from_numpy(draws < 0.5)
                pictures = torch.where(turned[:, None, None, None], pictures.flip(3), pictures)
                masks = torch.where(turned[:, None, None], masks.flip(2), masks)
            yield pictures, masks

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of inputs, targets, batches and whether they are mirrored."""
        return hashlib.sha256(f"{super().digest} {self.mirror}".encode()).hexdigest()

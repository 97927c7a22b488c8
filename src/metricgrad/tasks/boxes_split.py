"""Scenes and boxes in memory: in batches, mirrored at random, and drawn for the report."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from metricgrad._checks import describe, extra, fail
from metricgrad.tasks.png import png
from metricgrad.tune import ArraySplit

__all__ = ["BoxScenes"]

COLOURS = {"target": "#ffffff", "before": "#d55e00", "after": "#1f7fc4"}
"""Of drawn boxes; other names take the colours of `OTHER_COLOURS` in turn."""
OTHER_COLOURS = ("#e69f00", "#009e73", "#cc79a7", "#56b4e9")
SHOWN = 4
"""Pixels of a picture for the page for one of the scene, along each axis."""


class BoxScenes(ArraySplit):
    r"""Scenes and their boxes in memory, with pictures of them for the report.

    Args:
        inputs: uint8 [scene, 3, 64, 64], RGB.
        targets: [scene, 5]: cx, cy, w, h as shares of the edge, angle in radians from x to y, which points down.
        batch: scenes of a batch; the last one may be smaller.
        shuffle: draw a new order every epoch (from seed and epoch alone).
        seed: of the order.
        names: one text a scene: which emoji, drawn by whom.
        mirror: mirror every scene at random when it is drawn into a batch (from seed, epoch and batch alone).

    Example:
        >>> scenes = BoxScenes(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), torch.full((2, 5), 0.5))
        >>> scenes.pictures([1])[0][:4]
        b'\x89PNG'
    """

    def __init__(
        self,
        inputs: UInt8[Tensor, "scene 3 64 64"],
        targets: Float[Tensor, "scene 5"],
        *,
        batch: int = 256,
        shuffle: bool = False,
        seed: int = 0,
        names: Sequence[str] | None = None,
        mirror: bool = False,
    ) -> None:
        self.mirror = mirror
        super().__init__(
            inputs, targets, batch=batch, shuffle=shuffle, seed=seed, names=names, pictures=self._pictures
        )

    def rebatch(self, size: int) -> "BoxScenes":
        """Return the same scenes in batches of another size."""
        return BoxScenes(
            self.inputs,
            self.targets,
            batch=size,
            shuffle=self.shuffle,
            seed=self.seed,
            names=self.names,
            mirror=self.mirror,
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `(inputs, targets)` batches of the current epoch, mirrored anew in each."""
        for number, batch in enumerate(super().__iter__()):
            seeds = np.random.SeedSequence((self.seed, self.epoch, number)).generate_state(1, np.uint64)
            generator = torch.Generator().manual_seed(int(seeds[0] >> 1))
            yield turned(*batch, generator) if self.mirror else batch

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of inputs, targets, batches and whether they are mirrored."""
        return hashlib.sha256(f"{super().digest} {self.mirror}".encode()).hexdigest()

    def _pictures(self, indices: Sequence[int]) -> list[bytes]:
        return self.drawn(indices, {})

    def drawn(self, indices: Sequence[int], boxes_by_name: Mapping[str, Tensor]) -> list[bytes]:
        """Draw boxes into scenes.

        Args:
            indices: of the scenes.
            boxes_by_name: [index, 5] each: one box for each of the indices, in their order. `target` is white, `before`
                vermilion, `after` blue; boxes are drawn in the order of the mapping, each with a dark rim.

        Returns:
            PNG bytes of a picture of 256 x 256 for each index.

        Raises:
            InputError: not one box for each index.
            MissingExtraError: Pillow is not installed.
        """
        image = extra("PIL.Image", "emoji", "pictures of scenes")
        for name, boxes in boxes_by_name.items():
            if boxes.shape != (len(indices), 5):
                raise fail("drawn", f"the boxes {name!r} are {describe(boxes)}", f"[{len(indices)}, 5]")
        colours = dict(COLOURS)
        others = [name for name in boxes_by_name if name not in colours]
        colours |= {name: OTHER_COLOURS[place % len(OTHER_COLOURS)] for place, name in enumerate(others)}
        found = []
        for place, index in enumerate(indices):
            scene = image.fromarray(self.inputs[index].permute(1, 2, 0).contiguous().numpy())
            scene = scene.resize((SHOWN * scene.width, SHOWN * scene.height), image.Resampling.BICUBIC)
            for name, boxes in boxes_by_name.items():
                _outline(scene, boxes[place], colours[name])
            found.append(png(scene))
        return found


def _outline(scene: Any, box: Float[Tensor, "5"], colour: str) -> None:
    """Draw the sides of a box into an enlarged scene, the colour on a dark rim."""
    drawing = extra("PIL.ImageDraw", "emoji", "pictures of scenes").Draw(scene)
    cx, cy, width, height, angle = box.detach().double().tolist()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    corners = (signs * [width / 2, height / 2]) @ turn.T + [cx, cy]
    line = [tuple(corner) for corner in (scene.width * corners[[0, 1, 2, 3, 0, 1]]).tolist()]
    for rim, shade in ((5, "#000000"), (3, colour)):
        drawing.line(line, fill=shade, width=rim, joint="curve")


def turned(
    pictures: UInt8[Tensor, "scene 3 64 64"], boxes: Float[Tensor, "scene 5"], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mirror every scene at random left to right, top to bottom and at the diagonal, and its box with it."""
    pictures, boxes = pictures.clone(), boxes.clone()
    across, down, diagonal = (torch.rand(3, len(boxes), generator=generator) < 0.5).unbind()
    pictures[across] = pictures[across].flip(3)
    pictures[down] = pictures[down].flip(2)
    pictures[diagonal] = pictures[diagonal].transpose(2, 3)
    boxes[across, 0] = 1 - boxes[across, 0]
    boxes[down, 1] = 1 - boxes[down, 1]
    boxes[across ^ down, 4] *= -1
    boxes[diagonal, 4] = math.pi / 2 - boxes[diagonal, 4]
    boxes[diagonal, :2] = boxes[diagonal, :2].flip(1)
    return pictures, boxes

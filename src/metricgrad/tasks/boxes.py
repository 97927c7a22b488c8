"""Find the object in a scene: a rotated box around a partly hidden emoji, judged by intersection over union.

Scenes of 64 x 64 pixels: one emoji, stretched and turned, on a crop of a photograph, with smaller emoji over and
beside it (`boxes_scenes.py`). The splits are disjoint by emoji, by the vendors that drew them and by the strips of
the photographs (`boxes_sets.py`): test shows unknown things in the hands of artists that neither fit nor select saw.

Boxes are cx, cy, w, h as shares of the picture's edge and an angle in radians. x points to the right and y *down*;
the angle turns the x axis towards the y axis, to the eye clockwise. IoU and losses know nothing of that: predictions
and targets are in the same frame.

The start model was trained by `scripts/train_boxes.py` to the plateau of its proxy loss, smooth-L1, on `select`, and
lies in the package: seeds vary the tuning only.

Reference:
    [patel2020learning] (rotated boxes as a use of learned surrogates; their data are others).
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from metricgrad._checks import describe, extra, fail, require_memory
from metricgrad._documents import WholeField
from metricgrad._types import Observer
from metricgrad.learned import rotated_boxes
from metricgrad.tasks.box_network import read_start, smooth_l1_box_loss
from metricgrad.tasks.boxes_sets import kept_scenes
from metricgrad.tasks.png import png
from metricgrad.tasks.task import Task
from metricgrad.tune.plan import Plan
from metricgrad.tune.splits import ArraySplit, Splits

__all__ = ["BoxScenes", "Options", "load", "scene_splits"]

COLOURS = {"target": "#ffffff", "before": "#d55e00", "after": "#1f7fc4"}
"""Of drawn boxes; other names take the colours of `OTHER_COLOURS` in turn."""
OTHER_COLOURS = ("#e69f00", "#009e73", "#cc79a7", "#56b4e9")
SHOWN = 4
"""Pixels of a picture for the page for one of the scene, along each axis."""


SETTINGS: Mapping[str, Any] = {
    "learning_rate": 2e-3,
    "surrogate_warmup": 1500,
    "surrogate_steps": 3,
    "local_fraction": 0.9,
    "objective": {"gradient_penalty_weight": 0.0},
}
PROXY_SETTINGS: Mapping[str, Any] = {"learning_rate": 1e-3}
"""Chosen on select with as many tries for each arm: `python -m benchmarks.learned_tasks choose boxes`."""


_BYTES_OF_A_SCENE = 3 * 3 * 64 * 64
"""Drawn, joined and kept: three copies for a moment."""


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        items_fit: scenes of the fit split; a smaller number takes the first of a larger one, here and below.
        items_select: scenes of the select split.
        items_test: scenes of the test split.
        batch: scenes of a fit batch.
        split_seed: of the division of the emoji and of the scenes. The start model was trained with 0: with another
            one it has seen some of the emoji of `select` and `test`, though never in these vendors' drawing.
        cache: folder of the scenes; None for METRICGRAD_CACHE or the user's cache folder.
        processes: that draw scenes; None for the number of cores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    items_fit: WholeField = Field(default=12_000, ge=1, le=1_000_000)
    items_select: WholeField = Field(default=2000, ge=1, le=1_000_000)
    items_test: WholeField = Field(default=4000, ge=1, le=1_000_000)
    batch: WholeField = Field(default=128, ge=1, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    cache: Path | None = None
    processes: WholeField | None = Field(default=None, ge=1, le=1024)


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Draw the scenes, or read them from the cache, and read the start model.

    Args:
        options: see `Options`.
        observer: receives the progress of the drawing, and notes about a damaged cache.

    Returns:
        The task; inputs are uint8 [sample, 3, 64, 64], RGB, targets and outputs float32 [sample, 5]: cx, cy, w, h,
        angle.

    Raises:
        InputError: an unknown option, or a cache folder that cannot be written.
        MissingExtraError: Pillow or scikit-learn is not installed.

    Cost:
        About a minute the first time (18,000 scenes on two cores), then seconds; 222 MB in the cache and in memory.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    splits, key = scene_splits(chosen, observer)
    start = b"".join(value.numpy().tobytes() for value in read_start().state_dict().values())
    return Task(
        name="boxes",
        splits=splits,
        model=lambda _seed: read_start(),
        proxy=smooth_l1_box_loss,
        metric="rotated_iou",
        plan=Plan(steps=800),
        method="learned",
        settings=SETTINGS,
        proxy_settings=PROXY_SETTINGS,
        kind=rotated_boxes(),
        facts={"scenes": key, "start": hashlib.sha256(start).hexdigest()},
    )


def scene_splits(options: Options, observer: Observer | None = None) -> tuple[Splits, str]:
    """Draw the scenes of all splits, or read them from the cache.

    Args:
        options: see `Options`.
        observer: receives the progress of the drawing, and notes about a damaged cache.

    Returns:
        The splits (`BoxScenes`), and the key of the scenes, which names everything that settles their pixels.

    Raises:
        InputError: more scenes than memory, a cache folder that cannot be written, or a process that could not draw.
        MissingExtraError: Pillow or scikit-learn is not installed.
    """
    counts = {"fit": options.items_fit, "select": options.items_select, "test": options.items_test}
    needed = _BYTES_OF_A_SCENE * sum(counts.values())
    require_memory("task boxes", f"drawing {sum(counts.values()):,} scenes", needed)
    found = kept_scenes(
        counts,
        seed=options.split_seed,
        cache=options.cache,
        processes=options.processes,
        observer=observer,
    )

    def split(name: str, **settings: Any) -> BoxScenes:
        pictures, boxes, _ = found.splits[name]
        inputs, targets = torch.from_numpy(pictures), torch.from_numpy(boxes)
        return BoxScenes(inputs, targets, names=found.names[name], **settings)

    fit = split("fit", batch=options.batch, shuffle=True, seed=options.split_seed, mirror=True)
    return Splits(fit, split("select"), split("test")), found.key


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

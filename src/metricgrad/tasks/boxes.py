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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from metricgrad._documents import WholeField
from metricgrad._types import Observer
from metricgrad.learned import rotated_boxes
from metricgrad.tasks.box_network import read_start, smooth_l1_box_loss
from metricgrad.tasks.boxes_sets import kept_scenes
from metricgrad.tasks.boxes_split import BoxScenes
from metricgrad.tasks.task import Task
from metricgrad.tune import Plan, Splits

__all__ = ["Options", "load", "scene_splits"]

SETTINGS: Mapping[str, Any] = {
    "learning_rate": 2e-3,
    "surrogate_warmup": 1500,
    "surrogate_steps": 3,
    "local_fraction": 0.9,
    "objective": {"gradient_penalty_weight": 0.0},
}
PROXY_SETTINGS: Mapping[str, Any] = {"learning_rate": 1e-3}
"""Chosen on select with as many tries for each arm: `python -m benchmarks.learned_tasks choose boxes`."""


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

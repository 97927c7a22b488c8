"""Say what every pixel of a scene shows: semantic segmentation, judged by mean IoU of all pixels of the split.

Scenes of 48 x 48 pixels: two to five cut-out emoji, slightly turned and over each other, on a crop of a photograph. The
classes are the background and six categories of emoji. They are unequal: three of four pixels are background, and of
the rarest category there are a fifth as many cut-outs as of the most frequent. A network that is trained with
cross-entropy hardly ever says the rare ones; mean IoU counts them as much as the background.

The splits are disjoint by emoji, by the vendors that drew them and by the strips of the photographs, as those of
`boxes`: test shows unknown things in the hands of artists that neither fit nor select saw. Masks are exact.

A small network that goes down to an eighth of the picture and up again is trained with cross-entropy to its plateau on
`select`: that is the start.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from metricgrad._documents import WholeField
from metricgrad._types import Observer
from metricgrad.tasks.scenes_drawing import CLASSES
from metricgrad.tasks.scenes_network import SceneNetwork
from metricgrad.tasks.scenes_sets import kept_scenes
from metricgrad.tasks.scenes_split import MaskSplit
from metricgrad.tasks.task import Task
from metricgrad.tune import Plan, Splits

__all__ = ["Options", "load"]


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        items_fit: scenes of the fit split; a smaller number takes the first of a larger one, here and below.
        items_select: scenes of the select split.
        items_test: scenes of the test split.
        batch: scenes of a fit batch.
        split_seed: of the division of the emoji and of the scenes.
        cache: folder of the scenes; None for METRICGRAD_CACHE or the user's cache folder.
        processes: that draw scenes; None for the number of cores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    items_fit: WholeField = Field(default=4000, ge=1, le=1_000_000)
    items_select: WholeField = Field(default=600, ge=1, le=1_000_000)
    items_test: WholeField = Field(default=2000, ge=1, le=1_000_000)
    batch: WholeField = Field(default=32, ge=1, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    cache: Path | None = None
    processes: WholeField | None = Field(default=None, ge=1, le=1024)


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Draw the scenes, or read them from the cache.

    Args:
        options: see `Options`.
        observer: receives the progress of the drawing, and notes about a damaged cache.

    Returns:
        The task; inputs are uint8 [image, 3, 48, 48], RGB, targets class numbers [image, 48, 48], outputs logits
        [image, 7, 48, 48].

    Raises:
        InputError: an unknown option, or a cache folder that cannot be written.
        MissingExtraError: Pillow or scikit-learn is not installed.

    Cost:
        About 20 s the first time (6,600 scenes on two cores), then a second; 61 MB in the cache, 170 MB in memory.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    scenes, key = kept_scenes(
        {"fit": chosen.items_fit, "select": chosen.items_select, "test": chosen.items_test},
        seed=chosen.split_seed,
        cache=chosen.cache,
        processes=chosen.processes,
        observer=observer,
    )

    def split(name: str, **settings: Any) -> MaskSplit:
        pictures, masks = scenes[name]
        return MaskSplit(torch.from_numpy(pictures), torch.from_numpy(masks).long(), **settings)

    return Task(
        name="scenes",
        splits=Splits(
            split("fit", batch=chosen.batch, shuffle=True, seed=chosen.split_seed, mirror=True),
            split("select", batch=200),
            split("test", batch=200),
        ),
        model=lambda _seed: SceneNetwork(len(CLASSES)),
        proxy=nn.functional.cross_entropy,
        metric="mean_iou",
        method="surrogate:lovasz_softmax",
        plan=Plan(steps=200, evaluate_every=20),
        proxy_settings={"learning_rate": 1e-3},
        start_plan=Plan(steps=1000, evaluate_every=50),
        start_settings={"learning_rate": 5e-3, "schedule": "constant"},
        facts={"scenes": key},
    )

"""Say what a picture of clothing shows, where some things were seen a hundred times less: Fashion-MNIST's ten classes.

In fit the numbers of pictures fall by a constant ratio from class to class: 5,500 of one, 55 of another. Select and
test have as many of each; test is the official one.

A small convolutional network is trained with cross-entropy to its plateau on `select`: that is the start.

Reference:
    [xiao2017fashion] (the pictures), [cui2019class] (classes that fall by a constant ratio).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from metricgrad._documents import NumberField, WholeField
from metricgrad._types import Observer
from metricgrad.tasks.divisions import class_by_class, long_tail
from metricgrad.tasks.fashion_mnist import CLASSES, PictureScores, as_inputs, pictures_folder, read_part
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Plan, Splits

__all__ = ["Options", "load"]

SELECT = 1 / 12
"""Share of select in the official training file; the rest is what fit is thinned out of."""


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        imbalance: pictures of the largest class of fit for one of the smallest.
        batch: pictures of a fit batch.
        split_seed: of the division of the pictures, of the order of the classes from many to few, of the pictures left.
        folder: of the four gzip files; null for the first that has them of $METRICGRAD_DATA/fashion-mnist, the user's
            cache folder and the Debian package's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    imbalance: NumberField = Field(default=100, ge=1, le=1_000_000)
    batch: WholeField = Field(default=512, ge=2, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    folder: Path | None = None


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the pictures, divide the official training file (a twelfth select, the rest fit), thin out fit.

    Args:
        options: see `Options`.
        observer: unused: reading takes a second.

    Returns:
        The task; inputs are float32 [sample, 1, 28, 28] in [0, 1], targets 0 to 9.

    Raises:
        InputError: the files are not there or damaged.
    """
    del observer
    chosen = options if isinstance(options, Options) else Options(**options)
    folder = pictures_folder("fashion_long_tail", chosen.folder)
    pictures, labels = read_part("fashion_long_tail", folder, "train")
    select, rest = class_by_class(labels, (SELECT,), chosen.split_seed)
    fit = rest[long_tail(labels[rest], chosen.imbalance, chosen.split_seed)]

    def part(images: np.ndarray, classes: np.ndarray, **more: Any) -> ArraySplit:
        return ArraySplit(as_inputs(images), torch.tensor(classes).long(), **more)

    return Task(
        name="fashion_long_tail",
        splits=Splits(
            part(pictures[fit], labels[fit], batch=chosen.batch, shuffle=True, seed=chosen.split_seed),
            part(pictures[select], labels[select], batch=1024),
            part(*read_part("fashion_long_tail", folder, "t10k"), batch=1024),
            classes=CLASSES,
        ),
        model=lambda _seed: PictureScores(10),
        proxy=nn.functional.cross_entropy,
        metric="macro_f1",
        plan=Plan(steps=300, evaluate_every=15),
        proxy_settings={"learning_rate": 1e-3},
        start_plan=Plan(steps=3000, evaluate_every=50),
        start_settings={"learning_rate": 2e-3, "schedule": "constant"},
    )

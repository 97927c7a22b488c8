"""Say what a picture of clothing shows, ten classes, perhaps from labels of which some are wrong: Fashion-MNIST.

Labels of fit can be replaced by another class at a chosen rate; select and test are clean. Test is the official one.

A small convolutional network is trained with cross-entropy to its plateau on `select`: that is the start.

Reference:
    [xiao2017fashion] (the pictures), [zhang2018generalized] (uniform wrong labels on them).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from metricgrad._checks import fail
from metricgrad._documents import NumberField, WholeField
from metricgrad._types import Observer
from metricgrad.tasks.divisions import class_by_class
from metricgrad.tasks.fashion_mnist import PictureScores, as_inputs, pictures_folder, read_part
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Plan, Splits

__all__ = ["Options", "load"]

CLASSES = 10
SELECT = 1 / 12
"""Share of select in the official training file; the rest is what fit is drawn from."""


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        flip: probability that a label of fit is replaced by one of the other nine, each alike. The labels that a lower
            rate replaces are among those of a higher one.
        items_fit: pictures of fit, each class alike; null for all 55,000.
        batch: pictures of a fit batch.
        split_seed: of the division of the pictures, of those drawn for fit, of the labels that are replaced.
        folder: of the four gzip files; null for the first that has them of $METRICGRAD_DATA/fashion-mnist, the user's
            cache folder and the Debian package's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: NumberField = Field(default=0.0, ge=0, lt=0.9)
    items_fit: WholeField | None = Field(default=None, ge=10, le=1_000_000)
    batch: WholeField = Field(default=128, ge=2, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    folder: Path | None = None


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the pictures, divide the official training file (a twelfth select, the rest fit), replace labels of fit.

    Args:
        options: see `Options`.
        observer: unused: reading takes a second.

    Returns:
        The task; inputs are float32 [sample, 1, 28, 28] in [0, 1], targets 0 to 9.

    Raises:
        InputError: the files are not there or damaged, or have fewer pictures than are asked for.
    """
    del observer
    chosen = options if isinstance(options, Options) else Options(**options)
    folder = pictures_folder("fashion", chosen.folder)
    pictures, labels = read_part("fashion", folder, "train")
    select, fit = class_by_class(labels, (SELECT,), chosen.split_seed)
    if chosen.items_fit is not None:
        if chosen.items_fit > len(fit):
            raise fail(
                "task fashion", f"items_fit is {chosen.items_fit}", f"at most {len(fit)}, or null for all"
            )
        fit = fit[class_by_class(labels[fit], (chosen.items_fit / len(fit),), chosen.split_seed)[0]]

    def part(images: np.ndarray, classes: np.ndarray, **more: Any) -> ArraySplit:
        return ArraySplit(as_inputs(images), torch.tensor(classes).long(), **more)

    given = _flipped(labels[fit].astype(np.int64), chosen)
    return Task(
        name="fashion",
        splits=Splits(
            part(pictures[fit], given, batch=chosen.batch, shuffle=True, seed=chosen.split_seed),
            part(pictures[select], labels[select], batch=1024),
            part(*read_part("fashion", folder, "t10k"), batch=1024),
        ),
        model=lambda _seed: PictureScores(CLASSES),
        proxy=nn.functional.cross_entropy,
        metric="error_rate",
        plan=Plan(steps=1000, evaluate_every=50),
        method="surrogate:generalized_cross_entropy",
        start_plan=Plan(steps=6000, evaluate_every=100),
        start_settings={"learning_rate": 2e-3, "schedule": "constant"},
    )


def _flipped(labels: Integer[np.ndarray, "row"], options: Options) -> Integer[np.ndarray, "row"]:
    """Replace labels by another class at the rate `flip`."""
    rng = np.random.default_rng((options.split_seed, 1))
    draws, further = rng.random(len(labels)), rng.integers(1, CLASSES, len(labels))
    return np.where(draws < options.flip, (labels + further) % CLASSES, labels)

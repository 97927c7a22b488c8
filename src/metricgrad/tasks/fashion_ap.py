"""Rank pictures of clothing by one look: is it a shirt or a pullover? Average precision under noisy labels.

The 60,000 + 10,000 pictures of Fashion-MNIST (28 x 28, grey, ten classes), one group of classes against all others,
with a chosen share of positives. Labels of `fit` are flipped at a chosen rate, as in the experiments of Song et al.;
`select` and `test` keep theirs. `test` comes from the official test file.

A small convolutional network is trained with binary cross-entropy to its plateau on `select`: that is the start.

Reference:
    [xiao2017fashion] (the pictures), [song2016direct] (flipped labels).
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._documents import NumberField, WholeField
from metricgrad._types import Observer
from metricgrad.tasks.binary import binary_cross_entropy
from metricgrad.tasks.fashion_mnist import PictureScores, as_inputs, pictures_folder, read_part
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Plan, Splits

__all__ = ["Options", "PictureScore", "load"]

HARD_CLASSES = (6, 2, 4, 0)
"""Shirt, pullover, coat, T-shirt: the classes that are taken for one another."""


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        positive_share: of the pictures of every split, before labels are flipped.
        classes: ids of the positive classes; null for as many of shirt (6), pullover (2), coat (4) and T-shirt (0),
            in this order, as the share needs at 10 % each: 0.2 shirts and pullovers, 0.02 a part of the shirts.
        flip: probability that a label of the fit split is replaced by the other one.
        items_fit: pictures of the fit split.
        items_select: pictures of the select split.
        items_test: pictures of the test split; null for all that the share allows: 10,000 at 0.2, 9,183 at 0.02.
        batch: pictures of a fit batch.
        split_seed: of the choice of pictures and of the labels that are flipped.
        folder: of the four gzip files; null for the first that has them of $METRICGRAD_DATA/fashion-mnist, the user's
            cache folder and the Debian package's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    positive_share: NumberField = Field(default=0.2, gt=0, le=0.4)
    classes: tuple[WholeField, ...] | None = None
    flip: NumberField = Field(default=0.0, ge=0, lt=0.5)
    items_fit: WholeField = Field(default=8000, ge=2, le=1_000_000)
    items_select: WholeField = Field(default=4000, ge=2, le=1_000_000)
    items_test: WholeField | None = Field(default=None, ge=2, le=1_000_000)
    batch: WholeField = Field(default=512, ge=2, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    folder: Path | None = None


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the pictures, draw the splits, flip labels of fit.

    Args:
        options: see `Options`.
        observer: unused: reading takes a second.

    Returns:
        The task; inputs are float32 [sample, 1, 28, 28] in [0, 1], targets 0 or 1.

    Raises:
        InputError: the files are not there or damaged, a class that does not exist, more pictures than there are.
    """
    del observer
    chosen = options if isinstance(options, Options) else Options(**options)
    classes = _classes(chosen)
    folder = pictures_folder("fashion_ap", chosen.folder)
    fit, select = _drawn(folder, "train", classes, chosen, [chosen.items_fit, chosen.items_select])
    (test,) = _drawn(folder, "t10k", classes, chosen, [chosen.items_test])
    return Task(
        name="fashion_ap",
        splits=Splits(
            ArraySplit(
                fit[0], _flipped(fit[1], chosen), batch=chosen.batch, shuffle=True, seed=chosen.split_seed
            ),
            ArraySplit(*select, batch=512),
            ArraySplit(*test, batch=512),
        ),
        model=lambda _seed: PictureScore(),
        proxy=binary_cross_entropy,
        metric="binary_average_precision",
        plan=Plan(steps=300),
        proxy_settings={"learning_rate": 1e-3},
        start_plan=Plan(steps=1000, evaluate_every=25),
        start_settings={"learning_rate": 2e-3, "schedule": "constant"},
    )


class PictureScore(PictureScores):
    """One logit for a grey picture of 28 x 28. 60,545 parameters.

    Args:
        dropout: see `PictureScores`.

    Example:
        >>> PictureScore()(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5])
    """

    def __init__(self, *, dropout: float = 0.3) -> None:
        super().__init__(1, dropout=dropout)

    def forward(self, pictures: Float[Tensor, "sample 1 28 28"]) -> Float[Tensor, "sample"]:
        """Return the logits."""
        return super().forward(pictures).squeeze(1)


def _classes(options: Options) -> tuple[int, ...]:
    """The ids of the positive classes."""
    if options.classes is None:
        return HARD_CLASSES[: math.ceil(10 * options.positive_share - 1e-9)]
    if not set(options.classes) <= set(range(10)) or not 0 < len(set(options.classes)) < 10:
        raise fail("task fashion_ap", f"classes are {list(options.classes)}", "one to nine of the ids 0 to 9")
    return options.classes


def _drawn(
    folder: Path, part: str, classes: tuple[int, ...], options: Options, items: list[int | None]
) -> list[tuple[Float[Tensor, "sample 1 28 28"], Int[Tensor, "sample"]]]:
    """Draw splits of so many pictures from one part, without common pictures, all with the share of positives."""
    pictures, labels = read_part("fashion_ap", folder, part)
    positive = np.isin(labels, classes)
    rng = np.random.default_rng((options.split_seed, int(part == "t10k")))
    positives, negatives = (rng.permutation(np.flatnonzero(positive == kind)) for kind in (True, False))
    found = []
    for index in _dealt(positives, negatives, options.positive_share, items):
        found.append((as_inputs(pictures[index]), torch.from_numpy(positive[index]).long()))
    return found


def _dealt(
    positives: np.ndarray, negatives: np.ndarray, share: float, items: list[int | None]
) -> Iterator[np.ndarray]:
    """Deal the pictures out, each once, in hands of so many items with the share of positives; None: as many as go."""
    most = int(min(len(positives) / share, len(negatives) / (1 - share)) + 1e-9)
    sizes = [most if size is None else size for size in items]
    ends = np.cumsum([0, *sizes])
    right = np.rint(share * ends).astype(int)  # of the sum: what rounding gives one hand the next one lacks
    if ends[-1] > most or np.diff(right).min() < 1:
        raise fail(
            "task fashion_ap",
            f"splits of {' and '.join(str(size) for size in sizes)} pictures at a share of {share}",
            f"a positive in each and at most {most} pictures ({len(positives)} positive, {len(negatives)} negative "
            "ones are there)",
            "Change data.items_fit, items_select, items_test, classes or positive_share.",
        )
    for hand in range(len(sizes)):
        first, last = right[hand : hand + 2]
        from_negatives = slice(ends[hand] - first, ends[hand + 1] - last)
        yield np.sort(np.concatenate([positives[first:last], negatives[from_negatives]]))


def _flipped(targets: Int[Tensor, "sample"], options: Options) -> Int[Tensor, "sample"]:
    """Replace targets by the other one at the rate `flip`; those of a lower rate are among those of a higher one."""
    draws = np.random.default_rng((options.split_seed, 2)).random(len(targets))
    return torch.where(torch.from_numpy(draws < options.flip), 1 - targets, targets)

"""Retrieve handwritten digits of unseen classes: scikit-learn's 1,797 pictures of 8 x 8, for quick trials and tests.

Ten classes are few: the splits are class-disjoint (4 fit, 3 select, 3 test), so figures here show that a run works,
not that a method does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from metricgrad._checks import extra
from metricgrad._documents import WholeField
from metricgrad._types import Observer
from metricgrad.tasks.film_head import FilmHead
from metricgrad.tasks.png import Pictures
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Splits

__all__ = ["Options", "load"]


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        dim: of the embedding.
        samples_per_class: pictures of each of the four fit classes in a batch.
        split_seed: of the division of the classes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: WholeField = Field(default=16, ge=2, le=8192)
    samples_per_class: WholeField = Field(default=16, ge=2, le=1000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the digits and split the classes.

    Args:
        options: see `Options`.
        observer: unused: nothing here takes time.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    del observer
    chosen = options if isinstance(options, Options) else Options(**options)
    digits = extra("sklearn.datasets", "scikit", "the digits task").load_digits()
    inputs = torch.from_numpy(digits.data).float() / 16
    labels = torch.from_numpy(digits.target).long()
    shades = (255 - digits.images * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(chosen.split_seed).permutation(10)

    def rows(classes: np.ndarray) -> torch.Tensor:
        return torch.isin(labels, torch.from_numpy(classes)).nonzero()[:, 0]

    def shown(classes: np.ndarray) -> ArraySplit:
        index = rows(classes)
        return ArraySplit(
            inputs[index],
            labels[index],
            pictures=Pictures(shades[index.numpy()], "digits", scale=8),
            names=[f"{labels[item]} (no. {item})" for item in index],
        )

    index = rows(order[:4])
    fit = ClassBatchSplit(
        inputs[index], labels[index], classes_per_batch=4, samples_per_class=chosen.samples_per_class
    )

    def model(_seed: int) -> nn.Module:
        return FilmHead(fit.inputs.mean(0), fit.inputs.std(0), dim=chosen.dim, dropout=0.1)

    return Task(
        name="digits",
        splits=Splits(fit, shown(order[4:7]), shown(order[7:])),
        model=model,
        proxy="supcon",
        metric="recall@1",
        plan=Plan(steps=60),
        start_plan=Plan(steps=200),
    )

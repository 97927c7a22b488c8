"""Say in which section of Debian's archive a package is, from the vector of its long description.

58 classes with a long tail: thousands of libraries, some twenty packages for news readers. The vectors are those of a
frozen sentence encoder. No source package, and no text, is on two sides of the splits; the interval draws all texts of
a source together.

A linear layer is trained with cross-entropy to its plateau on `select`: that is the start.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from metricgrad._types import Observer
from metricgrad.tasks.task import Task
from metricgrad.tasks.text_data import FIT, SELECT, TEST, text_data
from metricgrad.tasks.text_data import TextOptions as Options
from metricgrad.tune import ArraySplit, Plan, Splits

__all__ = ["Options", "load"]


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the texts, encode them or read their vectors, divide them.

    Args:
        options: see `TextOptions`.
        observer: receives the progress of the encoder, and a note where the archive has moved.

    Returns:
        The task; inputs are float32 [document, 384] of length 1, targets the numbers of the sections by the alphabet.

    Raises:
        InputError: the texts are not there, or damaged.
        MissingExtraError: the encoder is not installed.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    data = text_data("sections", chosen, observer)
    vectors = data.vectors(data.texts.documents, data.document_part)
    sections, targets = np.unique(data.texts.sections, return_inverse=True)

    def rows(part: int) -> np.ndarray:
        return np.flatnonzero(data.document_part == part)

    def split(part: int, **more: Any) -> ArraySplit:
        chosen_rows = rows(part)
        names = [data.texts.names[row] for row in chosen_rows]
        return ArraySplit(vectors[chosen_rows], targets[chosen_rows], names=names, **more)

    return Task(
        name="sections",
        splits=Splits(
            split(FIT, batch=chosen.batch, shuffle=True, seed=chosen.split_seed),
            split(SELECT, batch=4096),
            split(TEST, batch=4096),
            classes=sections.tolist(),
            groups={
                name: torch.from_numpy(data.texts.document_groups[rows(part)])
                for name, part in (("fit", FIT), ("select", SELECT), ("test", TEST))
            },
        ),
        model=lambda _seed: nn.Linear(vectors.shape[1], len(sections)),
        proxy=nn.functional.cross_entropy,
        metric="macro_f1",
        plan=Plan(steps=300, evaluate_every=15),
        proxy_settings={"learning_rate": 1e-3},
        start_plan=Plan(steps=3000, evaluate_every=100),
        start_settings={"learning_rate": 1e-2, "schedule": "constant"},
        facts=data.facts,
    )

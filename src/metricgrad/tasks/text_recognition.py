"""Read the text in a picture: LMDB environments or list files of text recognition in a folder of yours.

The folder is laid out as tools of the field do it: `training`, `validation` and `evaluation` hold LMDB environments at
any depth; a list file with its pictures beside it does as well. Texts that the characters cannot spell are left out
and counted. Any network takes part by its name; nothing is downloaded.

Reference:
    [baek2019wrong] (layout, 36 characters, pictures of 32 x 100, texts of up to 25), [patel2020learning] (the method).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from metricgrad._documents import WholeField
from metricgrad._named_code import NamedCode
from metricgrad._types import Observer
from metricgrad.field.recognition import reader_named, recognition_splits
from metricgrad.field.texts import LetterCrossEntropy
from metricgrad.learned import words
from metricgrad.tasks.task import Task
from metricgrad.tune import Plan

__all__ = ["Options", "load"]

MOST_WORDS = 20_000
"""Different texts of fit that pairs for a learned surrogate are made of."""


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        data: folder that the places below are in.
        train: what is learned from: list files, LMDB environments, or folders that hold environments at any depth.
        select: what chooses, in the same way.
        test: what judges, in the same way.
        network: `package.module:name` of a function or class that makes a network: pictures [item, 1, row, column]
            with levels from -1 to 1 to logits [item, step, symbol], the end symbol last.
        network_settings: its keyword arguments.
        weights: a safetensors file of a trained network by its own names.
        trained: a safetensors file as a run leaves it (`best.safetensors`). With either the start model is not
            trained; without, it is, by the cross-entropy of letters.
        characters: of the outputs, in their order.
        fold: whether capital letters are read as small ones.
        longest: text, in characters: the steps of the outputs.
        height: of a picture, in pixels.
        width: of a picture, in pixels.
        batch: pictures of a fit batch.
        evaluation_batch: pictures that are read together where nothing is learned.
        split_seed: of the order of fit.
        workers: threads that read pictures; None for one per processor, at most 16.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path
    train: tuple[str, ...] = Field(default=("training",), min_length=1)
    select: tuple[str, ...] = Field(default=("validation",), min_length=1)
    test: tuple[str, ...] = Field(default=("evaluation",), min_length=1)
    network: NamedCode = Field(min_length=3)
    network_settings: dict[str, Any] = Field(default_factory=dict)
    weights: Path | None = None
    trained: Path | None = None
    characters: str = Field(default="0123456789abcdefghijklmnopqrstuvwxyz", min_length=1)
    fold: bool = True
    longest: WholeField = Field(default=25, ge=1, le=1000)
    height: WholeField = Field(default=32, ge=1, le=4096)
    width: WholeField = Field(default=100, ge=1, le=4096)
    batch: WholeField = Field(default=192, ge=2, le=100_000)
    evaluation_batch: WholeField = Field(default=192, ge=1, le=100_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    workers: WholeField | None = Field(default=None, ge=1, le=256)


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the texts, and make the splits; pictures are read when a batch needs them.

    Args:
        options: see `Options`.
        observer: is told which texts are left out.

    Returns:
        The task; inputs are uint8 [sample, 1, height, width], targets texts, outputs logits
        [sample, longest, characters + 1].

    Raises:
        InputError: a place, a list or an environment is missing or of another form, no text can be spelt, or two
            parts share pictures.
        MissingExtraError: Pillow or lmdb is not installed.
    """
    show = observer or (lambda event: None)
    chosen = options if isinstance(options, Options) else Options(**options)
    kind = words(chosen.characters, chosen.longest)  # checks the characters
    splits, told = recognition_splits(
        chosen.data.expanduser(),
        {"fit": chosen.train, "select": chosen.select, "test": chosen.test},
        (chosen.height, chosen.width),
        characters=chosen.characters,
        longest=chosen.longest,
        fold=chosen.fold,
        batch=chosen.batch,
        evaluation_batch=chosen.evaluation_batch,
        seed=chosen.split_seed,
        workers=chosen.workers,
    )
    for text in told:
        show({"event": "note", "text": f"text_recognition: {text}"})
    seen = list(dict.fromkeys(splits.fit.targets))  # pyright: ignore[reportAttributeAccessIssue]
    if len(seen) > 1:
        kind = words(chosen.characters, chosen.longest, vocabulary=seen[:MOST_WORDS])
    comes_trained = chosen.weights is not None or chosen.trained is not None

    def model(_seed: int) -> nn.Module:
        shape = (chosen.height, chosen.width, chosen.longest, len(chosen.characters) + 1)
        return reader_named(
            chosen.network,
            chosen.network_settings,
            shape,
            weights=chosen.weights,
            trained=chosen.trained,
        )

    return Task(
        name="text_recognition",
        splits=splits,
        model=model,
        proxy=LetterCrossEntropy(chosen.characters, chosen.longest),
        metric="edit_distance",
        side_metrics=("sequence_accuracy",),
        may_fall=1.0,  # it is shown, and holds nothing back
        plan=Plan(steps=2000),
        method="learned+filter",
        settings={"learning_rate": 1e-4},
        proxy_settings={"learning_rate": 1e-4},
        start_plan=None if comes_trained else Plan(steps=20_000),
        start_settings={"learning_rate": 1e-3},
        kind=kind,
    )

"""The task that every data set of pictures in a user's folder becomes: find another picture of the same class."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from metricgrad._types import Observer
from metricgrad.field.backbone import Embedder, cut, load_weights, network_named
from metricgrad.field.listed import Parts
from metricgrad.field.retrieval import retrieval_splits
from metricgrad.field.views import Views
from metricgrad.tasks.picture_options import PictureOptions
from metricgrad.tasks.task import Task
from metricgrad.tune import Plan

__all__ = ["listed_task", "picture_task"]

SETTINGS: Mapping[str, Any] = {
    "learning_rate": 1e-4,
    "weight_decay": 4e-4,
    "objective": {"k": [1, 2, 4, 8, 16], "temperature": 0.01},
}
"""Of the official code of [patel2022recall] for ResNet-50."""


def listed_task(
    name: str,
    read: Callable[[Path], Parts],
    options: Mapping[str, Any] | PictureOptions,
    observer: Observer | None = None,
) -> Task:
    """Make the task of a data set whose lists say all that there is to say.

    Args:
        name: of the task.
        read: folder -> its official parts.
        options: see `PictureOptions`.
        observer: is told where counts differ from the published ones.

    Raises:
        InputError: a list or pictures are missing or of another form, or an option does not fit.
        MissingExtraError: Pillow is not installed, or scipy, where lists are MATLAB files.
    """
    chosen = options if isinstance(options, PictureOptions) else PictureOptions(**options)
    return picture_task(name, read(chosen.data.expanduser()), chosen, observer)


def picture_task(
    name: str, parts: Parts, options: PictureOptions, observer: Observer | None = None, **facts: str
) -> Task:
    """Make the task of a data set.

    Args:
        name: of the task.
        parts: the data set.
        options: of the task.
        observer: is told where counts differ and what was left out.
        facts: what a resumed run must find unchanged, beside the pictures, their classes and the network.

    Raises:
        InputError: files are missing, classes do not suffice, or crop is larger than resize.
    """
    splits, told = retrieval_splits(
        parts,
        Views(options.resize, options.crop),
        classes_per_batch=options.classes_per_batch,
        samples_per_class=options.samples_per_class,
        evaluation_batch=options.evaluation_batch,
        select_share=options.select_share,
        seed=options.split_seed,
        workers=options.workers,
        development=options.development,
    )
    show = observer or (lambda event: None)
    for text in told:
        show({"event": "note", "text": f"{name}: {text}"})

    def model(_seed: int) -> nn.Module:
        return _network(options)

    return Task(
        name=name,
        splits=splits,
        model=model,
        proxy="supcon",
        metric="recall@1",
        side_metrics=("map", "recall@5"),
        may_fall=1.0,  # they are shown, and hold nothing back
        plan=Plan(steps=500, chunk=100),
        method="surrogate:recall_at_k",
        settings=SETTINGS,
        proxy_settings={"learning_rate": SETTINGS["learning_rate"], "weight_decay": SETTINGS["weight_decay"]},
        start_plan=Plan(steps=500, chunk=100) if options.trained is None else None,
        start_settings={"learning_rate": SETTINGS["learning_rate"], "weight_decay": SETTINGS["weight_decay"]},
        facts=facts,
    )


def _network(options: PictureOptions) -> nn.Module:
    """The network before any training on this task, or as it was trained."""
    backbone = network_named(options.backbone, options.backbone_settings, "backbone")
    if options.weights is not None:
        load_weights(backbone, options.weights, "weights", leave_out=options.leave_out)
    if options.without is not None:
        backbone = cut(backbone, options.without)
    network = Embedder(
        backbone,
        dim=options.dim,
        size=options.crop,
        pooling=options.pooling,
        layer_norm=options.layer_norm,
        freeze_batch_norm=options.freeze_batch_norm,
        mean=options.mean,
        deviation=options.deviation,
    )
    if options.trained is not None:
        load_weights(network, options.trained, "trained")
    return network

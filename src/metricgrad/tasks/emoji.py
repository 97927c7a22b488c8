"""Retrieve the same emoji drawn by other artists: the default task.

Query: one vendor's drawing; relevant: the other vendors' drawings of the same emoji. Independent artists drew the same
thing: natural variation, many classes, few pictures of each, and classes at test that training never saw.

A frozen EfficientNet-Lite0 gives 1,280 features a picture, computed once and cached; a head with FiLM on the features
is trained by SupCon to its plateau on `select`: that is the start model. The settings of both arms stand in
`emoji_settings.yaml`, chosen on fit + select alone (`metricgrad settings emoji`), with as many tries for one as for
the other, and frozen before the test split was read.
"""

import io
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from metricgrad._checks import extra, fail, nearest
from metricgrad._types import Observer
from metricgrad.tasks.emoji_pictures import EmojiPictures, load_pictures
from metricgrad.tasks.features import efficientnet_lite0_features, features_key
from metricgrad.tasks.film_head import FilmHead
from metricgrad.tasks.task import Task
from metricgrad.tune.plan import Plan
from metricgrad.tune.splits import ArraySplit, ClassBatchSplit, Splits

__all__ = ["Options", "load"]

SHARES = (0.45, 0.15)
"""Share of the classes in fit and in select; the others are test."""


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        vendors: the sets that take part; None for all of the file.
        leave_out: a vendor that fit and select never see: at test its drawings are the queries, the others' drawings
            of the test classes are what is searched.
        data: folder that `scripts/build_emoji.py --all` wrote (eight vendors); None for the embedded six.
        cache: folder of the feature cache; None for METRICGRAD_CACHE or the user's cache folder.
        dim: of the embedding.
        classes_per_batch: classes in a batch, each with all its drawings.
        split_seed: of the division of the classes into fit, select and test.
        development: None for the real splits; a number draws fit, select and a held-out part anew from the classes
            of fit and select: for choosing settings without touching test.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vendors: tuple[str, ...] | None = None
    leave_out: str | None = None
    data: Path | None = None
    cache: Path | None = None
    dim: int = Field(default=256, ge=2)
    classes_per_batch: int = Field(default=170, ge=2)
    split_seed: int = Field(default=0, ge=0)
    development: int | None = Field(default=None, ge=0)


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the pictures, compute or read the features, split the classes.

    Args:
        options: see `Options`.
        observer: receives the progress of the features.

    Returns:
        The task.

    Raises:
        InputError: unknown vendor or option.
        MissingExtraError: pillow or the backbone is not installed.

    Cost:
        About a minute the first time (features of 6,891 pictures on two cores), then seconds.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    pictures = load_pictures(None if chosen.data is None else chosen.data / "emoji.safetensors")
    features = efficientnet_lite0_features(
        pictures.pictures, digest=pictures.digest, cache=chosen.cache, observer=observer
    )
    splits = _splits(pictures, features, chosen)
    mean, deviation = splits.fit.inputs.mean(0), splits.fit.inputs.std(0)  # pyright: ignore[reportAttributeAccessIssue]

    def model(_seed: int) -> nn.Module:
        return FilmHead(mean, deviation, dim=chosen.dim)

    frozen = yaml.safe_load(resources.files("metricgrad.tasks").joinpath("emoji_settings.yaml").read_text())
    return Task(
        name="emoji",
        splits=splits,
        model=model,
        proxy="supcon",
        metric="recall@1",
        plan=Plan(**frozen["plan"]),
        method=frozen["method"],
        settings=frozen["tuned"],
        proxy_settings=frozen["continued"],
        start_plan=Plan(**frozen["start"]["plan"]),
        start_settings=frozen["start"]["settings"],
        facts={"pictures": pictures.digest, "features": features_key(pictures.digest)},
    )


def _splits(pictures: EmojiPictures, features: Tensor, options: Options) -> Splits:
    taking_part = _vendors(pictures, options)
    label, vendor = torch.from_numpy(pictures.label), torch.from_numpy(pictures.vendor)
    fit, select, test = _classes(int(label.max()) + 1, options)
    here = torch.isin(vendor, torch.tensor(sorted(taking_part)))
    left = -1 if options.leave_out is None else pictures.vendors.index(options.leave_out)

    def rows(classes: np.ndarray, mask: Tensor) -> Tensor:
        return (torch.isin(label, torch.from_numpy(classes)) & here & mask).nonzero()[:, 0]

    def shown(index: Tensor, reference: ArraySplit | None = None) -> ArraySplit:
        return ArraySplit(
            features[index], label[index], batch=4096, reference=reference,
            pictures=_Pictures(pictures.pictures[index.numpy()]),
            names=[f"{pictures.names[label[item]]} ({pictures.vendors[vendor[item]]})" for item in index],
        )  # fmt: skip

    known, every = vendor != left, torch.ones_like(vendor, dtype=torch.bool)
    fit_rows = rows(fit, known)
    fit_split = ClassBatchSplit(
        features[fit_rows], label[fit_rows], classes_per_batch=options.classes_per_batch,
        samples_per_class=len(taking_part), small_classes="keep",
    )  # fmt: skip
    if left < 0:
        return Splits(fit_split, shown(rows(select, every)), shown(rows(test, every)))
    if options.development is not None:  # the vendor that is left out must not choose the settings either
        return Splits(fit_split, shown(rows(select, known)), shown(rows(test, known)))
    others = shown(rows(test, known))
    return Splits(fit_split, shown(rows(select, known)), shown(rows(test, ~known), others))


def _vendors(pictures: EmojiPictures, options: Options) -> set[int]:
    names = pictures.vendors if options.vendors is None else options.vendors
    for name in (*names, *([] if options.leave_out is None else [options.leave_out])):
        if name not in pictures.vendors:
            raise fail(
                "task emoji", f"there is no vendor {name!r}", "a known one", nearest(name, pictures.vendors)
            )
    if len(set(names)) < 2:
        raise fail(
            "task emoji", f"vendors are {list(names)}", "at least two: one alone has nothing to retrieve"
        )
    return {pictures.vendors.index(name) for name in {*names, options.leave_out} - {None}}


def _classes(classes: int, options: Options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide the classes; a development split divides those of fit and select anew and never sees the test classes."""
    order = np.random.default_rng(options.split_seed).permutation(classes)
    fit, select = round(SHARES[0] * classes), round(SHARES[1] * classes)
    if options.development is None:
        return order[:fit], order[fit : fit + select], order[fit + select :]
    again = np.random.default_rng((options.split_seed, options.development)).permutation(
        order[: fit + select]
    )
    fit, select = round(0.66 * len(again)), round(0.16 * len(again))
    return again[:fit], again[fit : fit + select], again[fit + select :]


class _Pictures:
    """PNG bytes of some pictures, made when they are asked for."""

    def __init__(self, pictures: np.ndarray) -> None:
        self.pictures = pictures

    def __call__(self, indices: Sequence[int]) -> list[bytes]:
        image = extra("PIL.Image", "emoji", "the gallery of the emoji task")
        encoded = []
        for index in indices:
            buffer = io.BytesIO()
            image.fromarray(self.pictures[index]).save(buffer, "PNG", optimize=True)
            encoded.append(buffer.getvalue())
        return encoded

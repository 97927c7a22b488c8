"""Retrieve the same emoji drawn by other artists: the default task.

Query: one vendor's drawing; relevant: the other vendors' drawings of the same emoji. Independent artists drew the same
thing: natural variation, many classes, few pictures of each, and classes at test that training never saw.

A frozen EfficientNet-Lite0 gives 1,808 features a picture, the averages of its 16 blocks, computed once and cached. A
closed form, LDA over the classes of fit, is the start model, and where both trained arms begin. Classes of the fit
split are shown mirrored, turned and with colours exchanged, too, in every arm that trains: without that the head knows
its 637 classes by heart. Features, closed form and the settings of both arms were chosen on fit + select alone (`python
-m benchmarks.emoji_forms`, `metricgrad settings emoji`), with as many tries for one arm as for the other, and frozen
before the test split was read.

`head: film` is the task as it was before: a head with FiLM, trained by SupCon to its plateau, is the start model.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from metricgrad._documents import WholeField
from metricgrad._types import Observer
from metricgrad.tasks.emoji_features import EmojiFeatures, emoji_features
from metricgrad.tasks.emoji_head import HEAD_OPTIONS, head_of
from metricgrad.tasks.emoji_pictures import EmojiPictures, load_pictures
from metricgrad.tasks.emoji_views import VIEWS
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Splits

__all__ = ["Options", "features_of", "load"]

SHARES = (0.45, 0.15)
"""Share of the classes in fit and in select; the others are test."""

_FILM_START: Mapping[str, Any] = {
    "start_plan": Plan(steps=1000, evaluate_every=25, checkpoint_every=100),
    "start_settings": {"learning_rate": 0.001, "weight_decay": 0.1, "dropout": 0.3, "schedule": "constant"},
}
"""How the start of a FiLM head is trained; a head that begins as a closed form is a start already."""


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        vendors: the sets that take part; None for all of the file.
        leave_out: a vendor that fit and select never see: at test its drawings are the queries, the others' drawings
            of the test classes are what is searched.
        data: folder that `scripts/build_emoji.py --all` wrote (eight vendors); None for the embedded six.
        cache: folder of the feature cache; None for METRICGRAD_CACHE or the user's cache folder.
        dim: of the embedding.
        head: what is trained: `closed_form`, a linear head that begins as LDA, or `film`, a FiLM head that begins at
            random and takes dropout.
        directions: of the LDA that a head `closed_form` sees; None for as many as there are, one less than classes.
        shrinkage: of that LDA.
        dropout_bits: random bits that decide on a feature in dropout: 16, or 64 for PyTorch's own dropout, which is
            slower. The settings were chosen, and the plain task was read, with 64.
        classes_per_batch: classes in a batch, each with all its drawings.
        blocks: blocks of the backbone (0 to 15) whose averaged outputs are features.
        last: whether those of the last convolution are features, too.
        size: edge of a picture, in pixels, as the backbone sees it.
        views: ways in which a class of the fit split is shown, 1 (as it was drawn) to 8 (`emoji_views.VIEWS`).
        split_seed: of the division of the classes into fit, select and test.
        development: None for the real splits; a number draws fit, select and a held-out part anew from the classes
            of fit and select: for choosing settings without touching test.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vendors: tuple[str, ...] | None = None
    leave_out: str | None = None
    data: Path | None = None
    cache: Path | None = None
    dim: WholeField = Field(default=512, ge=2, le=8192)
    head: Literal["closed_form", "film"] = "closed_form"
    directions: WholeField | None = Field(default=None, ge=2, le=8192)
    shrinkage: float = Field(default=0.01, gt=0, le=100)
    dropout_bits: Literal[16, 64] = 16
    classes_per_batch: WholeField = Field(default=170, ge=2, le=100_000)
    blocks: tuple[WholeField, ...] = tuple(range(16))
    last: bool = False
    size: WholeField = Field(default=160, ge=32, le=1024)
    views: WholeField = Field(default=4, ge=1, le=len(VIEWS) + 1)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    development: WholeField | None = Field(default=None, ge=0, le=2**32 - 1)


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
        About a minute the first time on two cores (features of 6,891 pictures and of three views of the 3,120 of fit),
        then seconds; 118 MB in the cache. A development split computes views of the select classes as well.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    pictures = load_pictures(None if chosen.data is None else chosen.data / "emoji.safetensors")
    features = features_of(pictures, chosen, observer)
    splits = splits_of(pictures, features, chosen)
    frozen = yaml.safe_load(resources.files("metricgrad.tasks").joinpath("emoji_settings.yaml").read_text())
    return Task(
        name="emoji",
        splits=splits,
        model=head_of(splits.fit, **chosen.model_dump(include=HEAD_OPTIONS)),
        proxy="supcon",
        metric="recall@1",
        side_metrics=("map", "ndcg@10"),
        may_fall=1.0,  # they are shown, and hold nothing back
        plan=Plan(**frozen["plan"]),
        method=frozen["method"],
        settings=frozen["settings"],
        proxy_settings=frozen["proxy_settings"],
        **(_FILM_START if chosen.head == "film" else {}),
        facts={"pictures": pictures.digest, "features": features.key},
    )


def features_of(pictures: EmojiPictures, options: Options, observer: Observer | None = None) -> EmojiFeatures:
    """Compute or read the features; only classes that can be fitted are looked at in other views."""
    fit, *others = classes_of(int(pictures.label.max()) + 1, options)
    if options.development is not None:  # all divisions share their classes, and the views of them
        fit = np.concatenate([fit, *others])
    views = VIEWS[: options.views - 1]
    how: dict[str, Any] = {"blocks": options.blocks, "last": options.last, "size": options.size}
    return emoji_features(pictures, fit, views=views, cache=options.cache, **how, observer=observer)


def splits_of(pictures: EmojiPictures, features: EmojiFeatures, options: Options) -> Splits:
    taking_part = pictures.taking_part(options.vendors, leave_out=options.leave_out)
    label, vendor = torch.from_numpy(pictures.label), torch.from_numpy(pictures.vendor)
    fit, select, test = classes_of(int(label.max()) + 1, options)
    here = torch.isin(vendor, torch.tensor(sorted(taking_part)))
    left = -1 if options.leave_out is None else pictures.vendors.index(options.leave_out)

    def rows(classes: np.ndarray, mask: Tensor) -> Tensor:
        return (torch.isin(label, torch.from_numpy(classes)) & here & mask).nonzero()[:, 0]

    def shown(index: Tensor, reference: ArraySplit | None = None) -> ArraySplit:
        return ArraySplit(
            features.drawn[index],
            label[index],
            batch=4096,
            reference=reference,
            pictures=pictures.gallery(index.numpy()),
            names=pictures.described(index.numpy()),
        )

    known, every = vendor != left, torch.ones_like(vendor, dtype=torch.bool)
    fit_rows = rows(fit, known)
    fit_split = ClassBatchSplit(
        features.drawn[fit_rows],
        label[fit_rows],
        classes_per_batch=options.classes_per_batch,
        samples_per_class=len(taking_part),
        small_classes="keep",
        views=features.views_of(fit_rows),
    )
    named: dict[str, Any] = {"classes": pictures.names, "group_names": True}
    if left < 0:
        return Splits(fit_split, shown(rows(select, every)), shown(rows(test, every)), **named)
    if options.development is not None:  # the vendor that is left out must not choose the settings either
        return Splits(fit_split, shown(rows(select, known)), shown(rows(test, known)), **named)
    others = shown(rows(test, known))
    return Splits(fit_split, shown(rows(select, known)), shown(rows(test, ~known), others), **named)


def classes_of(classes: int, options: Options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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

"""Features of the emoji pictures as they were drawn and, for classes that may be fitted, in other views."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from metricgrad._types import Observer
from metricgrad.tasks.emoji_pictures import EmojiPictures
from metricgrad.tasks.emoji_views import View
from metricgrad.tasks.features import efficientnet_lite0_features, features_key

__all__ = ["EmojiFeatures", "emoji_features"]


@dataclass(frozen=True)
class EmojiFeatures:
    """Features of every picture, and of some pictures in every other view.

    Attributes:
        key: names their values.
        drawn: [picture, feature].
        views: [view, place, feature].
        viewed: number of the picture at every place, rising.
    """

    key: str
    drawn: Tensor
    views: Tensor
    viewed: Tensor

    def views_of(self, rows: Tensor) -> Tensor | None:
        """Return the views of these pictures [view, row, feature]; None where there is none."""
        return self.views[:, torch.searchsorted(self.viewed, rows)] if len(self.views) else None


def emoji_features(
    pictures: EmojiPictures,
    classes: Int64[np.ndarray, "_"],
    *,
    views: Sequence[View],
    blocks: Sequence[int],
    last: bool,
    size: int,
    cache: Path | None = None,
    observer: Observer | None = None,
) -> EmojiFeatures:
    """Compute or read the features of pictures.

    Args:
        pictures: all of them.
        classes: whose pictures are looked at in other views, too.
        views: the other views.
        blocks: see `efficientnet_lite0_features`, as for `last`, the size, the cache and the observer.
        last: whether the last convolution is read.
        size: edge of the backbone's input in pixels.
        cache: folder of the features.
        observer: receives progress.
    """
    label = torch.from_numpy(pictures.label)
    viewed = torch.isin(label, torch.from_numpy(classes)).nonzero()[:, 0]
    seen = [pictures.pictures, *(view.of(pictures.pictures[viewed.numpy()]) for view in views)]
    digest = pictures.digest
    if views:
        facts = json.dumps([digest, views, viewed.tolist()])
        digest = hashlib.sha256(facts.encode()).hexdigest()
    how: dict[str, Any] = {"size": size, "blocks": blocks, "last": last}
    found = efficientnet_lite0_features(
        np.concatenate(seen), digest=digest, cache=cache, **how, observer=observer
    )
    drawn, turned = found[: len(label)], found[len(label) :].reshape(len(views), len(viewed), found.shape[1])
    return EmojiFeatures(features_key(digest, **how), drawn, turned, viewed)

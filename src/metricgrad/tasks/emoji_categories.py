"""Say of what kind an emoji is from an artist's drawing: classes with a hierarchy over them.

`level` says what is a class: one of 9 categories, of 97 subcategories, or of 1,389 emoji. Categories and subcategories
are asked of emoji that training never saw, whoever drew them: the splits are disjoint by emoji, and all drawings of an
emoji are drawn together for the interval. An emoji is asked of an artist that training never saw: the splits are
disjoint by vendor.

The features are those of the task `emoji`, from the same cache. A linear layer, or a network with one hidden layer, is
trained with cross-entropy to its plateau on `select`: that is the start. `tree(level)` has the hierarchy for losses and
metrics that read one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from metricgrad._documents import WholeField
from metricgrad._types import Observer
from metricgrad.tasks import emoji
from metricgrad.tasks.emoji_division import by_emoji, by_vendor
from metricgrad.tasks.emoji_pictures import load_pictures
from metricgrad.tasks.emoji_tree import EmojiTree, Level, read_tree
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Plan, Splits

__all__ = ["Options", "load", "tree"]


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        level: what is a class: `categories`, `subcategories` or `emoji`.
        select_vendor: with level `emoji` the vendor of select; the others but that of test are fit.
        test_vendor: with level `emoji` the vendor of test.
        hidden: units of the hidden layer; None for a linear layer.
        dropout: rate before each linear layer.
        batch: pictures of a fit batch.
        split_seed: of the division of the emoji.
        cache: folder of the feature cache; None for METRICGRAD_CACHE or the user's cache folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level = "subcategories"
    select_vendor: str = "twemoji"
    test_vendor: str = "fluent-emoji-flat"
    hidden: WholeField | None = Field(default=None, ge=1, le=100_000)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    batch: WholeField = Field(default=512, ge=2, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    cache: Path | None = None


def tree(level: Level = "subcategories") -> EmojiTree:
    """Return the hierarchy over the classes of a level, in the order of the outputs of the network.

    `tree(level).nested()` is the setting `tree` of `surrogate:hierarchical_complement_entropy`,
    `tree(level).distances()` the cost of `expected_cost`, `tree(level).names` what the classes are called.

    Raises:
        InputError: the pictures or their categories are damaged.
        MissingExtraError: Pillow is not installed.

    Example:
        >>> len(tree("categories").names), len(tree("subcategories").nested())
        (9, 9)
    """
    return read_tree(load_pictures().names, level)


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the pictures, compute or read their features, divide the emoji or the vendors.

    Args:
        options: see `Options`.
        observer: receives the progress of the features.

    Returns:
        The task; inputs are float32 [sample, 1808] with mean 0 and deviation 1 on fit, targets class numbers in the
        order of `tree(level).names`.

    Raises:
        InputError: an unknown option, or a vendor that is not there.
        MissingExtraError: Pillow or the backbone is not installed.

    Cost:
        That of the features, see the task `emoji`, once for both tasks.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    pictures = load_pictures()
    known = read_tree(pictures.names, chosen.level)
    features = emoji.features_of(pictures, emoji.Options(cache=chosen.cache), observer)
    target = torch.from_numpy(known.class_of[pictures.label])
    if chosen.level == "emoji":
        rows = by_vendor(pictures, known, chosen.select_vendor, chosen.test_vendor)
    else:
        rows = by_emoji(pictures, chosen.split_seed)
    fit = features.drawn[torch.from_numpy(rows["fit"])]
    mean, deviation = fit.mean(0), fit.std(0).clamp_min(1e-6)

    def part(name: str, **more: Any) -> ArraySplit:
        mine = torch.from_numpy(rows[name])
        inputs = (features.drawn[mine] - mean) / deviation
        return ArraySplit(inputs, target[mine], names=pictures.described(rows[name]), **more)

    groups = {name: torch.from_numpy(pictures.label[rows[name]]) for name in rows}
    return Task(
        name="emoji_categories",
        splits=Splits(
            part("fit", batch=chosen.batch, shuffle=True, seed=chosen.split_seed),
            part("select", batch=4096),
            part("test", batch=4096),
            classes=known.names,
            groups=None if chosen.level == "emoji" else groups,  # of one vendor each emoji has one drawing
        ),
        model=lambda _seed: _network(fit.shape[1], len(known.names), chosen),
        proxy=nn.functional.cross_entropy,
        metric="error_rate",
        plan=Plan(steps=300, evaluate_every=15),
        method="surrogate:hierarchical_complement_entropy",
        settings={"objective": {"tree": known.nested()}, "proxy_weight": 1.0, "learning_rate": 1e-3},
        proxy_settings={"learning_rate": 1e-3},
        start_plan=Plan(steps=1000, evaluate_every=25),
        start_settings={"learning_rate": 1e-3, "weight_decay": 0.1, "schedule": "constant"},
        facts={"pictures": pictures.digest, "features": features.key},
    )


def _network(features: int, classes: int, options: Options) -> nn.Module:
    if options.hidden is None:
        return nn.Sequential(nn.Dropout(options.dropout), nn.Linear(features, classes))
    hidden: list[nn.Module] = [nn.Dropout(options.dropout), nn.Linear(features, options.hidden), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Dropout(options.dropout), nn.Linear(options.hidden, classes))

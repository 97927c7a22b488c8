"""Groups of units that share their fate: resamples draw them whole, so that an interval speaks of further groups."""

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from metricgrad._checks import describe, fail, nearest
from metricgrad._labels import number_labels
from metricgrad._types import Metric, Split
from metricgrad.differences import Grouping
from metricgrad.errors import InputError
from metricgrad.tune.outputs import collect_targets, count_items
from metricgrad.tune.splits import ArraySplit, ClassBatchSplit, Splits

__all__ = ["check_groups", "grouping_of", "groups_digest", "groups_of", "shared_groups"]

_NAMES = ("fit", "select", "test")
_RANDOM = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


def check_groups(splits: Splits) -> None:
    """Raise InputError unless the groups are one label per unit of splits that are there, for test in its order."""
    if not isinstance(splits.groups, Mapping | None):
        raise fail("Splits", f"groups are {describe(splits.groups)}", 'a dict such as {"test": labels}')
    if not isinstance(splits.group_names, bool):
        raise fail("Splits", f"group_names is {describe(splits.group_names)}", "True or False")
    for name, labels in (splits.groups or {}).items():
        if name not in _NAMES:
            raise fail(
                "Splits", f"groups of {name!r}", "groups of fit, select or test", nearest(str(name), _NAMES)
            )
        split = getattr(splits, name)
        if split is None:
            raise fail(
                "Splits", f"groups of {name}, but there is no such split", "groups of splits that are there"
            )
        codes = number_labels("Splits", {f"groups[{name!r}]": labels}, device="cpu").codes[0]
        if name == "test" and _shuffles(split):
            raise fail(
                "Splits",
                "groups of test, which is shuffled",
                "a test split in a fixed order",
                "Groups belong to items by their places.",
            )
        units = _units_of(split)
        if units is None and name == "test":
            units = count_items(split)  # one pass now, not an error after the training
        if units is not None and units != len(codes):
            raise fail(
                "Splits",
                f"groups[{name!r}] has {len(codes):,} labels, but {name} has {units:,} items",
                "one group per item, in the order of the split",
            )


def shared_groups(splits: Splits) -> list[str]:
    """Return a sentence for each two splits that share groups: the later one is not new to the model, or the choice."""
    given = {name: splits.groups[name] for name in _NAMES if splits.groups and name in splits.groups}
    if len(given) < 2:
        return []
    codes = number_labels("Splits", {f"groups[{name!r}]": labels for name, labels in given.items()}).codes
    groups = dict(zip(given, (set(part.tolist()) for part in codes), strict=True))
    pairs = [
        (a, b) for place, a in enumerate(given) for b in list(given)[place + 1 :] if groups[a] & groups[b]
    ]
    return [
        f"{len(groups[first] & groups[second]):,} of the {len(groups[second]):,} groups of {second} also stand in "
        f"{first}: of new groups {second} says less than its interval claims"
        for first, second in pairs
    ]


def groups_digest(splits: Splits) -> dict[str, str]:
    """Return a hash of the groups of each split that has some."""
    found = {}
    for name, labels in (splits.groups or {}).items():
        numbered = number_labels("Splits", {f"groups[{name!r}]": labels}, device="cpu")
        facts = repr((numbered.classes.tolist(), numbered.codes[0].tolist()))
        found[name] = hashlib.sha256(facts.encode()).hexdigest()
    return found


def groups_of(name: str, splits: Splits) -> Any:
    """Return the groups that were given for a split, one label per item; None for none, and for a shuffled split."""
    return None if _shuffles(getattr(splits, name)) else (splits.groups or {}).get(name)


def grouping_of(name: str, splits: Splits, metric: Metric) -> Grouping:
    """Return the groups of a split: those that were given; for retrieval else the classes of its queries.

    Queries of one class have the same relevant items, and the run speaks of classes that it has not seen.

    Args:
        name: of the split: `test` or `select`.
        splits: of the run.
        metric: that is measured.
    """
    split, given = getattr(splits, name), groups_of(name, splits)
    if given is not None:
        return Grouping(given, "group")
    if name in (splits.groups or {}):
        return Grouping(
            None, metric.unit, f"{name} is shuffled: its groups are not used, its units are drawn alone"
        )
    alone = getattr(split, "side", None) is not None or getattr(split, "known", False)
    if metric.unit != "query" or split is None or alone:
        return Grouping(
            None, metric.unit
        )  # queries of pairs have no classes; those of known classes stand for them
    labels: Any = collect_targets(split)  # in the order of the pass that was measured
    try:
        number_labels("Splits", {f"targets of {name}": labels}, device="cpu")
    except InputError:
        return Grouping(
            None, "query", f"the targets of {name} are no labels: its queries are taken for independent"
        )
    return Grouping(labels, "class")


def _shuffles(split: Any) -> bool:
    """Whether a split is known to give its items in another order than they lie in."""
    split = getattr(split, "split", split)  # of one whose batches are unpacked or numbered
    if isinstance(split, ArraySplit):
        return split.shuffle
    return isinstance(split, ClassBatchSplit) or (
        isinstance(split, DataLoader) and isinstance(split.sampler, _RANDOM)
    )


def _units_of(split: Split) -> int | None:
    """Number of items, where a split in memory tells it."""
    targets = getattr(split, "targets", None)
    return len(targets) if isinstance(targets, Tensor | list) else None

"""What may be given for the splits of a run, brought into one form: splits of `(inputs, targets)`.

A split may be a pair (X, y); the three may be a tuple or a dict; batches of another form are read by a function of
the user; and class names become numbers that mean the same in fit, select and test.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from metricgrad._checks import caller, describe, fail, nearest
from metricgrad._labels import normal_texts, number_labels
from metricgrad._structures import form, pair
from metricgrad._types import Metric
from metricgrad._user_code import called
from metricgrad.errors import MetricgradError
from metricgrad.tune.pair_split import PairSplit
from metricgrad.tune.splits import NAMES, ArraySplit, ClassBatchSplit, Splits

__all__ = ["UnpackedSplit", "given_splits", "numbered", "without_a_batch_of_one"]


class UnpackedSplit:
    """A split whose batches a function of the user turns into `(inputs, targets)`.

    Everything else is the split's own: `set_epoch`, samplers, pictures. What it says of its content is not passed on,
    since the function may change it: the content is what the batches hold.

    Args:
        split: yields batches of any form.
        unpack: batch -> (inputs, targets).
    """

    def __init__(self, split: Any, unpack: Callable[[Any], Any]) -> None:
        self.split, self.unpack = split, unpack

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yield `(inputs, targets)` batches."""
        for batch in self.split:
            yield pair(called("unpack", self.unpack, batch))

    def __getattr__(self, name: str) -> Any:
        """Return what the split has under that name."""
        if name in ("split", "unpack", "inputs", "targets", "digest") or name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self.split, name)
        if name == "rebatch":
            return lambda size: UnpackedSplit(value(size), self.unpack)
        if name == "reference" and value is not None:
            return UnpackedSplit(value, self.unpack)
        return value


def given_splits(splits: Any) -> Splits:
    """Return the splits of a run from what was given.

    Args:
        splits: `Splits`, a sequence (fit, select) or (fit, select, test), or a mapping with these names. Each of them
            may be a pair (X, y) of arrays, which becomes an `ArraySplit`, shuffled where it is fit.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(splits, Mapping):
        for name in splits:
            if name not in NAMES:
                raise fail(
                    "splits", f"there is no split {name!r}", ", ".join(NAMES), nearest(str(name), NAMES)
                )
        parts: dict[str, Any] = {name: splits.get(name) for name in NAMES}
        splits = Splits(**parts)
    if isinstance(splits, tuple | list) and len(splits) in (2, 3) and not _is_arrays(splits):
        splits = Splits(*splits)
    if not isinstance(splits, Splits):
        raise fail(
            caller(),
            f"splits are {form(splits)}",
            "Splits(fit, select, test), or a tuple of these",
            "Divide the data first: select and test hold what training never sees.",
        )
    if splits.unpack is not None and not callable(splits.unpack):
        raise fail("Splits", f"unpack is {describe(splits.unpack)}", "a function batch -> (inputs, targets)")
    found = {name: _given(name, getattr(splits, name), splits.unpack) for name in NAMES}
    return dataclasses.replace(splits, **found, unpack=None)


def _given(name: str, split: Any, unpack: Callable[[Any], Any] | None) -> Any:
    if split is None and name in ("test", "pool"):
        return None
    if _is_arrays(split):
        found = ArraySplit(split[0], split[1], shuffle=name == "fit")
        return (
            found.rebatch(without_a_batch_of_one(len(found.inputs), found.batch)) if name == "fit" else found
        )
    if (isinstance(split, Dataset) and not hasattr(type(split), "__iter__")) or _is_items(split):
        kind = (
            "list of items"
            if isinstance(split, list)
            else f"dataset ({type(split).__name__}), which yields items"
        )
        raise fail(
            "Splits",
            f"{name} is a {kind}",
            "something that yields batches",
            "Give DataLoader(dataset, batch_size=...).",
        )
    if (
        isinstance(split, DataLoader)
        and split.batch_size is None
        and split.batch_sampler is None
        and _single(split)
    ):
        raise fail(
            "Splits",
            f"{name} is a DataLoader with batch_size=None, which yields items",
            "one that yields batches",
            "Give it a batch_size.",
        )
    if isinstance(split, Tensor | np.ndarray | str | Mapping) or not hasattr(split, "__iter__"):
        raise fail(
            "Splits", f"{name} is {form(split)}", "something that yields (inputs, targets) batches, or (X, y)"
        )
    if unpack is not None and not isinstance(split, ArraySplit | ClassBatchSplit | PairSplit):
        return UnpackedSplit(split, unpack)
    return split


def without_a_batch_of_one(items: int, most: int) -> int:
    """Return the largest size of batches that leaves no batch of one item: BatchNorm cannot train on that."""
    return next((size for size in range(most, 1, -1) if items % size != 1), most)


def _is_items(split: Any) -> bool:
    """Whether something is a list of single items (x, y), which are no batches."""
    if (
        not isinstance(split, list)
        or not split
        or not isinstance(split[0], tuple | list)
        or len(split[0]) != 2
    ):
        return False
    target = split[0][1]
    return isinstance(target, int | float) or (isinstance(target, Tensor | np.generic) and target.ndim == 0)


def _single(loader: DataLoader) -> bool:
    return not isinstance(loader.dataset, torch.utils.data.IterableDataset)


def _is_arrays(split: Any) -> TypeGuard[Sequence[Any]]:
    """Whether something is a pair (X, y) of arrays, and not two batches."""
    if not isinstance(split, tuple | list) or len(split) != 2:
        return False
    if any(isinstance(part, tuple | Mapping) or not _is_array(part) for part in split):
        return False
    return not all(isinstance(part, list) and len(part) == 2 and _has_axis(part[0]) for part in split)


def _is_array(part: Any) -> bool:
    if isinstance(part, Tensor | np.ndarray | list) or hasattr(part, "toarray"):
        return True  # a sparse matrix, too: ArraySplit says what to do with it
    return hasattr(part, "__array__") and hasattr(part, "__len__")


def _has_axis(part: Any) -> bool:
    return isinstance(part, Tensor | np.ndarray) and part.ndim > 0


def numbered(splits: Splits, metric: Metric) -> tuple[Splits, list[str]]:
    """Give classes that are texts numbers, the same in all splits, and say which.

    They are the places in `splits.classes`, where it is given: the order of the network's outputs. Else they follow
    the alphabet, where the metric compares classes or embeddings; a metric that wants texts, or a function of the
    user, gets texts.

    Returns:
        The splits, with the names of their classes where they are known, and sentences for the record.

    Raises:
        InputError: a class that `classes` lacks; a metric of two classes that does not treat them alike, without
            `classes`: the alphabet does not know which is the positive one.
    """
    held = {
        f"{name} targets": split
        for name, split in _in_memory(splits).items()
        if isinstance(split.targets, list)
    }
    if splits.classes is not None:
        return _by_list(splits, held, splits.classes), []
    if not held or metric.reads not in ("classes", "embeddings", "scores", "probabilities"):
        return splits, []
    found = number_labels("Splits", {name: split.targets for name, split in held.items()})
    distinct = [str(name) for name in found.distinct]
    if metric.reads != "embeddings" and len(distinct) == 2 and not _alike(metric):
        raise fail(
            "Splits",
            f"the classes are the texts {distinct[0]!r} and {distinct[1]!r}, and {metric.name} asks which is "
            "the positive one",
            "their order",
            "Give Splits(..., classes=[negative, positive]).",
        )
    told = []
    if metric.reads != "embeddings":
        shown = ", ".join(f"{number} = {name}" for number, name in enumerate(distinct[:10]))
        told.append(f"classes are numbered by the alphabet: {shown}{', ...' if len(distinct) > 10 else ''}")
    splits = _relabelled(splits, dict(zip(map(id, held.values()), found.codes, strict=True)))
    return dataclasses.replace(splits, classes=distinct), told


def _by_list(splits: Splits, held: Mapping[str, Any], classes: Sequence[str] | np.ndarray) -> Splits:
    """Number the classes by their place in a list, also in batches of a loader."""
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise fail("Splits", f"classes are {describe(classes)}", "a list of the texts that are classes")
    names, _ = normal_texts(list(classes))
    place = {name: number for number, name in enumerate(names)}
    if len(place) < len(names):
        raise fail("Splits", f"classes are {describe(list(classes))}", "each class once")

    def codes(what: str, targets: Any) -> Tensor:
        texts, _ = normal_texts([item.decode() if isinstance(item, bytes) else str(item) for item in targets])
        for row, text in enumerate(texts):
            if text not in place:
                raise fail("Splits", f"{what}[{row}] is {text!r}", "one of the classes", nearest(text, place))
        return torch.tensor([place[text] for text in texts])

    def read(batch: Any) -> tuple[Any, Any]:
        inputs, targets = pair(batch)
        texts = (
            isinstance(targets, tuple | list | np.ndarray)
            and len(targets) > 0
            and isinstance(targets[0], str | bytes)
        )
        return inputs, codes("targets", targets) if texts else targets

    known = {id(split): codes(name, split.targets) for name, split in held.items()}
    splits = _relabelled(splits, known)
    return dataclasses.replace(
        splits,
        classes=[str(name) for name in classes],
        **{
            name: UnpackedSplit(split, read)
            for name in NAMES
            if (split := getattr(splits, name)) is not None and getattr(split, "targets", None) is None
        },
    )


def _in_memory(splits: Splits) -> dict[str, Any]:
    """Return the splits and references that hold their targets, by name."""
    found = {}
    for name in NAMES:
        split = getattr(splits, name)
        for place, one in ((name, split), (f"{name} reference", getattr(split, "reference", None))):
            if isinstance(one, ArraySplit | ClassBatchSplit):
                found[place] = one
    return found


def _relabelled(splits: Splits, codes: Mapping[int, Tensor]) -> Splits:
    """Return the splits with other targets, those of each by its id."""

    def new(split: Any) -> Any:
        reference = getattr(split, "reference", None)
        if id(split) not in codes and id(reference) not in codes:
            return split
        changed = copy.copy(split)
        if id(split) in codes:
            changed.targets = codes[id(split)]
        if id(reference) in codes:
            changed.reference = changed if reference is split else new(reference)
        return changed

    return dataclasses.replace(splits, **{name: new(getattr(splits, name)) for name in NAMES})


def _alike(metric: Metric) -> bool:
    """Whether a metric of two classes stays what it is when they change places, on a small example."""
    targets = torch.tensor([0, 0, 0, 1, 1, 0, 1, 0])
    scores = torch.tensor([2.0, 1.0, -1.0, -2.0, 1.0, 3.0, -0.5, -3.0])
    outputs = torch.stack([scores, -scores], 1)
    try:
        values = [
            metric.summarise(metric.measure(*example))
            for example in ((outputs, targets), (outputs.flip(1), 1 - targets))
        ]
    except MetricgradError:
        return False
    return abs(values[0] - values[1]) < 1e-9

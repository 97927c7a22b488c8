"""Fit, select, test: what is trained on, what decides, and what is read once.

A split is anything that yields `(inputs, targets)` batches again and again (`metricgrad._types.Split`): a PyTorch
DataLoader fits. The two classes here serve data that lie in memory; they know their content hash, and their batches
depend on nothing but (seed, epoch), which is what makes a run resumable bit for bit.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import Whole, describe, fail, whole_number
from metricgrad._labels import Labels, number_labels
from metricgrad._structures import form
from metricgrad._types import Split
from metricgrad.pairing import ClassBatchSampler
from metricgrad.tune.arrays import inputs_as_tensor, not_half, targets_as_given

__all__ = [
    "NAMES",
    "ArraySplit",
    "ClassBatchSplit",
    "Splits",
    "check_disjoint",
    "describe_split",
    "reference_of",
    "split_digest",
]


NAMES = ("fit", "select", "test", "pool")


@dataclass(frozen=True)
class Splits:
    """The data of a run.

    Args:
        fit: gradients come from here and only from here.
        select: every choice is made here: which step, which settings, which arm.
        test: locked: read once, after everything is chosen. None: nothing is claimed.
        pool: where a method that asks for the exact metric may measure it; no gradient comes from here. None: a fifth
            of fit is held back from such a method, and from no other (whole classes for a retrieval metric, whole
            groups where fit has groups).
        groups: split name -> one label per unit, in the order of the split: units of one group (the pictures of a
            patient, the frames of a film) share their fate, and the interval draws them together. Default: every unit
            for itself; the queries of a retrieval test by class. Groups of two splits are compared: those of test
            should be new. A test split with groups may not be shuffled.
        group_names: whether record and report name the groups of test by these labels, or the classes of a retrieval
            test by theirs. False: groups are numbered by their first appearance in test, since a label may be a
            patient, and reports are passed on.
        classes: names of the classes in the order of the network's outputs, where targets are texts. None: a metric
            of classes or embeddings gets them numbered by the alphabet, over all splits together; others get texts.
            Where targets are numbers already, these are the names of 0, 1, ...: tables of the report show them.
        unpack: batch -> (inputs, targets), for loaders whose batches have another form, and for their references.

    Retrieval splits must be disjoint by class, and pairs by query; `tune` checks it where targets are labels, or
    numbers of queries. Each split may also be a
    pair (X, y) of arrays.

    Example:
        >>> loader = [{"pixels": torch.zeros(2, 3), "label": torch.arange(2)}]
        >>> splits = Splits(loader, loader, unpack=lambda batch: (batch["pixels"], batch["label"]))
    """

    fit: Split | Any
    select: Split | Any
    test: Split | Any | None = None
    pool: Split | Any | None = None
    classes: Sequence[str] | np.ndarray | None = None
    unpack: Callable[[Any], Any] | None = None
    groups: Mapping[str, Labels] | None = None
    group_names: bool = False


class ArraySplit:
    """Inputs and targets that lie in memory, in batches of consecutive items or, with `shuffle`, of random ones.

    Args:
        inputs: [item, ...]: tensor, array or list of numbers. A float64 array becomes PyTorch's default type.
        targets: one per item: tensor or array [item, ...], numbers or texts (see `Splits.classes`).
        batch: items of a batch, >= 1; the last one may be smaller.
        shuffle: draw a new order every pass (from seed and epoch alone).
        seed: of the order.
        reference: a split that the items here are ranked against (retrieval); default: themselves.
        pictures: PNG bytes of the items with the given indices, for the report's gallery.
        names: one text per item, for the gallery.
        side: `query` or `document`, for a network of two sides (`pairing.TwoTowers`): batches then give the inputs as
            {side: inputs}, half precision in PyTorch's default type, and targets are numbers of queries or documents
            (see `PairSplit`). None for any other network.

    Raises:
        InputError: inputs and targets differ in length, there is no item, a value is missing, or an unknown side.

    Example:
        >>> split = ArraySplit(torch.arange(5.0)[:, None], torch.arange(5), batch=2)
        >>> [len(targets) for _, targets in split]
        [2, 2, 1]
    """

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        *,
        batch: Whole = 256,
        shuffle: bool = False,
        seed: Whole = 0,
        reference: Split | None = None,
        pictures: Callable[[Sequence[int]], list[bytes]] | None = None,
        names: Sequence[str] | None = None,
        side: Literal["query", "document"] | None = None,
    ) -> None:
        self.inputs, self.targets = _matching(type(self).__name__, inputs, targets)
        if side not in (None, "query", "document"):
            raise fail("ArraySplit", f"side is {side!r}", "'query', 'document' or None")
        if side is not None and isinstance(reference, ArraySplit) and reference.side is None:
            raise fail("ArraySplit", f"side is {side!r} and the reference has none", "side='document' for it")
        self.side: Literal["query", "document"] | None = side
        self.batch = whole_number("ArraySplit", "batch", batch)
        self.seed = whole_number("ArraySplit", "seed", seed, least=0)
        self.shuffle, self.epoch = shuffle, 0
        if names is not None and len(names) != len(self.inputs):
            raise fail(
                "ArraySplit",
                f"there are {len(names)} names for {len(self.inputs)} items",
                "one name per item",
            )
        self.pictures, self.names = pictures, names
        self.reference = reference

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self.inputs) // self.batch)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yield `(inputs, targets)` batches of the current epoch."""
        epoch = self.epoch
        for chosen in self._order().split(self.batch):
            inputs: Any = self.inputs[chosen]
            if self.side is not None:
                inputs = {self.side: not_half(inputs)}
            yield inputs, _chosen(self.targets, chosen)
        if self.epoch == epoch:  # a plain loop sees the next order; a pass that is left early is not counted
            self.epoch += 1

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.inputs))
        return torch.from_numpy(np.random.default_rng((self.seed, self.epoch)).permutation(len(self.inputs)))

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; it depends on (seed, epoch) alone, and later passes count on."""
        self.epoch = epoch

    def rebatch(self, size: int) -> "ArraySplit":
        """Return the same items in batches of another size."""
        return ArraySplit(
            self.inputs,
            self.targets,
            batch=size,
            shuffle=self.shuffle,
            seed=self.seed,
            reference=self.reference,
            pictures=self.pictures,
            names=self.names,
            side=self.side,
        )

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of inputs, targets, batches and reference."""
        facts = (self.batch, self.shuffle, self.seed, split_digest(reference_of(self)))
        facts += () if self.side is None else (self.side,)
        return _digest(self.inputs, self.targets, facts=facts)


class ClassBatchSplit:
    """A fit split for pair losses: every batch holds some classes with some items each (P-K sampling).

    Args:
        inputs: [item, ...]: tensor, array or list of numbers. A float64 array becomes PyTorch's default type.
        targets: class labels [item], whole numbers or texts.
        classes_per_batch: P, distinct classes in a batch.
        samples_per_class: K, distinct items of each class.
        small_classes: what becomes of classes with fewer than K items: `drop`, `keep` or `repeat`.
        seed: of the draws; with the epoch it decides every batch.
        views: further views of the items [view, item, ...], or None: each view changes every item in the same way
            (turned by 90 degrees, red for blue). Every class of a batch shows all its items in one view, drawn for
            it among `inputs` and `views`. A class in another view is like a class never seen: few classes become
            many, and what is learned from them carries over to unseen ones better.

    Raises:
        InputError: lengths differ, views are of other items, or the classes do not suffice for one batch.

    Edge cases:
        The views of one class are never in one batch: those of a class that looks the same in two of them would be
        negatives of each other.

    Reference:
        [patel2022recall] (the batch of P classes by K samples).
    """

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        *,
        classes_per_batch: int,
        samples_per_class: int,
        small_classes: str = "keep",
        seed: int = 0,
        views: Tensor | None = None,
    ) -> None:
        self.inputs, self.targets = _matching(type(self).__name__, inputs, targets)
        if views is not None:
            views = inputs_as_tensor(type(self).__name__, views)
        if views is not None and views.shape[1:] != self.inputs.shape:
            raise fail(
                type(self).__name__,
                f"views are {describe(views)} of inputs {describe(self.inputs)}",
                f"[view, {', '.join(map(str, self.inputs.shape))}]: each view holds all items",
            )
        self.views = views
        self._seen = self.inputs  # every item in every view, [view x item, ...]
        if views is not None:
            self._seen = torch.cat([self.inputs, views.flatten(0, 1)])
            count = len(self.inputs)
            self.inputs, self.views = self._seen[:count], self._seen[count:].view_as(views)
        self.samples_per_class, self.small_classes, self.seed = samples_per_class, small_classes, seed
        self.sampler = ClassBatchSampler(
            self.targets,
            classes_per_batch=classes_per_batch,
            samples_per_class=samples_per_class,
            small_classes=small_classes,  # pyright: ignore[reportArgumentType]
            seed=seed,
        )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        """Yield `(inputs, targets)` batches of the current epoch."""
        random = np.random.default_rng((self.seed, self.sampler.epoch, 1))
        for chosen in self.sampler:
            index = torch.as_tensor(chosen)
            targets = _chosen(self.targets, index)
            if self.views is not None:
                index = index + len(self.inputs) * _one_per_class(len(self.views) + 1, targets, random)
            yield self._seen.index_select(0, index), targets

    def set_epoch(self, epoch: int) -> None:
        """Choose the batches of the next pass; they depend on (seed, epoch) alone, and later passes count on."""
        self.sampler.set_epoch(epoch)

    def rebatch(self, size: int) -> "ClassBatchSplit":
        """Return the same items in batches of about `size` items: `size // samples_per_class` classes."""
        return ClassBatchSplit(
            self.inputs,
            self.targets,
            classes_per_batch=max(2, size // self.samples_per_class),
            samples_per_class=self.samples_per_class,
            small_classes=self.small_classes,
            seed=self.seed,
            views=self.views,
        )

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of inputs, targets, views and batches."""
        sampler = self.sampler
        facts = (sampler.classes_per_batch, self.samples_per_class, self.small_classes, self.seed)
        views = () if self.views is None else (self.views,)
        return _digest(self.inputs, self.targets, *views, facts=facts)


def _one_per_class(views: int, targets: Any, random: np.random.Generator) -> Tensor:
    """Draw a view for every class; returns that of every item [item], 0 for the inputs."""
    labels = number_labels("ClassBatchSplit", {"targets": targets})
    (of_class,) = labels.codes
    return torch.from_numpy(random.integers(views, size=len(labels.distinct)))[of_class]


def _chosen(targets: Any, chosen: Tensor) -> Any:
    return [targets[item] for item in chosen.tolist()] if isinstance(targets, list) else targets[chosen]


def describe_split(split: Split) -> dict[str, Any]:
    """What the record says of a split: items and classes where the split knows them; of pairs the queries."""
    targets = getattr(split, "targets", None)
    if (queries := _queries_of(split)) is not None:
        return {"items": len(queries)}
    if isinstance(targets, list):
        return {"items": len(targets), "classes": len(set(map(str, targets)))}
    if not isinstance(targets, Tensor):
        return {"kind": type(getattr(split, "split", split)).__name__}
    facts: dict[str, Any] = {"items": len(targets)}
    if targets.ndim == 1 and not targets.is_floating_point():
        facts["classes"] = int(targets.unique().numel())
    return facts


def batches_in(split: Any) -> int | None:
    """Return the number of batches; None where a split, or the dataset of a loader, does not tell it."""
    try:
        return len(split)
    except (TypeError, NotImplementedError):
        return None


def _queries_of(split: Any) -> Tensor | None:
    """Return the numbers of the queries of a split of pairs, or of its query side; None for any other."""
    side = getattr(split, "side", None)
    return split.targets if side == "query" else getattr(split, "query_numbers", None)


def check_disjoint(splits: Splits) -> None:
    """Raise InputError where two splits of a retrieval run share a class: its figures would not be of unseen ones.

    Splits of pairs must not share a query, nor a relevant document where fit says that documents are not shared.
    """
    labels, what = {}, "class"
    for name in NAMES:
        split = getattr(splits, name)
        if (queries := _queries_of(split)) is not None:
            what = "query"
        targets = getattr(split, "targets", None) if queries is None else queries
        if isinstance(targets, Tensor) and targets.ndim == 1:
            labels[name] = set(targets.tolist())
            if name != "fit" and hasattr(splits.fit, "check_documents"):
                splits.fit.check_documents(name, targets)  # pyright: ignore[reportAttributeAccessIssue]
    several = "queries" if what == "query" else "classes"
    names = list(labels)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            shared = labels[first] & labels[second]
            if shared:
                raise fail(
                    "Splits",
                    f"{first} and {second} share {len(shared)} {several}, e.g. {sorted(shared)[0]}",
                    f"splits that are disjoint by {what} (retrieval is judged on {several} that were never trained on)",
                    f"Split the set of {several}, then take the items of each part.",
                )


def reference_of(split: Split) -> Split | None:
    """Return the split that the items of a split are ranked against; None for themselves, without each query.

    A reference that is the split itself, or holds the same inputs and targets, is no other set of items: every query
    would find itself.
    """
    reference = getattr(split, "reference", None)
    if reference is None or reference is split:
        return None
    pairs = [(getattr(split, name, None), getattr(reference, name, None)) for name in ("inputs", "targets")]
    same = getattr(split, "side", None) == getattr(reference, "side", None) and all(
        isinstance(one, Tensor)
        and isinstance(other, Tensor)
        and one.dtype == other.dtype
        and torch.equal(one, other)
        for one, other in pairs
    )
    return None if same else reference


def split_digest(split: Split | None) -> str:
    """Return the content hash of a split, or `unknown` where the split does not tell it."""
    return "none" if split is None else str(getattr(split, "digest", "unknown"))


def _matching(caller: str, inputs: Any, targets: Any) -> tuple[Tensor, Any]:
    inputs, targets = inputs_as_tensor(caller, inputs), targets_as_given(caller, targets)
    if len(inputs) != len(targets):
        raise fail(
            caller,
            f"inputs are {describe(inputs)} but targets are {form(targets)}",
            "one target per item",
            "Check that both come from the same file, in the same order.",
        )
    if len(inputs) == 0:
        raise fail(caller, "there is no item", "at least one")
    return inputs, targets


def _digest(*arrays: Any, facts: tuple[Any, ...]) -> str:
    total = hashlib.sha256(repr(facts).encode())
    for array in arrays:
        if isinstance(array, list):
            total.update(repr(array).encode())
            continue
        total.update(f"{tuple(array.shape)}{array.dtype}".encode())
        total.update(array.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())  # without a copy
    return total.hexdigest()

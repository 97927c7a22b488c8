"""Batches of P classes with K samples each, the diet of every pair and ranking loss."""

import warnings
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from metricgrad._checks import Whole, fail, whole_number
from metricgrad._labels import Labels, number_labels

__all__ = ["ClassBatchSampler", "Dropped"]


class Dropped(NamedTuple):
    """What an epoch leaves out.

    Attributes:
        small_classes: classes without a group, because they have too few samples.
        small_class_items: their samples.
        leftover_items: samples of other classes beyond whole groups; others each epoch.
        tail_groups: groups that no batch takes, because the rest cannot fill one; others each epoch.
    """

    small_classes: int
    small_class_items: int
    leftover_items: int
    tail_groups: int


class ClassBatchSampler(Sampler[list[int]]):
    """Yield batches of `classes_per_batch` distinct classes with `samples_per_class` distinct samples each.

    Every epoch cuts each class, freshly permuted, into floor(n / K) groups. A batch takes a group of each of the P
    classes with most groups left, ties at random: that gives the largest possible number of batches, the largest T
    with sum over classes of min(groups, T) >= P T, and spreads every class over the epoch.

    Args:
        labels: integers or strings, one per sample of the data set.
        classes_per_batch: P >= 1.
        samples_per_class: K >= 2.
        small_classes: what becomes of a class with fewer than K samples. "drop" leaves it out; "keep" makes one
            group of all its samples if they are at least 2, so that batches differ in size; "repeat" fills its
            group up with repeated samples, which are trivially perfect positives (warns).
        seed: an epoch depends on `seed` and the epoch number alone.

    Attributes:
        epoch: number of the epoch that the next pass yields.

    Raises:
        InputError: fewer than P classes can give a group; P < 1 or K < 2; an unknown `small_classes`; a negative seed.

    Edge cases:
        Every pass yields the next epoch: 0, 1, 2, ..., or on from the number that `set_epoch` names. A pass begins with
        its first batch and counts also where it is left early. Frameworks that call `set_epoch` of a batch sampler or
        of its `sampler` (Lightning) decide the number. Several processes draw the same batches.

    Cost:
        O(samples log samples + batches x classes) an epoch.

    Differs from the paper:
        The official sampler scans the classes in one fixed shuffled order, so that early batches share classes,
        and yields nothing where a batch needs more classes than there are.

    Reference:
        [patel2022recall] section 4, for the composition of batches.

    Example:
        >>> sampler = ClassBatchSampler(
        ...     ["a", "a", "b", "b", "c", "c"], classes_per_batch=3, samples_per_class=2
        ... )
        >>> len(sampler), [sorted(batch) for batch in sampler]
        (1, [[0, 1, 2, 3, 4, 5]])
    """

    def __init__(
        self,
        labels: Labels,
        *,
        classes_per_batch: Whole,
        samples_per_class: Whole,
        small_classes: Literal["drop", "keep", "repeat"] = "drop",
        seed: int = 0,
    ) -> None:
        caller = "ClassBatchSampler"
        self.classes_per_batch = whole_number(caller, "classes_per_batch", classes_per_batch)
        self.samples_per_class = whole_number(caller, "samples_per_class", samples_per_class)
        if self.samples_per_class < 2:
            raise fail(caller, "samples_per_class is 1", "2 or more: one sample has no positive")
        if small_classes not in ("drop", "keep", "repeat"):
            raise fail(caller, f"small_classes is {small_classes!r}", "'drop', 'keep' or 'repeat'")
        self.small_classes, self.epoch = small_classes, 0
        self.seed = whole_number(caller, "seed", seed, least=0)
        self._codes = number_labels(caller, {"labels": labels}).codes[0].cpu().numpy()
        self._sizes = np.bincount(self._codes)
        self._groups = _groups_per_class(self._sizes, self.samples_per_class, small_classes)
        usable = int((self._groups > 0).sum())
        if usable < self.classes_per_batch:
            raise fail(
                caller,
                f"{usable} of {len(self._sizes)} classes can give a group of {self.samples_per_class} samples",
                f"at least classes_per_batch={self.classes_per_batch} of them",
                "Lower classes_per_batch or samples_per_class, or set small_classes='keep'.",
            )
        repeated = int(((self._sizes < self.samples_per_class) & (self._sizes > 0)).sum())
        if small_classes == "repeat" and repeated:
            warnings.warn(
                f"{caller}: samples of {repeated} classes are repeated within a batch; a repeated sample is a "
                "trivially perfect positive",
                stacklevel=2,
            )
        self._batches = _most_batches(self._groups, self.classes_per_batch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass yields; later passes count on from it."""
        self.epoch = whole_number("ClassBatchSampler.set_epoch", "epoch", epoch, least=0)

    @property
    def sampler(self) -> "ClassBatchSampler":
        """Itself: where Lightning looks for the `set_epoch` of a batch sampler."""
        return self

    def __len__(self) -> int:
        """Return the exact number of batches of every epoch."""
        return self._batches

    @property
    def dropped(self) -> Dropped:
        """What an epoch leaves out, in numbers that are the same for every epoch."""
        size = self.samples_per_class
        small = (self._groups == 0) & (self._sizes > 0)
        whole = self._sizes >= size
        return Dropped(
            small_classes=int(small.sum()),
            small_class_items=int(self._sizes[small].sum()),
            leftover_items=int((self._sizes[whole] % size).sum()),
            tail_groups=int(self._groups.sum()) - self._batches * self.classes_per_batch,
        )

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of the current epoch as lists of sample numbers; the next pass has the next epoch."""
        random = np.random.default_rng((self.seed, self.epoch))
        self.epoch += 1  # with the first batch: loaders may ask for an iterator and not use it
        shuffle = random.random(len(self._codes))
        order = np.lexsort((shuffle, self._codes))  # classes together, shuffled inside
        first = np.cumsum(self._sizes) - self._sizes
        left = self._groups.copy()
        for _ in range(self._batches):
            keys = left + random.random(len(left))  # ties at random, whole numbers rule
            chosen = np.argpartition(-keys, self.classes_per_batch - 1)[: self.classes_per_batch]
            left[chosen] -= 1
            yield self._batch(chosen, order, first[chosen] + left[chosen] * self.samples_per_class, random)

    def _batch(
        self, chosen: np.ndarray, order: np.ndarray, start: np.ndarray, random: np.random.Generator
    ) -> list[int]:
        """Return the samples of one group, beginning at `start`, of each chosen class."""
        size = self.samples_per_class
        have = np.minimum(self._sizes[chosen], size)
        places = np.arange(size) + np.zeros((len(chosen), 1), dtype=np.int64)  # [class, sample]
        missing = places >= have[:, None]
        if self.small_classes == "repeat" and missing.any():
            drawn = (random.random(places.shape) * have[:, None]).astype(np.int64)
            places, missing = np.where(missing, drawn, places), np.zeros_like(missing)
        return order[(start[:, None] + places)[~missing]].tolist()


def _groups_per_class(sizes: np.ndarray, samples_per_class: Whole, small_classes: str) -> np.ndarray:
    groups = sizes // samples_per_class
    if small_classes == "drop":
        return groups
    return np.where((groups == 0) & (sizes >= (2 if small_classes == "keep" else 1)), 1, groups)


def _most_batches(groups: np.ndarray, classes_per_batch: int) -> int:
    """Return the largest T with sum over classes of min(groups, T) >= classes_per_batch * T."""
    low, high = 0, int(groups.sum()) // classes_per_batch
    while low < high:  # feasible for T means feasible for less
        middle = (low + high + 1) // 2
        if int(np.minimum(groups, middle).sum()) >= classes_per_batch * middle:
            low = middle
        else:
            high = middle - 1
    return low

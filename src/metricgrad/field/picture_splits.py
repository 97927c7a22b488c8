"""Splits whose pictures are read when a batch needs them, by several threads, and never held in memory together."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import extra, fail, whole_number
from metricgrad.field.stored import Names, Some, Stored, seen
from metricgrad.pairing import ClassBatchSampler

__all__ = ["ClassPictures", "PictureSplit", "Shown"]


class Shown(Protocol):
    """How pictures are shown; see `field.views`."""

    def learned(self, image: Any, random: np.random.Generator) -> np.ndarray:
        """Return the view that is learned from."""
        ...

    def judged(self, image: Any) -> np.ndarray:
        """Return the view that is judged."""
        ...


class PictureSplit:
    """Pictures in batches of consecutive ones, or, with `learned`, of random ones in random views.

    Args:
        stored: the pictures.
        targets: class numbers, or texts, one per picture.
        views: how they are shown.
        batch: pictures of a batch.
        learned: shuffle, and show views to learn from; (seed, epoch, picture) alone decide both.
        seed: of order and views.
        workers: threads that read; they change no batch.
        reference: what these are ranked against; None for each other.

    Raises:
        InputError: not one target per picture, or no picture.
    """

    def __init__(
        self,
        stored: Stored,
        targets: Tensor | list[str],
        views: Shown,
        *,
        batch: int = 200,
        learned: bool = False,
        seed: int = 0,
        workers: int = 1,
        reference: "PictureSplit | None" = None,
    ) -> None:
        _check(type(self).__name__, stored, targets)
        self.stored, self.targets, self.views, self.learned = stored, targets, views, learned
        self.batch, self.seed = whole_number("PictureSplit", "batch", batch), seed
        self.workers = whole_number("PictureSplit", "workers", workers)
        self.reference, self.epoch = reference, 0
        self.names = Names(stored)
        self.items = len(stored)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-self.items // self.batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        """Yield `(inputs, targets)` batches: uint8 [item, channel, row, column], and the targets."""
        epoch, order = self.epoch, torch.arange(self.items)
        if self.learned:
            order = torch.from_numpy(np.random.default_rng((self.seed, epoch)).permutation(self.items))
        view = _learning(self, epoch) if self.learned else _judging(self)
        yield from _batches(
            (chosen.tolist() for chosen in order.split(self.batch)), view, self.targets, self.workers
        )
        if self.epoch == epoch:  # a plain loop sees the next order
            self.epoch += 1

    def set_epoch(self, epoch: int) -> None:
        """Choose order and views of the next pass."""
        self.epoch = epoch

    def rebatch(self, size: int) -> "PictureSplit":
        """Return the same pictures in batches of another size."""
        return PictureSplit(
            self.stored,
            self.targets,
            self.views,
            batch=size,
            learned=self.learned,
            seed=self.seed,
            workers=self.workers,
            reference=self.reference,
        )

    def part(self, kept: Tensor) -> "PictureSplit":
        """Return the pictures of a mask [item], in batches of the same kind."""
        stored, targets = _some(self, kept)
        return PictureSplit(
            stored,
            targets,
            self.views,
            batch=self.batch,
            learned=self.learned,
            seed=self.seed,
            workers=self.workers,
        )

    def each_once(self) -> "PictureSplit":
        """Return the same pictures, each once and as they are judged."""
        return PictureSplit(self.stored, self.targets, self.views, batch=self.batch, workers=self.workers)

    def pictures(self, indices: Sequence[int]) -> list[bytes]:
        """Return PNG bytes of some pictures as they are judged, for the report's gallery."""
        return [_png(seen(self.stored, int(number), self.views.judged)) for number in indices]

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of what is stored, by name and size, and of targets, views and batches."""
        reference = "none" if self.reference is None else self.reference.digest
        return _digest(self, self.batch, self.learned, self.seed, reference)


class ClassPictures:
    """A fit split for losses of ranks: batches of some classes with some pictures each, in random views.

    Args:
        stored: the pictures.
        targets: class numbers [item].
        views: how they are shown.
        classes_per_batch: distinct classes in a batch.
        samples_per_class: distinct pictures of each; a class with fewer, but two, gives all it has.
        evaluation_batch: pictures of a batch of `each_once`.
        seed: of batches and views; (seed, epoch, picture) alone decide both.
        workers: threads that read; they change no batch.

    Raises:
        InputError: not one target per picture, no picture, or too few classes for a batch.
    """

    def __init__(
        self,
        stored: Stored,
        targets: Tensor,
        views: Shown,
        *,
        classes_per_batch: int,
        samples_per_class: int,
        evaluation_batch: int = 200,
        seed: int = 0,
        workers: int = 1,
    ) -> None:
        _check(type(self).__name__, stored, targets)
        self.stored, self.targets, self.views, self.seed = stored, targets, views, seed
        self.evaluation_batch, self.workers = (
            evaluation_batch,
            whole_number("ClassPictures", "workers", workers),
        )
        self.sampler = ClassBatchSampler(
            targets,
            classes_per_batch=classes_per_batch,
            samples_per_class=samples_per_class,
            small_classes="keep",
            seed=seed,
        )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `(inputs, targets)` batches: uint8 [item, channel, row, column], and class numbers."""
        yield from _batches(self.sampler, _learning(self, self.sampler.epoch), self.targets, self.workers)

    def set_epoch(self, epoch: int) -> None:
        """Choose batches and views of the next pass."""
        self.sampler.set_epoch(epoch)

    def rebatch(self, size: int) -> "ClassPictures":
        """Return the same pictures in batches of about `size`: `size // samples_per_class` classes."""
        return ClassPictures(
            self.stored,
            self.targets,
            self.views,
            classes_per_batch=max(2, size // self.sampler.samples_per_class),
            samples_per_class=self.sampler.samples_per_class,
            evaluation_batch=self.evaluation_batch,
            seed=self.seed,
            workers=self.workers,
        )

    def part(self, kept: Tensor) -> "ClassPictures":
        """Return the pictures of a mask [item]; a batch holds all of their classes where it asks for more."""
        stored, targets = _some(self, kept)
        assert isinstance(targets, Tensor)
        several = int((targets.unique(return_counts=True)[1] >= 2).sum())
        return ClassPictures(
            stored,
            targets,
            self.views,
            classes_per_batch=max(2, min(self.sampler.classes_per_batch, several)),
            samples_per_class=self.sampler.samples_per_class,
            evaluation_batch=self.evaluation_batch,
            seed=self.seed,
            workers=self.workers,
        )

    def each_once(self) -> PictureSplit:
        """Return the same pictures, each once and as they are judged."""
        batch, workers = self.evaluation_batch, self.workers
        return PictureSplit(self.stored, self.targets, self.views, batch=batch, workers=workers)

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of what is stored, by name and size, and of targets, views and batches."""
        return _digest(self, self.sampler.classes_per_batch, self.sampler.samples_per_class, self.seed)


def _check(caller: str, stored: Stored, targets: Tensor | list[str]) -> None:
    if not 0 < len(stored) == len(targets):
        came = f"{len(stored):,} pictures and {len(targets):,} targets"
        raise fail(caller, came, "one target per picture, and at least one")


def _some(split: PictureSplit | ClassPictures, kept: Tensor) -> tuple[Some, Tensor | list[str]]:
    """The pictures of a mask and their targets."""
    numbers = kept.nonzero().flatten().tolist()
    targets = split.targets
    found = targets[kept] if isinstance(targets, Tensor) else [targets[number] for number in numbers]
    return Some([split.stored], numbers), found


def _learning(split: PictureSplit | ClassPictures, epoch: int) -> Callable[[int], np.ndarray]:
    """Picture number -> its random view of an epoch."""

    def view(number: int) -> np.ndarray:
        random = np.random.default_rng((split.seed, epoch, number, 1))
        return seen(split.stored, number, lambda image: split.views.learned(image, random))

    return view


def _judging(split: PictureSplit) -> Callable[[int], np.ndarray]:
    return lambda number: seen(split.stored, number, split.views.judged)


def _batches(
    numbers: Iterable[list[int]], view: Callable[[int], np.ndarray], targets: Tensor | list[str], workers: int
) -> Iterator[tuple[Tensor, Any]]:
    """Yield batches; the next one is read while the last one is used."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    waiting: tuple[list[int], list[Future[np.ndarray]]] | None = None
    try:
        for chosen in numbers:
            begun = chosen, [pool.submit(view, number) for number in chosen]
            if waiting is not None:
                yield _batch(*waiting, targets)
            waiting = begun
        if waiting is not None:
            yield _batch(*waiting, targets)
    finally:
        pool.shutdown(cancel_futures=True)


def _batch(
    chosen: list[int], views: list[Future[np.ndarray]], targets: Tensor | list[str]
) -> tuple[Tensor, Any]:
    inputs = torch.from_numpy(np.stack([view.result() for view in views]))
    if isinstance(targets, list):
        return inputs, [targets[number] for number in chosen]
    return inputs, targets[torch.tensor(chosen)]


def _png(pixels: np.ndarray) -> bytes:
    """A view as PNG."""
    images = extra("PIL.Image", "field", "the gallery of a report")
    stream = io.BytesIO()
    shown = pixels.transpose(1, 2, 0)
    images.fromarray(shown[:, :, 0] if shown.shape[2] == 1 else shown).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _digest(split: PictureSplit | ClassPictures, *facts: Any) -> str:
    targets = split.targets if isinstance(split.targets, list) else split.targets.tolist()
    total = hashlib.sha256(repr((split.stored.digest, split.views, facts)).encode())
    total.update(repr(targets).encode())
    return total.hexdigest()

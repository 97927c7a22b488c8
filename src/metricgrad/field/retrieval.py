"""Splits of a data set of pictures: fit and select out of its train classes, test as it is."""

import os
from collections.abc import Sequence

from torch import Tensor

from metricgrad._checks import fail
from metricgrad.field.division import development_parts, held_back, numbers_of
from metricgrad.field.listed import Listed, Parts, sizes_of
from metricgrad.field.picture_splits import ClassPictures, PictureSplit
from metricgrad.field.stored import Files
from metricgrad.field.views import Views
from metricgrad.tune.splits import Splits

__all__ = ["retrieval_splits", "threads"]

MOST_THREADS = 16


def threads(asked: int | None) -> int:
    """Return how many threads read: as many as asked for, else one per processor, at most 16."""
    return asked or min(MOST_THREADS, os.cpu_count() or 1)


def retrieval_splits(
    parts: Parts,
    views: Views,
    *,
    classes_per_batch: int,
    samples_per_class: int,
    evaluation_batch: int,
    select_share: float,
    seed: int,
    workers: int | None = None,
    development: int | None = None,
) -> tuple[Splits, Sequence[str]]:
    """Look for every file and make the splits.

    Args:
        parts: of the data set.
        views: how pictures are shown.
        classes_per_batch: of fit; as many as there are where it has fewer, which is told.
        samples_per_class: pictures of each class in a batch.
        evaluation_batch: pictures that are embedded together where nothing is learned.
        select_share: of the train classes that are held back for select.
        seed: of that draw, and of batches and views.
        workers: threads that read; None for one per processor.
        development: None for the real splits; a number takes fit, select and test out of the classes of train.

    Returns:
        The splits, and sentences that the user should see.

    Raises:
        InputError: files are missing, or classes do not suffice.
    """
    if development is not None:
        parts = development_parts(parts, development, seed)
    told = list(parts.told)
    drawn = (seed,) if development is None else (seed, development)
    fit, select = held_back(parts.train, select_share, *drawn)
    several = _classes_of_two(fit)
    classes = min(classes_per_batch, several)
    if classes < 2:
        raise fail(fit.source, f"{several} classes of fit have two pictures or more", "at least two of them")
    if classes < classes_per_batch:
        told.append(
            f"fit has {several:,} classes with two pictures or more: a batch holds all of them, not the "
            f"{classes_per_batch:,} that were asked for"
        )
    if _classes_of_two(parts.test) == 0 and parts.gallery is None:
        raise fail(parts.test.source, "no class of test has two pictures", "a query and what it should find")
    listed = [fit, select, parts.test, *([] if parts.gallery is None else [parts.gallery])]
    numbers = numbers_of(*listed)
    reads = threads(workers)

    def judged(one: Listed, of_class: Tensor, reference: PictureSplit | None = None) -> PictureSplit:
        return PictureSplit(
            _files(one), of_class, views, batch=evaluation_batch, workers=reads, reference=reference
        )

    gallery = None if parts.gallery is None else judged(parts.gallery, numbers[3])
    learned = ClassPictures(
        _files(fit),
        numbers[0],
        views,
        classes_per_batch=classes,
        samples_per_class=samples_per_class,
        evaluation_batch=evaluation_batch,
        seed=seed,
        workers=reads,
    )
    return Splits(learned, judged(select, numbers[1]), judged(parts.test, numbers[2], gallery)), told


def _files(listed: Listed) -> Files:
    return Files(listed.root, listed.files, sizes_of(listed))


def _classes_of_two(listed: Listed) -> int:
    """The number of classes with two pictures or more."""
    counts: dict[str, int] = {}
    for name in listed.classes:
        counts[name] = counts.get(name, 0) + 1
    return sum(count >= 2 for count in counts.values())

"""Pictures that a task draws itself: in several processes, in order, with progress."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

import numpy as np

from metricgrad._checks import fail
from metricgrad._records import Progress, event_of
from metricgrad._types import Observer

__all__ = ["PART", "Part", "drawn_scenes", "drawn_splits"]

PART = 500
"""Pictures that a process draws at once."""
_FEW = 1500  # fewer are drawn here: other processes take longer to start


class Part(NamedTuple):
    """What one process draws at once: `items` pictures of a split, and whatever the drawing function needs."""

    split: str
    items: int
    work: Any


class _Numbers(NamedTuple):
    """Scenes that one process draws at once, by their numbers in a split."""

    draw: Callable[[Any, int, range], Any]
    split: str
    seed: int
    numbers: range


def drawn_scenes(
    draw: Callable[[Any, int, range], Any],
    sources: Mapping[str, Any],
    counts: Mapping[str, int],
    *,
    seed: int,
    task: str,
    processes: int | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Draw scenes by their numbers, each split from its own source.

    Args:
        draw: (source, seed, numbers) -> a named tuple of arrays, one row per scene; at the top of a module.
        sources: one per split; they are sent to a process once.
        counts: scenes of each split to draw, at least 1.
        seed: of all scenes.
        task: for the message of an error.
        processes: that draw; None for the number of cores, and for this one alone below 1,500 scenes.
        observer: called with progress, in scenes.

    Returns:
        For each split a named tuple, its scenes in the order of their numbers.

    Raises:
        InputError: a process ended, or was not able to begin.
    """
    parts = [
        Part(name, len(numbers), _Numbers(draw, name, seed, numbers))
        for name, count in counts.items()
        for start in range(0, count, PART)
        for numbers in [range(start, min(start + PART, count))]
    ]
    return drawn_splits(
        _draw_numbers,
        parts,
        task=task,
        what="scenes",
        unit="scene",
        processes=processes,
        observer=observer,
        begin=_begin,
        arguments=(dict(sources),),
    )


_sources: dict[str, Any] = {}  # of a process that draws


def _begin(sources: dict[str, Any]) -> None:
    """Keep what a process draws from."""
    _sources.update(sources)


def _draw_numbers(part: _Numbers) -> Any:
    """Draw a part in a process that `_begin` has prepared."""
    return part.draw(_sources[part.split], part.seed, part.numbers)


def drawn_splits(
    draw: Callable[[Any], Any],
    parts: Sequence[Part],
    *,
    task: str,
    what: str,
    unit: str,
    processes: int | None = None,
    observer: Observer | None = None,
    begin: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> dict[str, Any]:
    """Draw the parts and join those of each split.

    Args:
        draw: `part.work` -> a named tuple of arrays, one row a picture; at the top of a module.
        parts: in order, those of a split one after the other.
        task: for the message of an error.
        what: is drawn, for the progress.
        unit: of the progress.
        processes: that draw; None for the number of cores, and for this one alone below 1,500 pictures.
        observer: called with progress, in pictures.
        begin: called once in every process, with `arguments`: they are sent once and not with every part.
        arguments: of `begin`.

    Returns:
        For each split a named tuple, the arrays of its parts one after the other.

    Raises:
        InputError: a process ended, or was not able to begin.
    """
    total = sum(part.items for part in parts)
    if processes is None:
        processes = 1 if total < _FEW else os.cpu_count() or 1
    found: dict[str, list[Any]] = {}
    done = 0
    drawn = _in_processes(draw, [part.work for part in parts], processes, task, begin, arguments)
    for part, pictures in zip(parts, drawn, strict=True):
        found.setdefault(part.split, []).append(pictures)
        done += part.items
        if observer is not None:
            observer(event_of(Progress(what=what, done=done, total=total, unit=unit)))
    return {
        split: type(several[0])(*(np.concatenate(arrays) for arrays in zip(*several, strict=True)))
        for split, several in found.items()
    }


def _in_processes(
    draw: Callable[[Any], Any],
    work: list[Any],
    processes: int,
    task: str,
    begin: Callable[..., None] | None,
    arguments: tuple[Any, ...],
) -> Iterator[Any]:
    """Draw here or in other processes, in order."""
    if processes == 1:
        if begin is not None:
            begin(*arguments)
        yield from map(draw, work)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(processes, context, begin, arguments) as pool:
            yield from pool.map(draw, work)
    except BrokenProcessPool as error:
        raise fail(
            f"task {task}",
            f"a process that draws ended ({error})",
            "processes that can start and have memory",
            'Call the task below `if __name__ == "__main__":` in your script, or set data.processes=1.',
        ) from error

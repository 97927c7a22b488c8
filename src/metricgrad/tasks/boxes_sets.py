"""All scenes of the task boxes: who is drawn in which split, drawn once in several processes, kept on disk.

The scenes lie in one file that is written beside its place and renamed. It carries a key of everything that settles
their pixels, and a checksum: a file that is cut off or altered is reported and drawn again, never used.
"""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from metricgrad._checks import extra, fail
from metricgrad._records import Note, Progress, event_of
from metricgrad._types import Observer
from metricgrad.errors import InputError
from metricgrad.tasks.boxes_scenes import VERSION, Source, cut_out, draw_scene, photographs
from metricgrad.tasks.emoji_pictures import EmojiPictures, load_pictures
from metricgrad.tasks.features import cache_folder

__all__ = ["VENDORS", "SceneSets", "Scenes", "draw_scenes", "kept_scenes", "pictures_of"]

VENDORS = {
    "fit": ("noto", "noto-v1", "fxemoji"),
    "select": ("twemoji",),
    "test": ("fluent-emoji-flat", "emojione"),
}
"""Whose designs a split is drawn from; noto-v1 is an earlier design of noto's artists."""
SHARES = (0.6, 0.15)
"""Share of the emoji in fit and in select; the others are test."""

_PART = 500  # scenes that a process draws at once
_FEW = 1500  # fewer are drawn here: other processes take longer to start
_KEY = "boxes"  # one key only: safetensors writes several in no fixed order


class Scenes(NamedTuple):
    """The scenes of a split: pictures, boxes (cx, cy, w, h, angle) and the number of each object's design."""

    pictures: UInt8[np.ndarray, "scene 3 64 64"]
    boxes: Float[np.ndarray, "scene 5"]
    design: Int64[np.ndarray, "scene"]


def draw_scenes(
    sources: Mapping[str, Source],
    counts: Mapping[str, int],
    *,
    seed: int = 0,
    processes: int | None = None,
    observer: Observer | None = None,
) -> dict[str, Scenes]:
    """Draw the scenes of several splits, in other processes where there are many.

    Args:
        sources: one a split.
        counts: scenes of each split to draw, at least 1.
        seed: of all scenes.
        processes: that draw; None for the number of cores, and for this one alone below 1,500 scenes.
        observer: called with progress, in scenes.

    Returns:
        The scenes of each split in the order of their numbers.

    Raises:
        InputError: a process ended, or was not able to begin.
        MissingExtraError: Pillow is not installed.

    Cost:
        About 3 ms a scene and process, and a few seconds to start processes.
    """
    total = sum(counts.values())
    if processes is None:
        processes = 1 if total < _FEW else os.cpu_count() or 1
    parts = [
        (name, seed, start, min(start + _PART, counts[name]))
        for name in counts
        for start in range(0, counts[name], _PART)
    ]
    found: dict[str, list[Scenes]] = {name: [] for name in counts}
    done = 0
    for (name, _, start, stop), scenes in zip(parts, _drawn(sources, parts, processes), strict=True):
        found[name].append(scenes)
        done += stop - start
        if observer is not None:
            observer(event_of(Progress(what="scenes", done=done, total=total, unit="scene")))
    return {
        name: Scenes(*(np.concatenate(arrays) for arrays in zip(*several, strict=True)))
        for name, several in found.items()
    }


def _drawn(
    sources: Mapping[str, Source], parts: list[tuple[str, int, int, int]], processes: int
) -> Iterator[Scenes]:
    """Draw the parts (split, seed, first scene, scene after the last) here or in other processes, in order."""
    if processes == 1:
        for name, seed, start, stop in parts:
            yield _part(sources[name], seed, start, stop)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(processes, context, _begin, (dict(sources),)) as pool:
            yield from pool.map(_part_of, *zip(*parts, strict=True))
    except BrokenProcessPool as error:
        raise fail(
            "task boxes",
            f"a process that draws scenes ended ({error})",
            "processes that can start and have memory",
            'Call the task below `if __name__ == "__main__":` in your script, or set data.processes=1.',
        ) from error


_sources: dict[str, Source] = {}  # of a process that draws


def _begin(sources: dict[str, Source]) -> None:
    """Keep what a process draws from: it is sent once."""
    _sources.update(sources)


def _part_of(name: str, seed: int, start: int, stop: int) -> Scenes:
    """Draw a part in a process that `_begin` has prepared."""
    return _part(_sources[name], seed, start, stop)


def _part(source: Source, seed: int, start: int, stop: int) -> Scenes:
    """Draw the scenes with the numbers from `start` to `stop`."""
    scenes = [draw_scene(source, (seed, source.number, number)) for number in range(start, stop)]
    pictures = np.stack([scene.picture for scene in scenes]).transpose(0, 3, 1, 2)
    return Scenes(
        np.ascontiguousarray(pictures),
        np.stack([scene.box for scene in scenes]).astype(np.float32),
        np.array([scene.design for scene in scenes], dtype=np.int64),
    )


class SceneSets(NamedTuple):
    """The scenes of all splits, as `kept_scenes` returns them."""

    splits: dict[str, Scenes]
    names: dict[str, list[str]]
    key: str


def kept_scenes(
    counts: Mapping[str, int],
    *,
    seed: int = 0,
    cache: Path | None = None,
    processes: int | None = None,
    observer: Observer | None = None,
) -> SceneSets:
    """Read the scenes of fit, select and test, or draw and keep them.

    Args:
        counts: scenes of each split, at least 1.
        seed: of the division of the emoji among the splits and of the scenes.
        cache: folder of the scenes; None takes the one that `cache_folder` says.
        processes: that draw; None for the number of cores.
        observer: called with progress (in scenes) and with notes about a damaged file.

    Returns:
        `splits`, where `design` is the number of the object's emoji picture; `names`, one text a scene: which emoji,
        drawn by whom; and `key`, 64 hexadecimal digits of everything that settles the pixels: photographs, emoji,
        division, seed, counts, the version of this code, of Pillow and of numpy.

    Raises:
        InputError: the folder cannot be written, or a process ended.
        MissingExtraError: Pillow or scikit-learn is not installed.

    Cost:
        18,000 scenes take about 70 s of one core, once, and 222 MB; then a read of half a second.
    """
    emoji = load_pictures()
    strips = {name: photographs(name) for name in VENDORS}
    key = _key(emoji, strips, counts, seed)
    path = cache_folder(cache) / f"boxes-{key}.safetensors"
    found = _read(path, key, observer)
    if found is None:
        _probe(path.parent)
        found = _draw(emoji, strips, counts, seed, processes, observer)
        try:
            _keep(path, key, found)
        except OSError as error:
            raise _no_room(path.parent, error) from error
    names = {
        name: [
            f"{emoji.names[emoji.label[row]]} ({emoji.vendors[emoji.vendor[row]]})" for row in scenes.design
        ]
        for name, scenes in found.items()
    }
    return SceneSets(found, names, key)


def pictures_of(emoji: EmojiPictures, seed: int) -> dict[str, Int64[np.ndarray, "_"]]:
    """Divide the emoji: fit, select and test have neither an emoji nor a vendor in common.

    Returns:
        Numbers of the emoji pictures of each split: its part of the emoji as its vendors drew them.

    Example:
        >>> emoji = load_pictures()
        >>> {name: len(rows) for name, rows in pictures_of(emoji, 0).items()}
        {'fit': 1794, 'select': 212, 'test': 621}
    """
    classes = len(emoji.names)
    fit, select = round(SHARES[0] * classes), round(SHARES[1] * classes)
    parts = np.split(np.random.default_rng(seed).permutation(classes), [fit, fit + select])
    rows = {}
    for (name, vendors), part in zip(VENDORS.items(), parts, strict=True):
        theirs = np.isin(emoji.vendor, [emoji.vendors.index(vendor) for vendor in vendors])
        rows[name] = np.flatnonzero(theirs & np.isin(emoji.label, part))
    return rows


def _key(
    emoji: EmojiPictures, strips: Mapping[str, list[np.ndarray]], counts: Mapping[str, int], seed: int
) -> str:
    """Name the scenes by everything that settles their pixels."""
    photograph = hashlib.sha256(b"".join(strip.tobytes() for part in strips.values() for strip in part))
    pillow = extra("PIL", "emoji", "drawing scenes").__version__
    chosen = [VENDORS, SHARES, [counts[name] for name in VENDORS], seed]
    facts = [emoji.digest, photograph.hexdigest(), chosen, VERSION, pillow, np.__version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _draw(
    emoji: EmojiPictures,
    strips: Mapping[str, list[np.ndarray]],
    counts: Mapping[str, int],
    seed: int,
    processes: int | None,
    observer: Observer | None,
) -> dict[str, Scenes]:
    """Cut the designs of every split out and draw its scenes; `design` becomes the number of the emoji picture."""
    rows, sources = {}, {}
    for number, (name, mine) in enumerate(pictures_of(emoji, seed).items()):
        cut = {int(row): cut_out(emoji.pictures[row]) for row in mine}
        kept = {row: cutout for row, cutout in cut.items() if cutout is not None}
        rows[name] = np.array(list(kept))
        sources[name] = Source(list(kept.values()), strips[name], number)
    drawn = draw_scenes(sources, counts, seed=seed, processes=processes, observer=observer)
    return {name: scenes._replace(design=rows[name][scenes.design]) for name, scenes in drawn.items()}


def _read(path: Path, key: str, observer: Observer | None) -> dict[str, Scenes] | None:
    """The scenes in a file, or None where there is no file or a damaged one (which the observer hears of)."""
    if not os.path.exists(path):  # unlike Path.exists, False in a folder that may not be looked into
        return None
    try:
        with safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            arrays = {
                name: [file.get_tensor(f"{name}.{field}") for field in Scenes._fields] for name in VENDORS
            }
        found = {name: Scenes(*fields) for name, fields in arrays.items()}
        if facts == {"key": key, "sha256": _checksum(found)}:
            return found
        wrong = "do not have their key and checksum"
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        wrong = f"cannot be read ({type(error).__name__}: {error})"
    if observer is not None:
        observer(event_of(Note(f"The kept scenes {path} {wrong}; they are drawn again.")))
    return None


def _probe(folder: Path) -> None:
    """Make a folder, and say now, not after a minute of work, where it cannot be written."""
    probe = folder / f"probe.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"0")
        probe.unlink()
    except OSError as error:
        raise _no_room(folder, error) from error


def _no_room(folder: Path, error: OSError) -> InputError:
    """What to say where a folder cannot take the scenes."""
    return fail(
        "task boxes",
        f"the scenes cannot be kept in {folder} ({error.strerror or error})",
        "a folder that can be written, with room for 222 MB",
        "Make room there, or set METRICGRAD_CACHE to another folder.",
    )


def _keep(path: Path, key: str, found: Mapping[str, Scenes]) -> None:
    """Write scenes beside their place, bring them to the disk and rename them into it."""
    arrays = {
        f"{name}.{field}": array
        for name, scenes in found.items()
        for field, array in scenes._asdict().items()
    }
    facts = json.dumps({"key": key, "sha256": _checksum(found)})
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(save(arrays, metadata={_KEY: facts}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _checksum(found: Mapping[str, Scenes]) -> str:
    """sha256 of all values, in the order of the splits."""
    total = hashlib.sha256()
    for name in VENDORS:
        for array in found[name]:
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()

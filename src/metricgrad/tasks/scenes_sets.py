"""All scenes of the task scenes: whose designs are drawn in which split, drawn once in several processes and kept."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from metricgrad._checks import extra, require_memory
from metricgrad._types import Observer
from metricgrad.tasks.boxes_scenes import Source, cut_out, photographs
from metricgrad.tasks.boxes_sets import SHARES, VENDORS, pictures_of
from metricgrad.tasks.drawing import PART, Part, drawn_splits
from metricgrad.tasks.emoji_pictures import EmojiPictures, load_pictures
from metricgrad.tasks.emoji_tree import read_tree
from metricgrad.tasks.kept import kept_splits
from metricgrad.tasks.scenes_drawing import CLASSES, IMBALANCE, VERSION, ClassSource, draw_masked

__all__ = ["MaskedScenes", "class_sources", "draw_scenes", "kept_scenes"]

_BYTES_OF_A_SCENE = 3 * 4 * 48 * 48
"""Drawn, joined and kept: three copies for a moment."""


class MaskedScenes(NamedTuple):
    """The scenes of a split: pictures and the class of every pixel."""

    pictures: UInt8[np.ndarray, "scene 3 48 48"]
    masks: UInt8[np.ndarray, "scene 48 48"]


def kept_scenes(
    counts: Mapping[str, int],
    *,
    seed: int = 0,
    cache: Path | None = None,
    processes: int | None = None,
    observer: Observer | None = None,
) -> tuple[dict[str, MaskedScenes], str]:
    """Read the scenes of fit, select and test, or draw and keep them.

    Args:
        counts: scenes of each split, at least 1.
        seed: of the division of the emoji among the splits and of the scenes.
        cache: folder of the scenes; None takes the one that `cache_folder` says.
        processes: that draw; None for the number of cores.
        observer: called with progress (in scenes) and with notes about a damaged file.

    Returns:
        The scenes of each split, and a key of everything that settles their pixels: photographs, emoji, division,
        classes, seed, counts, the version of this code, of Pillow and of numpy.

    Raises:
        InputError: more scenes than memory, a folder that cannot be written, or a process that ended.
        MissingExtraError: Pillow or scikit-learn is not installed.
    """
    scenes = sum(counts.values())
    require_memory("task scenes", f"drawing {scenes:,} scenes", _BYTES_OF_A_SCENE * scenes)
    emoji = load_pictures()
    strips = {name: photographs(name) for name in VENDORS}
    key = _key(emoji, strips, counts, seed)

    def draw() -> dict[str, MaskedScenes]:
        sources = class_sources(emoji, strips, seed)
        return draw_scenes(sources, counts, seed=seed, processes=processes, observer=observer)

    found = kept_splits("scenes", key, MaskedScenes, list(VENDORS), draw, cache=cache, observer=observer)
    return found, key


def class_sources(
    emoji: EmojiPictures, strips: Mapping[str, list[np.ndarray]], seed: int
) -> dict[str, ClassSource]:
    """Cut the designs of every split out, by class; emoji of other categories are left out."""
    tree = read_tree(emoji.names, "categories")
    numbers = {name: place for place, name in enumerate(tree.names)}
    sources = {}
    for number, (name, rows) in enumerate(pictures_of(emoji, seed).items()):
        cutouts: list[np.ndarray] = []
        of_class = []
        for category in filter(None, CLASSES.values()):
            mine = rows[tree.class_of[emoji.label[rows]] == numbers[category]]
            cut = [cut_out(emoji.pictures[row], any_shape=True) for row in mine]
            kept = [cutout for cutout in cut if cutout is not None]
            of_class.append(np.arange(len(cutouts), len(cutouts) + len(kept)))
            cutouts += kept
        sources[name] = ClassSource(Source(cutouts, strips[name], number), of_class)
    return sources


def draw_scenes(
    sources: Mapping[str, ClassSource],
    counts: Mapping[str, int],
    *,
    seed: int = 0,
    processes: int | None = None,
    observer: Observer | None = None,
) -> dict[str, MaskedScenes]:
    """Draw the scenes of several splits, in other processes where there are many.

    Args:
        sources: one per split.
        counts: scenes of each split to draw, at least 1.
        seed: of all scenes.
        processes: that draw; None for the number of cores, and for this one alone below 1,500 scenes.
        observer: called with progress, in scenes.

    Raises:
        InputError: a process ended, or was not able to begin.
        MissingExtraError: Pillow is not installed.
    """
    parts = [
        Part(name, stop - start, (name, seed, start, stop))
        for name in counts
        for start in range(0, counts[name], PART)
        for stop in [min(start + PART, counts[name])]
    ]
    return drawn_splits(
        _draw_part,
        parts,
        task="scenes",
        what="scenes",
        unit="scene",
        processes=processes,
        observer=observer,
        begin=_begin,
        arguments=(dict(sources),),
    )


_sources: dict[str, ClassSource] = {}  # of a process that draws


def _begin(sources: dict[str, ClassSource]) -> None:
    """Keep what a process draws from: it is sent once."""
    _sources.update(sources)


def _draw_part(part: tuple[str, int, int, int]) -> MaskedScenes:
    """Draw a part (split, seed, first scene, scene after the last) in a process that `_begin` has prepared."""
    name, seed, start, stop = part
    source = _sources[name]
    scenes = [draw_masked(source, (seed, source.source.number, number)) for number in range(start, stop)]
    pictures = np.stack([scene.picture for scene in scenes]).transpose(0, 3, 1, 2)
    return MaskedScenes(np.ascontiguousarray(pictures), np.stack([scene.mask for scene in scenes]))


def _key(
    emoji: EmojiPictures, strips: Mapping[str, list[np.ndarray]], counts: Mapping[str, int], seed: int
) -> str:
    """Name the scenes by everything that settles their pixels."""
    photograph = hashlib.sha256(b"".join(strip.tobytes() for part in strips.values() for strip in part))
    categories = read_tree(emoji.names, "categories")
    pillow = extra("PIL", "emoji", "drawing scenes").__version__
    chosen = [VENDORS, SHARES, [counts[name] for name in VENDORS], seed, dict(CLASSES), IMBALANCE]
    classes = [categories.names, categories.class_of.tolist()]
    facts = [emoji.digest, photograph.hexdigest(), classes, chosen, VERSION, pillow, np.__version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

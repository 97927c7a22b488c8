"""All scenes of the task boxes: who is drawn in which split, drawn once in several processes, kept on disk."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, UInt8

from metricgrad._checks import extra, require_memory
from metricgrad._types import Observer
from metricgrad.tasks.boxes_scenes import VERSION, Source, cut_out, draw_scene, photographs
from metricgrad.tasks.drawing import drawn_scenes
from metricgrad.tasks.emoji_pictures import EmojiPictures, load_pictures
from metricgrad.tasks.kept import kept_splits

__all__ = ["VENDORS", "SceneSets", "Scenes", "draw_scenes", "kept_scenes", "pictures_of"]

VENDORS = {
    "fit": ("noto", "noto-v1", "fxemoji"),
    "select": ("twemoji",),
    "test": ("fluent-emoji-flat", "emojione"),
}
"""Whose designs a split is drawn from; noto-v1 is an earlier design of noto's artists."""
SHARES = (0.6, 0.15)
"""Share of the emoji in fit and in select; the others are test."""
_BYTES_OF_A_SCENE = 3 * 3 * 64 * 64
"""Drawn, joined and kept: three copies for a moment."""


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
    return drawn_scenes(
        _draw_part, sources, counts, seed=seed, task="boxes", processes=processes, observer=observer
    )


def _draw_part(source: Source, seed: int, numbers: range) -> Scenes:
    """Draw the scenes of these numbers."""
    scenes = [draw_scene(source, (seed, source.number, number)) for number in numbers]
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
        InputError: more scenes than memory, a folder that cannot be written, or a process that ended.
        MissingExtraError: Pillow or scikit-learn is not installed.

    Cost:
        18,000 scenes take about 70 s of one core, once, and 222 MB; then a read of half a second.
    """
    scenes = sum(counts.values())
    require_memory("task boxes", f"drawing {scenes:,} scenes", _BYTES_OF_A_SCENE * scenes)
    emoji = load_pictures()
    strips = {name: photographs(name) for name in VENDORS}
    key = _key(emoji, strips, counts, seed)

    def draw() -> dict[str, Scenes]:
        return _draw(emoji, strips, counts, seed, processes, observer)

    found = kept_splits("boxes", key, Scenes, list(VENDORS), draw, cache=cache, observer=observer)
    names = {name: emoji.described(scenes.design) for name, scenes in found.items()}
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

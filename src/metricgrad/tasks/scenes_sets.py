"""All scenes of the task scenes: drawn once, in several processes, and kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from metricgrad._checks import require_memory
from metricgrad._types import Observer
from metricgrad.tasks.boxes_sets import VENDORS
from metricgrad.tasks.drawing import drawn_scenes
from metricgrad.tasks.kept import kept_splits
from metricgrad.tasks.scenes_drawing import ClassSource, draw_masked
from metricgrad.tasks.scenes_sources import class_sources, designs, key_of

__all__ = ["MaskedScenes", "draw_scenes", "kept_scenes"]

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
    drawn_from = designs()
    key = key_of(drawn_from, [counts[name] for name in VENDORS], seed)

    def draw() -> dict[str, MaskedScenes]:
        sources = class_sources(drawn_from, seed)
        return draw_scenes(sources, counts, seed=seed, processes=processes, observer=observer)

    found = kept_splits("scenes", key, MaskedScenes, list(VENDORS), draw, cache=cache, observer=observer)
    return found, key


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
    return drawn_scenes(
        _draw_part, sources, counts, seed=seed, task="scenes", processes=processes, observer=observer
    )


def _draw_part(source: ClassSource, seed: int, numbers: range) -> MaskedScenes:
    """Draw the scenes of these numbers."""
    scenes = [draw_masked(source, (seed, source.source.number, number)) for number in numbers]
    pictures = np.stack([scene.picture for scene in scenes]).transpose(0, 3, 1, 2)
    return MaskedScenes(np.ascontiguousarray(pictures), np.stack([scene.mask for scene in scenes]))

"""Scenes in which every pixel has a class: cut-out emoji over each other on photographs, with their exact masks.

A scene is a crop of a photograph with two to five emoji of any sizes, each slightly turned; later ones lie over earlier
ones. Some classes come often and some seldom: the classes of the cut-outs are drawn with shares that fall by a constant
ratio. Every scene is drawn from a key of its own (seed, split, number).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from metricgrad.tasks.boxes_scenes import Source, ground, layer

__all__ = ["CLASSES", "EDGE", "VERSION", "ClassSource", "Masked", "draw_masked"]

EDGE = 48
"""Height and width of a scene in pixels."""
VERSION = 1
"""Of the arithmetic in this file: another number makes other scenes."""

CLASSES: Mapping[str, str | None] = {
    "background": None,
    "object": "Objects",
    "place": "Travel & Places",
    "face": "Smileys & Emotion",
    "nature": "Animals & Nature",
    "food": "Food & Drink",
    "symbol": "Symbols",
}
"""Name and emoji category of each class, after the background from the most frequent class to the rarest."""
IMBALANCE = 5.0
"""Cut-outs of the most frequent class for one of the rarest."""

CUTOUTS = (2, 5)
LONG_SIDE = (10.0, 30.0)  # of a cut-out, in pixels
TURN = np.pi / 6  # at most
NOISE = 6.0  # standard deviation, in grey levels


@dataclass(frozen=True, eq=False)
class ClassSource:
    """What the scenes of one split are drawn from.

    Args:
        source: cut-outs and photographs.
        of_class: for each class but the background the numbers of its cut-outs, at least one.
    """

    source: Source
    of_class: Sequence[np.ndarray]


class Masked(NamedTuple):
    """One scene, as `draw_masked` returns it."""

    picture: UInt8[np.ndarray, "48 48 3"]
    mask: UInt8[np.ndarray, "48 48"]


def draw_masked(source: ClassSource, key: Sequence[int]) -> Masked:
    """Draw one scene.

    Args:
        source: cut-outs and photographs.
        key: whole numbers >= 0: the same ones give the same scene.

    Returns:
        `picture` uint8 RGB; `mask`, the class of each pixel, 0 for the background.

    Raises:
        MissingExtraError: Pillow is not installed.

    Edge cases:
        A pixel is drawn as four finer ones, and its class is that of most of them; of equally many the lowest number.
        A cut-out may reach over the border, or be hidden by later ones.

    Cost:
        About 2 ms.
    """
    rng = np.random.default_rng(key)
    canvas = ground(source.source, rng, EDGE)
    fine = np.zeros((canvas.height, canvas.width), np.uint8)
    shares = IMBALANCE ** (-np.arange(len(source.of_class)) / max(1, len(source.of_class) - 1))
    for _ in range(int(rng.integers(CUTOUTS[0], CUTOUTS[1] + 1))):
        number = int(rng.choice(len(source.of_class), p=shares / shares.sum()))
        cutout = source.source.cutouts[int(rng.choice(source.of_class[number]))]
        over = layer(cutout, _placed(cutout, rng), EDGE)
        canvas.paste(over, (0, 0), over)
        fine[np.asarray(over)[..., 3] >= 128] = number + 1
    scale = canvas.width // EDGE
    pixels = np.asarray(canvas.reduce(scale), dtype=np.float64) * rng.uniform(0.7, 1.1)
    pixels += rng.normal(0.0, NOISE, pixels.shape)
    parts = fine.reshape(EDGE, scale, EDGE, scale)
    votes = np.stack([(parts == one).sum((1, 3)) for one in range(len(source.of_class) + 1)])
    return Masked(pixels.clip(0, 255).round().astype(np.uint8), votes.argmax(0).astype(np.uint8))


def _placed(cutout: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where a cut-out lies: cx, cy, width, height as shares of the edge, and its turn. It keeps its proportions."""
    height, width = cutout.shape[:2]
    long = np.exp(rng.uniform(*np.log(LONG_SIDE))) / EDGE
    scale = long / max(height, width)
    cx, cy = rng.uniform(0.1, 0.9, 2)
    return np.array([cx, cy, scale * width, scale * height, rng.uniform(-TURN, TURN)])

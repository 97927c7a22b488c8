"""Scenes with one object in a rotated box: cut-out emoji on photographs, partly hidden by smaller emoji.

A *design* is one vendor's drawing of an emoji, cut out of its white ground and cropped to the tight rectangle of what
is left. A scene stretches a design to sides of its own, turns it, puts it on a crop of a photograph and lays other,
smaller emoji over and beside it. The box is the rectangle of the crop, moved as the design was: exact, also where the
object is hidden. The object is the emoji with the largest box.

Every scene is drawn from a key of its own (seed, split, number), so that neither the number of scenes nor that of
processes moves a pixel of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from metricgrad._checks import extra

__all__ = [
    "EDGE",
    "VERSION",
    "Scene",
    "Source",
    "cut_out",
    "draw_scene",
    "ground",
    "layer",
    "photographs",
]

EDGE = 64
"""Height and width of a scene in pixels."""
VERSION = 1
"""Of the arithmetic in this file: another number makes other scenes."""

FINE = 2  # scenes are drawn at this multiple of their edge and averaged down
LONG_SIDE = (22.0, 46.0)  # of the box, in pixels
RATIO = (1.3, 3.0)  # long side to short side
LEAST_VISIBLE = 0.6  # share of the object's pixels
OTHERS = 4  # at most so many smaller emoji
OTHER_SIDE = (0.35, 0.7)  # their longer side, as a share of the root of the object's area
CROP = (48, 128)  # edge of the photograph's crop, in its pixels
NOISE = 6.0  # standard deviation, in grey levels

_PARTITION = {"fit": (0.0, 0.6), "select": (0.6, 0.8), "test": (0.8, 1.0)}  # strips of a photograph's width


@dataclass(frozen=True, eq=False)
class Source:
    """What the scenes of one split are drawn from.

    Args:
        cutouts: uint8 [height, width, 4] each: a design, RGB and alpha, cropped to its tight rectangle.
        photographs: uint8 [height, width, 3] each, at least 48 pixels high and wide.
        number: of the split: a part of the key of its scenes.
    """

    cutouts: Sequence[UInt8[np.ndarray, "_ _ 4"]]
    photographs: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    number: int


class Scene(NamedTuple):
    """One scene, as `draw_scene` returns it."""

    picture: UInt8[np.ndarray, "64 64 3"]
    box: Float[np.ndarray, "5"]
    design: int
    mask: Bool[np.ndarray, "64 64"]
    visible: float


def cut_out(
    picture: UInt8[np.ndarray, "height width 3"], *, any_shape: bool = False
) -> UInt8[np.ndarray, "_ _ 4"] | None:
    """Cut an emoji out of its white ground, where its tight rectangle tells how it was turned.

    The ground is the near-white region that reaches the border. A design is left out when it falls apart, fills less
    than half of its rectangle, lies along a diagonal of it (correlation of the coordinates above 0.1), or touches a
    side with a tip only: the rectangle of an unknown one could not be seen then.

    Args:
        picture: RGB on white, 0 to 255.
        any_shape: leave out only a picture that is all ground.

    Returns:
        uint8 [height, width, 4], RGB and alpha (0 or 255), cropped to the tight rectangle; None for a design that is
        left out.

    Raises:
        MissingExtraError: scipy is not installed.

    Cost:
        About 0.3 ms.

    Example:
        >>> picture = np.full((64, 64, 3), 255, np.uint8)
        >>> picture[10:40, 20:60] = 90
        >>> cut_out(picture).shape
        (30, 40, 4)
    """
    ndimage = extra("scipy.ndimage", "scikit", "cutting out emoji")
    white = np.pad(picture.min(2) >= 225, 1, constant_values=True)
    regions, _ = ndimage.label(white)
    inside = (regions != regions[0, 0])[1:-1, 1:-1]
    if not inside.any():
        return None
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    tight = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    alpha = inside[tight]
    if not any_shape and not _tells_its_turn(alpha, ndimage):
        return None
    return np.dstack([picture[tight], np.where(alpha, 255, 0).astype(np.uint8)])


def _tells_its_turn(alpha: Bool[np.ndarray, "height width"], ndimage: ModuleType) -> bool:
    """Whether a shape is in one piece, fills its rectangle, lies along its axes and touches the sides widely."""
    if min(alpha.shape) < 20 or alpha.mean() < 0.5:
        return False
    pieces, _ = ndimage.label(alpha)
    rows, columns = alpha.nonzero()
    touching = min(alpha[0].mean(), alpha[-1].mean(), alpha[:, 0].mean(), alpha[:, -1].mean())
    return bool(
        np.bincount(pieces.ravel())[1:].max() >= 0.95 * len(rows)
        and abs(np.corrcoef(rows, columns)[0, 1]) <= 0.1
        and touching >= 0.1
    )


def photographs(split: str) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Return a split's strips of the two photographs that scikit-learn ships; no two splits share a pixel.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> [strip.shape for strip in photographs("select")]
        [(427, 128, 3), (427, 128, 3)]
    """
    images = (
        extra("sklearn.datasets", "scikit", "the photographs of the task boxes").load_sample_images().images
    )
    low, high = _PARTITION[split]
    return [image[:, round(low * image.shape[1]) : round(high * image.shape[1])] for image in images]


def draw_scene(source: Source, key: Sequence[int]) -> Scene:
    """Draw one scene.

    Args:
        source: designs and photographs.
        key: whole numbers >= 0: the same ones give the same scene.

    Returns:
        `picture` uint8 RGB; `box` float64 (cx, cy, w, h, angle): x to the right and y *down* as shares of the edge,
        w and h likewise, and radians from the x axis towards the y axis (a turn clockwise to the eye, as y points
        down); `design`, the number of the object's cut-out; `mask`, where the object is or would be if nothing lay
        over it; `visible`, the share of the object that nothing lies over.

    Raises:
        MissingExtraError: Pillow is not installed.

    Edge cases:
        w >= h and the angle is in [-pi/2, pi/2): of the descriptions of one rectangle the same one always. The box
        lies inside the picture; other emoji need not. An emoji that would leave less than 0.6 of the object in sight
        is left out.

    Cost:
        About 3 ms.
    """
    rng = np.random.default_rng(key)
    canvas = ground(source, rng)
    design = int(rng.integers(len(source.cutouts)))
    box, drawn = _object(source.cutouts[design], rng)
    own = layer(source.cutouts[design], drawn)
    canvas.paste(own, (0, 0), own)
    solid = np.asarray(own)[..., 3] >= 128
    left = solid.copy()
    for _ in range(int(rng.integers(OTHERS + 1))):
        other = source.cutouts[int(rng.integers(len(source.cutouts)))]
        over = layer(other, _other(box, rng))
        uncovered = left & (np.asarray(over)[..., 3] < 128)
        if uncovered.sum() >= LEAST_VISIBLE * solid.sum():
            canvas.paste(over, (0, 0), over)
            left = uncovered
    pixels = np.asarray(canvas.reduce(FINE), dtype=np.float64) * rng.uniform(0.7, 1.1)
    pixels += rng.normal(0.0, NOISE, pixels.shape)
    mask = solid.reshape(EDGE, FINE, EDGE, FINE).mean((1, 3)) >= 0.5
    visible = float(left.sum() / solid.sum())
    return Scene(pixels.clip(0, 255).round().astype(np.uint8), box, design, mask, visible)


def ground(source: Source, rng: np.random.Generator, edge: int = EDGE) -> Any:
    """Return a crop of a photograph, perhaps mirrored, as a picture of twice the edge of the scene."""
    image = extra("PIL.Image", "emoji", "drawing scenes")
    photograph = source.photographs[int(rng.integers(len(source.photographs)))]
    height, width = photograph.shape[:2]
    side = int(rng.integers(CROP[0], min(CROP[1], height, width) + 1))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    crop = photograph[top : top + side, left : left + side]
    crop = np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)
    return image.fromarray(crop).resize((FINE * edge, FINE * edge), image.Resampling.BILINEAR)


def _object(cutout: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The box of the object, and the same rectangle in the frame of its design (w along the design's rows)."""
    long = np.exp(rng.uniform(*np.log(LONG_SIDE))) / EDGE
    short = long / rng.uniform(*RATIO)
    angle = rng.uniform(-np.pi / 2, np.pi / 2)
    cosine, sine = abs(np.cos(angle)), abs(np.sin(angle))
    reach = np.array([cosine * long + sine * short, sine * long + cosine * short]) / 2
    cx, cy = rng.uniform(reach, 1 - reach)
    height, width = cutout.shape[:2]
    lying = width >= height if max(width, height) > 1.15 * min(width, height) else rng.random() < 0.5
    upside_down = np.pi * (rng.random() < 0.5)
    box = np.array([cx, cy, long, short, angle])
    if lying:
        return box, np.array([cx, cy, long, short, angle + upside_down])
    return box, np.array([cx, cy, short, long, angle + upside_down + np.pi / 2])


def _other(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rectangle of a smaller emoji: three of five near the box's outline or inside, the others anywhere."""
    cx, cy, width, height, angle = box
    long = rng.uniform(*OTHER_SIDE) * np.sqrt(width * height)
    sides = rng.permutation([long, long / rng.uniform(1.0, 2.0)])
    x, y = rng.uniform(-0.6, 0.6, 2) * [width, height]
    near = [cx + np.cos(angle) * x - np.sin(angle) * y, cy + np.sin(angle) * x + np.cos(angle) * y]
    anywhere = rng.uniform(0.0, 1.0, 2)
    centre = near if rng.random() < 0.6 else anywhere
    return np.array([*centre, *sides, rng.uniform(-np.pi, np.pi)])


def layer(cutout: np.ndarray, box: np.ndarray, edge: int = EDGE) -> Any:
    """Return a cut-out stretched and turned into a rectangle, on a transparent picture of twice the scene's edge."""
    image = extra("PIL.Image", "emoji", "drawing scenes")
    edge = FINE * edge
    cx, cy, width, height = box[:4] * edge
    columns, rows = max(1, round(width)), max(1, round(height))
    small = image.fromarray(cutout).resize((columns, rows), image.Resampling.BILINEAR)
    framed = image.new("RGBA", (columns + 2, rows + 2))  # a clear rim, so that edges are interpolated
    framed.paste(small, (1, 1))
    along, across = columns / width, rows / height  # pixels of `small` for one of the canvas, almost 1
    cosine, sine = np.cos(box[4]), np.sin(box[4])
    turn = np.array([[cosine * along, sine * along], [-sine * across, cosine * across]])
    start = np.array([columns / 2 + 1, rows / 2 + 1]) - turn @ [cx, cy]
    numbers = (*turn[0], start[0], *turn[1], start[1])
    return framed.transform((edge, edge), image.Transform.AFFINE, numbers, image.Resampling.BILINEAR)

"""How a picture is shown to a network: a random crop while it learns, the centre where it is judged.

These are the views that retrieval papers use. While learning, a random part of 8 to 100 % of the area with a side ratio
of 3/4 to 4/3 is brought to the size of the input, and mirrored in half of the cases. Else the shorter side is brought
to a length, and the centre is cut out.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from metricgrad._checks import extra, fail

__all__ = ["Lines", "Views"]

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
_ATTEMPTS = 10


@dataclass(frozen=True)
class Views:
    """Views of photographs, square and in colour.

    Args:
        resize: length of the shorter side before the centre is cut out, in pixels.
        crop: side of what the network sees, at most `resize`.

    Raises:
        InputError: crop is larger than resize.
    """

    resize: int = 256
    crop: int = 224

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise fail("Views", f"crop is {self.crop} and resize {self.resize}", "1 <= crop <= resize")

    def learned(self, image: Any, random: np.random.Generator) -> np.ndarray:
        """Return a random view, uint8 [3, crop, crop].

        Args:
            image: of Pillow.
            random: it alone decides the view.
        """
        left, top, width, height = _part(image.width, image.height, random)
        box = (left, top, left + width, top + height)
        shown = _rgb(image).resize((self.crop, self.crop), _bilinear(), box=box)
        pixels = np.asarray(shown)
        return np.ascontiguousarray((pixels[:, ::-1] if random.random() < 0.5 else pixels).transpose(2, 0, 1))

    def judged(self, image: Any) -> np.ndarray:
        """Return the centre, uint8 [3, crop, crop]."""
        scale = self.resize / min(image.width, image.height)
        size = tuple(max(self.resize, math.floor(side * scale)) for side in (image.width, image.height))
        left, top = ((side - self.crop) // 2 for side in size)
        shown = _rgb(image).resize(size, _bilinear())
        return np.ascontiguousarray(
            np.asarray(shown.crop((left, top, left + self.crop, top + self.crop))).transpose(2, 0, 1)
        )


@dataclass(frozen=True)
class Lines:
    """Views of text lines, grey and of one size, whatever the ratio of their sides was; nothing is random.

    Args:
        height: in pixels.
        width: in pixels.
    """

    height: int = 32
    width: int = 100

    def learned(self, image: Any, random: np.random.Generator) -> np.ndarray:
        """Return the line, uint8 [1, height, width]."""
        del random
        return self.judged(image)

    def judged(self, image: Any) -> np.ndarray:
        """Return the line, uint8 [1, height, width]."""
        image_module = extra("PIL.Image", "field", "reading pictures")
        shown = image.convert("L").resize((self.width, self.height), image_module.Resampling.BICUBIC)
        return np.array(shown)[None]


def _part(width: int, height: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw left, top, width and height of a part; the centre where ten draws did not fit."""
    for _ in range(_ATTEMPTS):
        area = width * height * random.uniform(*AREA)
        ratio = math.exp(random.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            return (
                int(random.integers(width - across + 1)),
                int(random.integers(height - down + 1)),
                across,
                down,
            )
    across = max(1, min(width, round(height * RATIO[1])))
    down = max(1, min(height, round(width / RATIO[0])))
    return (width - across) // 2, (height - down) // 2, across, down


def _rgb(image: Any) -> Any:
    """The picture in colour, without its transparency."""
    return (
        image
        if image.mode == "RGB"
        else image.convert("RGBA" if image.mode == "P" else image.mode).convert("RGB")
    )


def _bilinear() -> Any:
    return extra("PIL.Image", "field", "reading pictures").Resampling.BILINEAR

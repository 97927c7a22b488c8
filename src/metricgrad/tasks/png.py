"""Pictures of a task as PNG, for the gallery of the report."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from metricgrad._checks import extra

__all__ = ["Pictures", "png"]


class Pictures:
    """PNG bytes of some pictures, made when they are asked for.

    Args:
        pictures: uint8 [picture, height, width] grey, or [picture, height, width, 3].
        task: for the message where Pillow is not installed.
        scale: every pixel becomes a square of so many.
    """

    def __init__(self, pictures: np.ndarray, task: str, *, scale: int = 1) -> None:
        self.pictures, self.task, self.scale = pictures, task, scale

    def __call__(self, indices: Sequence[int]) -> list[bytes]:
        """Return the PNG of each of these pictures.

        Raises:
            MissingExtraError: Pillow is not installed.
        """
        image = extra("PIL.Image", "emoji", f"the gallery of the {self.task} task")
        return [png(image.fromarray(self._enlarged(self.pictures[index]))) for index in indices]

    def _enlarged(self, picture: np.ndarray) -> np.ndarray:
        return picture.repeat(self.scale, 0).repeat(self.scale, 1)


def png(image: Any) -> bytes:
    """Return a Pillow image as PNG bytes."""
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()

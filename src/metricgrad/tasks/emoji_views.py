"""Views of emoji: mirrored, turned, with colours exchanged. An emoji in another view is as good as another emoji.

What its artists share and what they do differently stays as it was, so that a loss can learn from it; and an
embedding that is judged on unseen emoji must tell an arrow to the left from one to the right anyway.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

__all__ = ["VIEWS", "View"]


class View(NamedTuple):
    """One way to look at a picture.

    Args:
        mirrored: left for right, first of all.
        turns: quarter turns to the left.
        colours: which of red, green and blue (0, 1, 2) stands in the place of each.
    """

    mirrored: bool
    turns: int
    colours: tuple[int, int, int]

    def of(self, pictures: UInt8[np.ndarray, "image size size 3"]) -> UInt8[np.ndarray, "image size size 3"]:
        """Return the pictures in this view; no pixel is lost or mixed.

        Args:
            pictures: square pictures, [image, row, column, colour].

        Example:
            >>> picture = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
            >>> View(True, 0, (2, 1, 0)).of(picture)[0, 0].tolist()
            [[5, 4, 3], [2, 1, 0]]
        """
        seen = pictures[:, :, ::-1] if self.mirrored else pictures
        seen = np.rot90(seen, self.turns, axes=(1, 2))
        view = np.empty(seen.shape, seen.dtype)
        for place, colour in enumerate(self.colours):
            view[..., place] = seen[..., colour]
        return view


VIEWS = (
    View(True, 0, (0, 1, 2)),
    View(False, 1, (1, 2, 0)),
    View(False, 2, (2, 0, 1)),
    View(False, 3, (1, 0, 2)),
    View(True, 1, (0, 2, 1)),
    View(False, 0, (2, 1, 0)),
    View(True, 2, (1, 2, 0)),
)
"""The views that classes of the fit split are shown in beside the pictures as they are."""

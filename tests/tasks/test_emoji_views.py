"""Views of emoji: exact, all different, and what the fit split makes of them."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from metricgrad.tasks.emoji_views import VIEWS, View

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("view", VIEWS)
def test_no_pixel_is_lost(view: View) -> None:
    """Undoing the steps from the last to the first gives the pictures back."""
    seen = view.of(PICTURES)
    back = np.rot90(seen[..., np.argsort(view.colours)], -view.turns, axes=(1, 2))
    back = back[:, :, ::-1] if view.mirrored else back
    assert seen.shape == PICTURES.shape and seen.dtype == np.uint8
    assert_close(torch.from_numpy(back.copy()), torch.from_numpy(PICTURES), rtol=0, atol=0)


def test_a_quarter_turn_goes_to_the_left() -> None:
    """The upper right corner comes to the upper left."""
    turned = View(False, 1, (0, 1, 2)).of(PICTURES)
    assert_close(torch.from_numpy(turned[:, 0, 0]), torch.from_numpy(PICTURES[:, 0, -1]), rtol=0, atol=0)


def test_every_view_is_another() -> None:
    """No two views show the same, and none shows the pictures as they are."""
    seen = {view.of(PICTURES).tobytes() for view in VIEWS}
    assert len(seen) == len(VIEWS) and PICTURES.tobytes() not in seen

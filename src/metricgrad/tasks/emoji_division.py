"""Who is in which split of the task emoji_categories: other emoji, or the same emoji by other vendors."""

from collections.abc import Mapping

import numpy as np

from metricgrad._checks import fail, nearest
from metricgrad.tasks.divisions import class_by_class
from metricgrad.tasks.emoji_pictures import EmojiPictures
from metricgrad.tasks.emoji_tree import EmojiTree, read_tree

__all__ = ["by_emoji", "by_vendor"]

SHARES = (0.6, 0.15)
"""Share of the emoji of each subcategory in fit and in select; the others are test."""
Rows = Mapping[str, np.ndarray]
"""Split -> numbers of its pictures."""


def by_emoji(pictures: EmojiPictures, seed: int) -> Rows:
    """Divide the emoji of every subcategory; categories have the same splits."""
    subcategory = read_tree(pictures.names, "subcategories").class_of
    emoji_known = np.flatnonzero(subcategory >= 0)
    parts = class_by_class(subcategory[emoji_known], SHARES, seed)
    return {
        name: np.flatnonzero(np.isin(pictures.label, emoji_known[part]))
        for name, part in zip(("fit", "select", "test"), parts, strict=True)
    }


def by_vendor(pictures: EmojiPictures, known: EmojiTree, select: str, test: str) -> Rows:
    """Divide the vendors; every emoji with a category has a drawing in fit, as at least three vendors drew it."""
    held_back = {"select": select, "test": test}
    for vendor in held_back.values():
        if vendor not in pictures.vendors:
            came = f"there is no vendor {vendor!r}"
            raise fail("task emoji_categories", came, "a known one", nearest(vendor, pictures.vendors))
    if select == test:
        raise fail("task emoji_categories", f"{test} is select and test", "two vendors")
    numbers = {name: pictures.vendors.index(vendor) for name, vendor in held_back.items()}
    here = known.class_of[pictures.label] >= 0
    rows = {name: np.flatnonzero(here & (pictures.vendor == number)) for name, number in numbers.items()}
    fit = np.flatnonzero(here & ~np.isin(pictures.vendor, list(numbers.values())))
    return {"fit": fit, **rows}

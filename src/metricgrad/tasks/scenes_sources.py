"""What the scenes of each split are drawn from: its emoji as its vendors drew them, by class, and its photographs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metricgrad._checks import extra
from metricgrad.tasks.boxes_scenes import Source, cut_out, photographs
from metricgrad.tasks.boxes_sets import SHARES, VENDORS, pictures_of
from metricgrad.tasks.emoji_pictures import EmojiPictures, load_pictures
from metricgrad.tasks.emoji_tree import EmojiTree, read_tree
from metricgrad.tasks.scenes_drawing import CLASSES, IMBALANCE, VERSION, ClassSource

__all__ = ["Designs", "class_sources", "designs", "key_of"]


class Designs(NamedTuple):
    """Emoji pictures, their categories, and the strips of the photographs of each split."""

    emoji: EmojiPictures
    tree: EmojiTree
    strips: Mapping[str, list[np.ndarray]]


def designs() -> Designs:
    """Read all that scenes are drawn from.

    Raises:
        MissingExtraError: Pillow or scikit-learn is not installed.
    """
    emoji = load_pictures()
    return Designs(emoji, read_tree(emoji.names, "categories"), {name: photographs(name) for name in VENDORS})


def class_sources(known: Designs, seed: int) -> dict[str, ClassSource]:
    """Cut the designs of every split out, by class; emoji of other categories are left out."""
    sources = {}
    for number, (name, rows) in enumerate(pictures_of(known.emoji, seed).items()):
        category_of = known.tree.class_of[known.emoji.label[rows]]
        cutouts: list[np.ndarray] = []
        of_class = []
        for category in filter(None, CLASSES.values()):
            mine = rows[category_of == known.tree.names.index(category)]
            cut = [cut_out(known.emoji.pictures[row], any_shape=True) for row in mine]
            kept = [cutout for cutout in cut if cutout is not None]
            of_class.append(np.arange(len(cutouts), len(cutouts) + len(kept)))
            cutouts += kept
        sources[name] = ClassSource(Source(cutouts, known.strips[name], number), of_class)
    return sources


def key_of(known: Designs, counts: Sequence[int], seed: int) -> str:
    """Name the scenes by everything that settles their pixels."""
    strips = b"".join(strip.tobytes() for part in known.strips.values() for strip in part)
    pillow = extra("PIL", "emoji", "drawing scenes").__version__
    classes = [known.tree.names, known.tree.class_of.tolist(), dict(CLASSES), IMBALANCE]
    chosen = [VENDORS, SHARES, list(counts), seed]
    facts = [known.emoji.digest, hashlib.sha256(strips).hexdigest(), classes, chosen, VERSION, pillow]
    return hashlib.sha256(json.dumps([*facts, np.__version__]).encode()).hexdigest()

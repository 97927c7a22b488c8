"""Which category and subcategory an emoji is of: a hierarchy of classes over the emoji pictures.

The table beside the pictures, `categories.csv`, was written by `scripts/build_emoji_categories.py`.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from metricgrad._checks import fail

__all__ = ["CATEGORIES", "EmojiTree", "Level", "read_tree"]

CATEGORIES = Path(__file__).parent / "data" / "emoji" / "categories.csv"
COLUMNS = ("emoji", "category", "subcategory")

Level = Literal["categories", "subcategories", "emoji"]
_DEPTH: dict[Level, int] = {"categories": 1, "subcategories": 2, "emoji": 3}


@dataclass(frozen=True, eq=False)
class EmojiTree:
    """The classes of a level and the path from the root to each.

    Attributes:
        level: of the classes.
        paths: of each class, in the order of the alphabet: (category,), (category, subcategory) or (category,
            subcategory, emoji).
        class_of: int64 [emoji], the class of every emoji, -1 where it has no category.

    Example:
        >>> tree = read_tree(["1f600 grinning face", "1f436 dog face"], "categories")
        >>> tree.names, tree.class_of.tolist()
        (('Animals & Nature', 'Smileys & Emotion'), [1, 0])
    """

    level: Level
    paths: tuple[tuple[str, ...], ...]
    class_of: Int64[np.ndarray, "emoji"]

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each class; a subcategory is told with its category."""
        return tuple(": ".join(path[:2]) if len(path) < 3 else path[2] for path in self.paths)

    def nested(self) -> list[Any]:
        """Return the tree as nested lists of class numbers: the setting `tree` of hierarchical losses.

        Example:
            >>> read_tree(["1f600 grinning face", "1f436 dog face", "1f431 cat face"], "emoji").nested()
            [[[0, 1]], [[2]]]
        """
        root: dict[str, Any] = {}
        for number, path in enumerate(self.paths):
            node = root
            for part in path[:-1]:
                node = node.setdefault(part, {})
            node[path[-1]] = number
        return _as_lists(root)

    def distances(self) -> Float64[Tensor, "class class"]:
        """Return how many levels two classes must be climbed until they meet: 0 on the diagonal.

        It is half the number of edges between them. As a metric: `expected_cost(outputs, targets, cost=distances)`, the
        mean over all samples, of which those that are right count 0.

        Example:
            >>> read_tree(["1f600 grinning face", "1f436 dog face", "1f431 cat face"], "emoji").distances()
            tensor([[0., 1., 3.],
                    [1., 0., 3.],
                    [3., 3., 0.]], dtype=torch.float64)
        """
        apart = torch.zeros(len(self.paths), len(self.paths), dtype=torch.float64)
        for depth in range(_DEPTH[self.level]):
            above = [path[: depth + 1] for path in self.paths]
            number = {node: place for place, node in enumerate(dict.fromkeys(above))}
            nodes = torch.tensor([number[node] for node in above])
            apart += nodes.unsqueeze(0) != nodes.unsqueeze(1)
        return apart

    def costs(self) -> str:
        """Return the distances as a text, a line for each class: the file of `expected_cost:cost=FILE`.

        Example:
            >>> print(read_tree(["1f600 grinning face", "1f436 dog face"], "subcategories").costs())
            0 2
            2 0
        """
        return "\n".join(" ".join(f"{one:g}" for one in row) for row in self.distances().tolist())


def _as_lists(node: Any) -> Any:
    return [_as_lists(child) for child in node.values()] if isinstance(node, dict) else node


def read_tree(emoji: Sequence[str], level: Level, path: Path = CATEGORIES) -> EmojiTree:
    """Read the categories of emoji.

    Args:
        emoji: names of the classes of the emoji pictures, such as "1f600 grinning face".
        level: of the tree that is asked for.
        path: the table.

    Returns:
        The tree of the classes that these emoji have, and no others.

    Raises:
        InputError: the table is not there, or is none.
    """
    known = _read(path)
    depth = _DEPTH[level]
    whole = [(*known[name], name)[:depth] if name in known else None for name in emoji]
    paths = tuple(sorted({one for one in whole if one is not None}))
    number = {one: place for place, one in enumerate(paths)}
    return EmojiTree(level, paths, np.array([-1 if one is None else number[one] for one in whole], np.int64))


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """Category and subcategory by the name of the emoji."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)  # ValueError where there is no line
    except (OSError, ValueError, csv.Error) as error:
        raise fail(
            "emoji categories",
            f"{path} cannot be read ({type(error).__name__}: {error})",
            "the table of the package",
            "Write it again: python scripts/build_emoji_categories.py",
        ) from error
    if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise fail("emoji categories", f"{path} has the columns {header}", f"rows of {', '.join(COLUMNS)}")
    return {name: (category, subcategory) for name, category, subcategory in rows}

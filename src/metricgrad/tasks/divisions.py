"""How rows with classes are divided into splits, and how few rows of the rare classes are left."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, Integer

__all__ = ["class_by_class", "group_by_group", "long_tail"]


def class_by_class(
    targets: Integer[np.ndarray, "row"], shares: Sequence[float], seed: int
) -> list[Integer[np.ndarray, "row_of_part"]]:
    """Divide rows at random so that each class is divided alike.

    Args:
        targets: class of each row.
        shares: of the rows in every part but the last, which takes the rest.
        seed: of the division.

    Returns:
        The rows of each part, in rising order; together every row once.

    Edge cases:
        Of a class with few rows a part may get none: its share is rounded.

    Example:
        >>> [len(rows) for rows in class_by_class(np.repeat([0, 1], [60, 20]), (0.5, 0.25), seed=0)]
        [40, 20, 20]
    """
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    for label in np.unique(targets):
        rows = rng.permutation(np.flatnonzero(targets == label))
        cuts = [round(share * len(rows)) for share in np.cumsum(shares)]
        for part, dealt in zip(parts, np.split(rows, cuts), strict=True):
            part.append(dealt)
    return [np.sort(np.concatenate(part)) for part in parts]


def group_by_group(
    groups: Integer[np.ndarray, "row"], shares: Sequence[float], seed: int | tuple[int, ...]
) -> Int64[np.ndarray, "group"]:
    """Divide whole groups at random so that the parts have about their shares of the rows.

    Args:
        groups: of each row, numbers from 0.
        shares: of the rows in every part but the last, which takes the rest.
        seed: of the division.

    Returns:
        The part of each group, from 0.

    Edge cases:
        A group that lies across the end of a part is of the part that has its middle row.

    Example:
        >>> group_by_group(np.array([0, 0, 1, 1, 2, 2, 3, 3]), (0.5, 0.25), seed=0).tolist()
        [0, 1, 0, 2]
    """
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    part = np.empty(len(sizes), np.int64)
    part[order] = np.searchsorted(np.cumsum(shares) * len(groups), middles, side="right")
    return part


def long_tail(
    targets: Integer[np.ndarray, "row"], factor: float, seed: int
) -> Integer[np.ndarray, "row_left"]:
    """Choose rows so that the numbers of rows of the classes fall by a constant ratio, down to one in `factor`.

    The first class keeps as many rows as the largest class has (or all its own), the last one in `factor` of them.
    Which class comes first is drawn, and so are its rows.

    Args:
        targets: class of each row.
        factor: rows of the first class for one row of the last, >= 1.
        seed: of both draws.

    Returns:
        The rows that are left, in rising order; at least one of each class.

    Example:
        >>> left = long_tail(np.repeat([0, 1, 2], 100), 100, seed=0)
        >>> sorted(np.bincount(np.repeat([0, 1, 2], 100)[left]).tolist())
        [1, 10, 100]
    """
    rng = np.random.default_rng(seed)
    labels, counts = np.unique(targets, return_counts=True)
    left = []
    for place, label in enumerate(rng.permutation(labels)):
        wanted = round(counts.max() * factor ** (-place / max(1, len(labels) - 1)))
        left.append(rng.permutation(np.flatnonzero(targets == label))[: max(1, wanted)])
    return np.sort(np.concatenate(left))

"""Which classes of train are held back for select, and how classes are numbered over all parts."""

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad.field.listed import Listed, Parts

__all__ = ["development_parts", "held_back", "numbers_of"]

DEVELOPMENT_SHARE = 0.2
"""Of the classes of train: what stands for test where settings are chosen."""


def held_back(train: Listed, share: float, *seed: int) -> tuple[Listed, Listed]:
    """Divide train by class into fit and select.

    Args:
        train: what is learned from.
        share: of the classes that have two pictures or more; a class with one has nothing to be found.
        seed: one or more numbers; they decide the draw.

    Raises:
        InputError: fewer than two such classes are left in fit or in select.

    Example:
        >>> from pathlib import Path
        >>> listed = Listed(
        ...     "list", Path("."), [f"{row}.jpg" for row in range(20)], [str(row % 10) for row in range(20)]
        ... )
        >>> fit, select = held_back(listed, 0.2, 0)
        >>> fit.count, select.count
        (8, 2)
    """
    kinds, sizes = np.unique(np.array(train.classes), return_counts=True)
    several = kinds[sizes >= 2]
    count = max(2, round(share * len(several)))
    if len(several) - count < 2:
        came = f"{len(several)} classes with two pictures or more, of which {count} would be select"
        raise fail(
            train.source, came, "at least two such classes in fit and in select", "Change select_share."
        )
    drawn = set(np.random.default_rng((*seed, *b"select")).permutation(several)[:count].tolist())
    rows = range(len(train))
    return (
        train.rows([row for row in rows if train.classes[row] not in drawn]),
        train.rows([row for row in rows if train.classes[row] in drawn]),
    )


def development_parts(parts: Parts, number: int, seed: int) -> Parts:
    """Return train alone, with a fifth of its classes in the place of test: for choosing settings, test untouched.

    Args:
        parts: of the data set.
        number: of the division.
        seed: of the draw, with the number.
    """
    train, held = held_back(parts.train, DEVELOPMENT_SHARE, seed, number, 1)
    told = f"development {number}: {held.count:,} classes of train stand for test, which is not looked at"
    return Parts(train, held, told=[*parts.told, told])


def numbers_of(*parts: Listed) -> list[Tensor]:
    """Number the classes of all parts by the alphabet; returns the numbers of each part's pictures [item]."""
    place = {
        name: number for number, name in enumerate(sorted(set().union(*(part.classes for part in parts))))
    }
    return [torch.tensor([place[name] for name in part.classes]) for part in parts]

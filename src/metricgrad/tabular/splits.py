"""Rows in parts: fit in three folds, select, test. By chance and class, by groups, or by time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from metricgrad._checks import fail

__all__ = ["FOLDS", "LEAST", "Parts", "parts_of"]

FOLDS = 3
SHARES = (0.64, 0.16, 0.20)
"""Of fit, select and test."""
LEAST = 50
"""Rows that a table must have."""

Rows = Int64[np.ndarray, "_"]


@dataclass(frozen=True)
class Parts:
    """Who learns, chooses and judges.

    Attributes:
        fit: rows that networks and trees are trained on.
        select: rows that say when training stops; with the predictions of fold models they choose and fit rules.
        test: rows that are read once.
        folds: the fold of each row of fit.
        words: how the rows were parted.
    """

    fit: Rows
    select: Rows
    test: Rows
    folds: Rows
    words: str

    @property
    def training(self) -> Rows:
        """Rows of fit and select."""
        return np.sort(np.concatenate([self.fit, self.select]))


def parts_of(
    targets: Rows,
    *,
    test: Rows | None = None,
    groups: Sequence[Any] | None = None,
    time: Sequence[float] | None = None,
    seed: int = 0,
) -> Parts:
    """Part the rows of a table.

    Args:
        targets: class number of each row.
        test: numbers of the rows that are test; None: a fifth of them.
        groups: of each row: rows of one group (a patient) stay in one part and in one fold.
        time: of each row: later rows judge, the latest of the others choose; folds are spans of time.
        seed: of the draw; not read with time.

    Returns:
        The parts.

    Raises:
        InputError: fewer than 50 rows; groups and time together; one class, or a part in which there is one class only.

    Edge cases:
        A class goes to the parts by their shares, the first of its rows to fit. Rows of one time stay in one part.

    Example:
        >>> found = parts_of(np.arange(100) % 2)
        >>> len(found.fit), len(found.select), len(found.test), np.bincount(found.folds).tolist()
        (64, 16, 20, [22, 20, 22])
    """
    if len(targets) < LEAST:
        raise fail(
            "adapt --table",
            f"the table has {len(targets):,} rows",
            f"at least {LEAST}: fewer can judge nothing",
        )
    if len(np.unique(targets)) < 2:
        raise fail("adapt --table", "the target has one class in all rows", "two classes at least")
    if groups is not None and time is not None:
        raise fail("adapt --table", "--groups and --time came together", "one of them")
    given = np.zeros(len(targets), dtype=bool)
    if test is not None:
        given[test] = True
    rest = np.flatnonzero(~given)
    units = _units(targets, groups, time)
    position = _positions(
        targets[rest], None if units is None else units[rest], by_time=time is not None, seed=seed
    )
    shares = np.array(
        SHARES if test is None else (SHARES[0] / sum(SHARES[:2]), SHARES[1] / sum(SHARES[:2]), 0.0)
    )
    part = (
        np.searchsorted(np.cumsum(shares)[:2], position, side="right")
        if test is None
        else position >= shares[0]
    )
    fit, select = rest[part == 0], rest[part == 1]
    judged = rest[part == 2] if test is None else np.asarray(test, dtype=np.int64)
    place = _positions(
        targets[fit], None if units is None else units[fit], by_time=time is not None, seed=seed + 1
    )
    folds = np.minimum((place * FOLDS).astype(np.int64), FOLDS - 1)
    found = Parts(fit, select, judged, folds, _words(groups, time, seed, given=test is not None))
    _require_classes(targets, found)
    return found


def _units(targets: Rows, groups: Sequence[Any] | None, time: Sequence[float] | None) -> np.ndarray | None:
    """What stays in one part; None where every row may go by itself."""
    for name, given in (("--groups", groups), ("--time", time)):
        if given is not None and len(given) != len(targets):
            raise fail(
                "adapt --table", f"{name} has {len(given):,} values", f"one for each of {len(targets):,} rows"
            )
    if time is not None:
        return np.unique(np.asarray(time, dtype=np.float64), return_inverse=True)[1]
    if groups is not None:
        return np.unique(np.array([str(one) for one in groups]), return_inverse=True)[1]
    return None


def _positions(targets: Rows, units: np.ndarray | None, *, by_time: bool, seed: int) -> np.ndarray:
    """Of each row a number from 0 to 1, spread evenly over each class, or over whole units in their order."""
    draw = np.random.default_rng(seed)
    found = np.empty(len(targets))
    if units is None:
        for number in np.unique(targets):
            rows = draw.permutation(np.flatnonzero(targets == number))
            found[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
        return found
    kinds, codes, sizes = np.unique(units, return_inverse=True, return_counts=True)
    order = np.arange(len(kinds)) if by_time else draw.permutation(len(kinds))
    ends = sizes[order].cumsum()
    position = np.empty(len(kinds))
    position[order] = (ends - 0.5 * sizes[order]) / ends[-1]
    return position[codes]


def _words(groups: Any, time: Any, seed: int, *, given: bool) -> str:
    """How the rows were parted."""
    if time is not None:
        how = "by time, the latest rows judge"
    elif groups is not None:
        how = f"at random by group, seed {seed}"
    else:
        how = f"at random within each class, seed {seed}"
    return f"{how}; test is a file of its own" if given else how


def _require_classes(targets: Rows, found: Parts) -> None:
    """Refuse a part with one class only."""
    for name in ("fit", "select", "test"):
        rows = getattr(found, name)
        many = len(np.unique(targets[rows]))
        if many < 2:
            raise fail(
                "adapt --table",
                f"{name} has {len(rows):,} rows of {many} classes ({found.words})",
                "two classes in every part",
                "More rows of the rare class, or another way to part them (--groups, --time, --seed), are needed.",
            )
    for fold in range(FOLDS):
        if len(np.unique(targets[found.fit[found.folds != fold]])) < 2 or not (found.folds == fold).any():
            raise fail(
                "adapt --table",
                f"fit has {len(found.fit):,} rows that cannot be parted into {FOLDS} folds ({found.words})",
                "two classes in every two of the folds",
            )

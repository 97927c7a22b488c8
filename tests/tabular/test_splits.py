"""Rows in parts: every row in one, classes, groups and time as they should be."""

import numpy as np
import pytest

from metricgrad.errors import InputError
from metricgrad.tabular.splits import Parts, parts_of

TARGETS = np.repeat([0, 1, 2], [600, 390, 10])


def require_whole(found: Parts, rows: int) -> None:
    """Every row is in one part."""
    together = np.concatenate([found.fit, found.select, found.test])
    assert np.array_equal(np.sort(together), np.arange(rows)) and len(found.folds) == len(found.fit)


def test_classes_are_shared() -> None:
    """Shares of every class; folds hold each class alike; another seed is another draw, the same seed the same."""
    found = parts_of(TARGETS)
    require_whole(found, 1000)
    assert np.bincount(TARGETS[found.test]).tolist() == [120, 78, 2]
    assert np.bincount(TARGETS[found.fit]).tolist() == [384, 250, 6]
    assert all(np.bincount(TARGETS[found.fit[found.folds == fold]])[2] == 2 for fold in range(3))
    assert np.array_equal(found.test, parts_of(TARGETS).test)
    assert not np.array_equal(found.test, parts_of(TARGETS, seed=1).test)


def test_a_given_test() -> None:
    """Its rows are test, the others learn and choose."""
    test = np.arange(900, 1000)
    found = parts_of(np.arange(1000) % 3, test=test)
    require_whole(found, 1000)
    assert np.array_equal(found.test, test) and len(found.fit) == pytest.approx(720, abs=5)


def test_groups_stay_whole() -> None:
    """No group is in two parts or in two folds."""
    groups = np.random.default_rng(0).integers(0, 80, 1000)
    found = parts_of(np.arange(1000) % 3, groups=groups.tolist())
    require_whole(found, 1000)
    parts = [set(groups[rows]) for rows in (found.fit, found.select, found.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    folds = [set(groups[found.fit[found.folds == fold]]) for fold in range(3)]
    assert not (folds[0] & folds[1] or folds[0] & folds[2] or folds[1] & folds[2])


def test_time_goes_forward() -> None:
    """Test is later than select, which is later than fit; rows of one time stay together."""
    time = np.random.default_rng(0).integers(0, 90, 1000).astype(float)
    found = parts_of(np.arange(1000) % 2, time=time.tolist())
    require_whole(found, 1000)
    assert (
        time[found.fit].max() < time[found.select].min() <= time[found.select].max() < time[found.test].min()
    )
    assert "latest rows judge" in found.words


@pytest.mark.parametrize(
    ("targets", "options", "words"),
    [
        (np.array([0, 1, 1]), {}, "the table has 3 rows; expected at least 50"),
        (np.zeros(60, dtype=np.int64), {}, "one class in all rows"),
        (np.arange(60) % 2, {"groups": [1] * 60, "time": [1.0] * 60}, "--groups and --time"),
        (np.arange(60) % 2, {"groups": [1] * 59}, "59 values"),
        (np.arange(60) % 2, {"groups": [1] * 60}, "rows of 0 classes"),
        (np.arange(60) // 40, {"time": list(range(60))}, "rows of 1 classes"),
    ],
)
def test_what_cannot_be_parted(targets: np.ndarray, options: dict, words: str) -> None:
    """One sentence each."""
    with pytest.raises(InputError, match=words):
        parts_of(targets, **options)

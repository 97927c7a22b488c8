"""PKU VehicleID: `train_test_split/train_list.txt` and `test_list_800.txt`, `_1600` or `_2400`; pictures in `image`.

A line has the number of a picture and that of its vehicle, without a header; picture 7 is `image/0000007.jpg`. The
set is [liu2016vehicleid]. Sources differ in how many pictures the lists name; the number of test vehicles stands in the
name of each list.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from metricgrad._checks import describe, fail
from metricgrad.field.lines import rows_of
from metricgrad.field.listed import Counts, Listed, Parts, official

__all__ = ["TestVehicles", "read"]

TRAIN = (Counts(110_178, 13_134), Counts(113_346, 13_164))
"""As retrieval papers count them [brown2020smoothap], and as vehicle re-identification counts the list."""

TestVehicles = Literal[800, 1600, 2400]
"""The official tests: small, medium, large."""


def read(
    folder: Path, vehicles: TestVehicles, *, gallery: Literal["all", "one"] = "all", seed: int = 0
) -> Parts:
    """Read the list of train and that of a test.

    Args:
        folder: of the data set.
        vehicles: which of the tests.
        gallery: `all`: every picture is a query for the others, as retrieval papers do; `one`: of each vehicle one
            picture, drawn by `seed`, is searched and the others are queries, as the data set's authors do.
        seed: of that draw.

    Raises:
        InputError: a list is missing or of another form, or they share vehicles.
    """
    train, test = (_listed(folder, name) for name in ("train_list.txt", f"test_list_{vehicles}.txt"))
    parts = official(train, test, TRAIN, [Counts(None, vehicles)])
    if gallery == "all":
        return parts
    queries, searched = _parted(parts.test, seed)
    return parts._replace(test=queries, gallery=searched)


def _listed(folder: Path, name: str) -> Listed:
    path = folder / "train_test_split" / name
    files, classes = [], []
    for line, (picture, vehicle) in rows_of(path, ("image", "vehicle_id"))[0]:
        if not (picture.isdecimal() and vehicle.isdecimal()):
            came = f"it is {describe(f'{picture} {vehicle}')}"
            raise fail(f"{path} line {line}", came, "the numbers of a picture and of its vehicle")
        files.append(f"{int(picture):07d}.jpg")
        classes.append(str(int(vehicle)))
    return Listed(name, folder / "image", files, classes)


def _parted(test: Listed, seed: int) -> tuple[Listed, Listed]:
    """Queries, and one picture of each vehicle that they are ranked against."""
    order = np.random.default_rng((seed, *b"gallery")).permutation(len(test))
    first: dict[str, int] = {}
    for row in order.tolist():
        first.setdefault(str(test.classes[row]), int(row))
    searched = sorted(first.values())
    queries = sorted(set(range(len(test))) - set(searched))
    if not queries:
        raise fail(test.source, "every vehicle has one picture", "two or more of some: a query and its match")
    return test.rows(queries), test.rows(searched)

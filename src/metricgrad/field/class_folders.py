"""Pictures of your own, a folder per class: `train/CLASS/*.jpg` and `test/CLASS/*.jpg`, or `CLASS/*.jpg` alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metricgrad._checks import fail
from metricgrad.field.listed import Listed, Parts, apart

__all__ = ["SUFFIXES", "read"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif")
"""How the name of a picture ends, in small or capital letters; other files are passed over and counted."""


def read(folder: Path, *, test_share: float, seed: int) -> Parts:
    """List the pictures.

    Args:
        folder: with `train` and `test`, which share no class, or with a folder per class.
        test_share: of the classes that are drawn for test, where the folder does not part them.
        seed: of that draw.

    Raises:
        InputError: no such folder, a part without a class or with less than two, or parts that share a class.
    """
    if not folder.is_dir():
        raise fail("class_folders", f"{folder} is no folder", "a folder with a folder of pictures per class")
    given = [folder / "train", folder / "test"]
    if all(path.is_dir() for path in given):
        (train, told), (test, more) = map(_listed, given)
        apart(train, test)
        return Parts(train, test, told=[*told, *more])
    whole, told = _listed(folder)
    kinds = sorted(set(whole.classes))
    count = round(test_share * len(kinds))
    if count < 2 or len(kinds) - count < 2:
        came = f"{len(kinds)} classes, of which {count} are drawn for test"
        raise fail(str(folder), came, "at least two classes in train and in test")
    drawn = set(np.random.default_rng((seed, *b"test")).permutation(kinds)[:count].tolist())
    rows = range(len(whole))
    train = whole.rows([row for row in rows if whole.classes[row] not in drawn])
    test = whole.rows([row for row in rows if whole.classes[row] in drawn])
    return Parts(
        train, test, told=[*told, f"{count:,} of {len(kinds):,} classes are drawn for test by split_seed"]
    )


def _listed(folder: Path) -> tuple[Listed, list[str]]:
    """The pictures of the class folders of a folder, and a sentence where other files are passed over."""
    files, classes, others = [], [], 0
    for home in _visible(folder):
        if not home.is_dir():
            others += 1
            continue
        for path in _visible(home):
            if path.suffix.lower() in SUFFIXES:
                files.append(f"{home.name}/{path.name}")
                classes.append(home.name)
            else:
                others += 1
    if not files:
        ending = ", ".join(SUFFIXES)
        raise fail(str(folder), "no class folder holds a picture", f"CLASS/NAME with one of {ending}")
    told = [f"{others:,} other files and folders in {folder} are passed over"] if others else []
    return Listed(str(folder), folder, files, classes), told


def _visible(folder: Path) -> Iterator[Path]:
    """What a folder holds, by name; what begins with a dot is hidden."""
    return (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))

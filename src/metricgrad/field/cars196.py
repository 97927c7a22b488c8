"""Stanford Cars: the annotations in MATLAB files, in either of the two forms in which the set is distributed.

`cars_annos.mat` names all pictures (`car_ims/000001.jpg`); or `devkit/cars_train_annos.mat` with
`cars_test_annos_withlabels.mat`, there or beside it, name those of the folders `cars_train` and `cars_test`. For
retrieval, classes 1 to 98 of all of them are train and 99 to 196 test [ohsong2016lifted]; the set is [krause2013cars].
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad._checks import describe, extra, fail
from metricgrad.field.listed import Counts, Parts, by_number, official

__all__ = ["read"]

TRAIN, TEST = Counts(8_054, 98), Counts(8_131, 98)
LAST_TRAIN, LAST = 98, 196


def read(folder: Path) -> Parts:
    """Read the annotations.

    Raises:
        InputError: they are missing or of another form.
        MissingExtraError: scipy, which reads MATLAB files, is not installed.
    """
    entries = [(file, str(number)) for file, number in _entries(folder)]
    train, test = by_number(f"annotations of {folder}", folder, entries, LAST_TRAIN, LAST)
    return official(train, test, [TRAIN], [TEST])


def _entries(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield path and class of every picture."""
    whole = folder / "cars_annos.mat"
    if whole.is_file():
        yield from _annotations(whole, "relative_im_path", "")
        return
    for names, home in (
        (("devkit/cars_train_annos.mat", "cars_train_annos.mat"), "cars_train/"),
        (("devkit/cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat"), "cars_test/"),
    ):
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            raise fail(
                "cars196",
                f"neither cars_annos.mat nor {names[0]} is in {folder}",
                "cars_annos.mat, or cars_train_annos.mat and cars_test_annos_withlabels.mat of the devkit",
                "The devkit's cars_test_annos.mat has no classes and does not do.",
            )
        yield from _annotations(path, "fname", home)


def _annotations(path: Path, name: str, home: str) -> Iterator[tuple[str, int]]:
    """Yield path and class of the annotations of a file."""
    scipy = extra("scipy.io", "field", "reading the annotations of Stanford Cars")
    try:
        found = scipy.loadmat(
            str(path), squeeze_me=True, struct_as_record=False, variable_names=["annotations"]
        )
    except Exception as error:  # whatever scipy raises for a damaged file
        came = f"it cannot be read ({type(error).__name__}: {error})"
        raise fail(str(path), came, "a MATLAB file of version 4 to 7.2") from error
    for number, entry in enumerate(np.atleast_1d(found.get("annotations", [])), start=1):
        file, kind = getattr(entry, name, None), getattr(entry, "class", None)
        if not isinstance(file, str) or not _is_class(kind):
            came = f"annotation {number} has {name} {describe(file)} and class {describe(kind)}"
            raise fail(str(path), came, f"a path, and a class from 1 to {LAST}")
        yield home + file, int(kind or 0)


def _is_class(value: Any) -> bool:
    return isinstance(value, int | np.integer) and 1 <= int(value) <= LAST

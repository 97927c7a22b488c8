"""Caltech-UCSD Birds-200-2011: `images.txt`, `image_class_labels.txt` and the folder `images`.

For retrieval, classes 1 to 100 are train and 101 to 200 test [ohsong2016lifted]; the lists are those of [wah2011cub].
`train_test_split.txt` parts pictures of the same classes, for classification, and is not read.
"""

from pathlib import Path

from metricgrad._checks import describe, fail
from metricgrad.field.lines import rows_of
from metricgrad.field.listed import Counts, Parts, by_number, official

__all__ = ["read"]

TRAIN, TEST = Counts(5_864, 100), Counts(5_924, 100)
LAST_TRAIN, LAST = 100, 200


def read(folder: Path) -> Parts:
    """Read the lists.

    Raises:
        InputError: a list is missing or of another form, or the two do not name the same pictures.
    """
    places = _by_id(folder / "images.txt", ("image_id", "path"))
    numbers = _by_id(folder / "image_class_labels.txt", ("image_id", "class_id"))
    if differing_ids := sorted(places.keys() ^ numbers.keys()):
        raise fail(
            str(folder),
            f"{len(differing_ids):,} pictures stand in one of images.txt and image_class_labels.txt alone, first "
            f"{differing_ids[0]}",
            "the same image_id in both",
        )
    for number in numbers.values():
        if not number.isdecimal() or not 1 <= int(number) <= LAST:
            came = f"the class_id is {describe(number)}"
            raise fail(f"{folder}/image_class_labels.txt", came, f"a whole number from 1 to {LAST}")
    entries = [(place, numbers[image]) for image, place in places.items()]
    train, test = by_number("images.txt", folder / "images", entries, LAST_TRAIN, LAST)
    return official(train, test, [TRAIN], [TEST])


def _by_id(path: Path, columns: tuple[str, str]) -> dict[str, str]:
    """The second column by the first."""
    found: dict[str, str] = {}
    for line, (image, value) in rows_of(path, columns)[0]:
        if found.setdefault(image, value) != value:
            raise fail(f"{path} line {line}", f"image_id {image} stands there again, otherwise", "each once")
    return found

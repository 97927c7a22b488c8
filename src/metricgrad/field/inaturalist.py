"""iNaturalist 2018 as retrieval papers use it: the lists of species of Smooth-AP [brown2020smoothap].

`Inat_dataset_splits/Inaturalist_train_set1.txt` and `Inaturalist_test_set1.txt` name a picture per line, such as
`train_val2018/Plantae/7477/3b60c9486db1d2ee875f11a669fbde4a.jpg`: the two folders above a picture are its class. The
counts are those of the paper.
"""

from pathlib import Path

from metricgrad._checks import describe, fail
from metricgrad.field.lines import lines_of
from metricgrad.field.listed import Counts, Listed, Parts, official

__all__ = ["read"]

TRAIN, TEST = Counts(325_846, 5_690), Counts(136_093, 2_452)


def read(folder: Path) -> Parts:
    """Read the two lists.

    Raises:
        InputError: a list is missing or of another form, or they share species.
    """
    train, test = (_listed(folder, part) for part in ("train", "test"))
    return official(train, test, [TRAIN], [TEST])


def _listed(folder: Path, part: str) -> Listed:
    name = f"Inat_dataset_splits/Inaturalist_{part}_set1.txt"
    files, classes = [], []
    for line, text in lines_of(folder / name):
        above = text.strip().split("/")
        if len(above) < 3:
            came = f"it is {describe(text)}"
            raise fail(f"{folder / name} line {line}", came, "a path such as train_val2018/Aves/17/a.jpg")
        files.append(text.strip())
        classes.append("/".join(above[-3:-1]))
    return Listed(name, folder, files, classes)

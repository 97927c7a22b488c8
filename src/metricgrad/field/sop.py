"""Stanford Online Products: `Ebay_train.txt` and `Ebay_test.txt` beside the folders of pictures.

The lists have a header, `image_id class_id super_class_id path`, and no class in common. Their counts are those of the
paper [ohsong2016lifted].
"""

from pathlib import Path

from metricgrad._checks import describe, fail
from metricgrad.field.lines import rows_of
from metricgrad.field.listed import Counts, Listed, Parts, official

__all__ = ["read"]

COLUMNS = ("image_id", "class_id", "super_class_id", "path")
TRAIN, TEST = Counts(59_551, 11_318), Counts(60_502, 11_316)


def read(folder: Path) -> Parts:
    """Read the two lists.

    Raises:
        InputError: a list is missing or of another form, or they share classes.
    """
    train, test = (_listed(folder, name) for name in ("Ebay_train.txt", "Ebay_test.txt"))
    return official(train, test, [TRAIN], [TEST])


def _listed(folder: Path, name: str) -> Listed:
    rows, _ = rows_of(folder / name, COLUMNS, header=True)
    for line, cells in rows:
        if not all(cell.isdecimal() for cell in cells[:3]):
            came = f"it is {describe(' '.join(cells))}"
            raise fail(f"{folder / name} line {line}", came, "three numbers and a path")
    return Listed(name, folder, [row.cells[3] for row in rows], [row.cells[1] for row in rows])

"""The folders that docs/field.md shows: each is built as it stands there, and read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from metricgrad.field import cars196, class_folders, cub200, in_shop, inaturalist, sop, vehicle_id
from metricgrad.field.listed import sizes_of
from metricgrad.field.texts import texts_at
from tests.field import tiny

PAGE = Path(__file__).parents[2] / "docs" / "field.md"
READERS = {
    "sop": sop.read,
    "cub200": cub200.read,
    "cars196": cars196.read,
    "in_shop": in_shop.read,
    "inaturalist": inaturalist.read,
    "vehicle_id": lambda folder: vehicle_id.read(folder, 2400),
    "class_folders": lambda folder: class_folders.read(folder, test_share=0.5, seed=0),
}


class Form(NamedTuple):
    """A folder of the page: its task, and the lines of each file."""

    task: str
    files: dict[str, list[str]]


def forms() -> list[Form]:
    """All of them, in their order."""
    block = re.search(r"How the folders look.*?```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert block is not None
    found: list[Form] = []
    for line in block[1].splitlines():
        if line.startswith("  | "):
            list(found[-1].files.values())[-1].append(line[4:].replace("<tab>", "\t"))
        elif line.startswith("  "):
            found[-1].files[line.strip()] = []
        else:
            found.append(Form(line.split("/")[0], {}))
    return found


def built(form: Form, folder: Path) -> Path:
    """Write the files: lists as they stand there, pictures, and annotations of the pictures in place of MATLAB's."""
    pictures = [name for name in form.files if name.lower().endswith((".jpg", ".png"))]
    for name, lines in form.files.items():
        if name in pictures:
            tiny.picture(folder / name)
        elif name.endswith(".mdb"):
            tiny.write_lmdb((folder / name).parent, ["one"])
        elif name.endswith(".mat"):
            annotated(folder / name, pictures)
        else:
            tiny.written(folder, name, lines)
    return folder


def annotated(path: Path, pictures: Sequence[str]) -> None:
    """Write the annotations of Stanford Cars: the first picture has class 1, the last one 196."""
    classes = dict(zip(pictures, (1, 196), strict=True))
    if path.name == "cars_annos.mat":
        tiny.annotations(path, "relative_im_path", list(classes.items()))
        return
    (own,) = [name for name in pictures if name.startswith(path.name.split("_annos")[0])]
    tiny.annotations(path, "fname", [(Path(own).name, classes[own])])


@pytest.mark.parametrize("form", forms(), ids=lambda form: f"{form.task}-{len(form.files)}")
def test_a_folder_as_it_is_shown_is_read(form: Form, tmp_path: Path) -> None:
    """Every picture is found in its part; every place of texts gives its text."""
    folder = built(form, tmp_path)
    if form.task == "text_recognition":
        for name in form.files:
            place = folder / name if name.endswith(".txt") else (folder / name).parent
            if not name.endswith(".png"):
                assert texts_at([place], "eno", 5, fold=True).texts == ["one"]
        return
    parts = READERS[form.task](folder)
    listed = [parts.train, parts.test, *([] if parts.gallery is None else [parts.gallery])]
    pictures = {folder / name for name in form.files if name.lower().endswith(".jpg")}
    assert {one.root / file for one in listed for file in one.files} == pictures
    assert all(min(sizes_of(one)) > 0 for one in listed)


def test_every_task_of_the_field_is_shown() -> None:
    """And no other."""
    assert {form.task for form in forms()} == {*READERS, "text_recognition"}

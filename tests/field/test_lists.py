"""Official lists as they are distributed, and as they are found on disks: what is read, told and refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metricgrad.errors import InputError
from metricgrad.field import cars196, class_folders, cub200, in_shop, inaturalist, sop, vehicle_id
from metricgrad.field.listed import Parts, sizes_of
from tests.field import tiny


def refused(call: Callable[[], object], *words: str) -> None:
    """Assert that a call raises InputError with all these words."""
    with pytest.raises(InputError) as found:
        call()
    for word in words:
        assert word in str(found.value), (word, str(found.value))


def changed(path: Path, old: str, new: str) -> None:
    """Change a list, once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


FORMS = {
    "sop": (tiny.sop, sop.read, ("Ebay_train.txt", "Ebay_test.txt")),
    "cub200": (tiny.cub200, cub200.read, ("images.txt", "image_class_labels.txt")),
    "in_shop": (tiny.in_shop, in_shop.read, ("Eval/list_eval_partition.txt",)),
    "inaturalist": (
        tiny.inaturalist,
        inaturalist.read,
        ("Inat_dataset_splits/Inaturalist_train_set1.txt", "Inat_dataset_splits/Inaturalist_test_set1.txt"),
    ),
    "vehicle_id": (
        tiny.vehicle_id,
        lambda folder: vehicle_id.read(folder, 2400),
        ("train_test_split/train_list.txt", "train_test_split/test_list_2400.txt"),
    ),
}
COUNTS = {
    "sop": ((15, 6), (8, 3)),
    "cub200": ((15, 5), (9, 3)),
    "cars196": ((12, 4), (6, 2)),
    "in_shop": ((15, 5), (3, 3)),
    "inaturalist": ((15, 5), (9, 3)),
    "vehicle_id": ((15, 5), (12, 4)),
}


def counts(parts: Parts) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pictures and classes of train and test."""
    return (len(parts.train), parts.train.count), (len(parts.test), parts.test.count)


@pytest.mark.parametrize("name", FORMS)
def test_the_official_syntax(name: str, tmp_path: Path) -> None:
    """Every picture of train and test is found with its class, and the published counts are told beside those here."""
    make, read, _ = FORMS[name]
    parts = read(make(tmp_path))
    assert counts(parts) == COUNTS[name]
    (train, _), _ = COUNTS[name]
    assert len(sizes_of(parts.train)) == train and min(sizes_of(parts.test)) > 0
    assert parts.told[0].startswith(
        f"train has {train} pictures of {parts.train.count} classes; the published"
    )
    assert not set(parts.train.classes) & set(parts.test.classes)


def test_published_counts_are_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the counts of the source is told nothing."""
    monkeypatch.setattr(sop, "TRAIN", sop.Counts(15, 6))
    monkeypatch.setattr(sop, "TEST", sop.Counts(8, 3))
    assert list(sop.read(tiny.sop(tmp_path)).told) == []
    monkeypatch.setattr(sop, "TEST", sop.Counts(9, 3))
    assert sop.read(tmp_path).told == [
        "test has 8 pictures of 3 classes; the published data set has 9 pictures of 3 classes"
    ]


@pytest.mark.parametrize("name", FORMS)
def test_lists_of_windows(name: str, tmp_path: Path) -> None:
    """Windows line ends, a byte order mark, and blank lines at the end change nothing."""
    make, read, lists = FORMS[name]
    plain = read(make(tmp_path))
    for list_name in lists:
        path = tmp_path / list_name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n \r\n")
    again = read(tmp_path)
    assert (again.train, again.test, again.gallery) == (plain.train, plain.test, plain.gallery)


@pytest.mark.parametrize("name", FORMS)
def test_lists_that_are_not_there_or_empty(name: str, tmp_path: Path) -> None:
    """Each list is missed by name; an empty one and one of blanks are refused, as is one that is no text."""
    make, read, lists = FORMS[name]
    make(tmp_path)
    for list_name in lists:
        path = tmp_path / list_name
        content = path.read_bytes()
        path.unlink()
        refused(lambda: read(tmp_path), Path(list_name).name, "No such file", "the list file")
        for wrong, word in ((b"", "is empty"), (b"\n \r\n", "is empty"), (b"\xff\xfe\x00", "no UTF-8")):
            path.write_bytes(wrong)
            refused(lambda: read(tmp_path), Path(list_name).name, word)
        path.write_bytes(content)
    read(tmp_path)


@pytest.mark.parametrize("name", FORMS)
def test_pictures_that_are_missing(name: str, tmp_path: Path) -> None:
    """They are counted, the first one is named; an empty file and a folder are no pictures."""
    make, read, _ = FORMS[name]
    train = read(make(tmp_path)).train
    (train.root / train.files[2]).unlink()
    (train.root / train.files[4]).write_bytes(b"")
    (train.root / train.files[5]).unlink()
    (train.root / train.files[5]).mkdir()
    refused(lambda: sizes_of(train), f"3 of its {len(train)} pictures", f"first {train.files[2]}", "--data")


def test_sop_rows(tmp_path: Path) -> None:
    """The header is needed, columns are counted, and a path may hold blanks."""
    tiny.sop(tmp_path)
    train = tmp_path / "Ebay_train.txt"
    changed(train, "bicycle_final/000000000001_0.JPG", "bicycle final/a picture.JPG")
    assert sop.read(tmp_path).train.files[0] == "bicycle final/a picture.JPG"
    changed(train, "1 1 1 bicycle", "1 1 bicycle")
    refused(lambda: sop.read(tmp_path), "Ebay_train.txt line 2", "three numbers and a path")
    changed(train, "1 1 bicycle final/a picture.JPG", "1 1")
    refused(lambda: sop.read(tmp_path), "line 2", "super_class_id")
    tiny.sop(tmp_path)
    changed(train, "image_id class_id super_class_id path\n", "")
    refused(lambda: sop.read(tmp_path), "line 1", "the header 'image_id class_id super_class_id path'")
    tiny.written(tmp_path, "Ebay_train.txt", ["image_id class_id super_class_id path"])
    refused(lambda: sop.read(tmp_path), "names no picture")


def test_rows_that_come_again(tmp_path: Path) -> None:
    """A picture is taken once, and that is told; with two classes it is refused."""
    tiny.sop(tmp_path)
    train = tmp_path / "Ebay_train.txt"
    rows = train.read_text(encoding="utf-8")
    train.write_text(rows + "1 1 1 bicycle_final/000000000001_0.JPG\n", encoding="utf-8")
    parts = sop.read(tmp_path)
    assert len(parts.train) == 15
    assert "Ebay_train.txt names 1 pictures again, first bicycle_final/000000000001_0.JPG" in parts.told[0]
    train.write_text(rows + "1 2 1 bicycle_final/000000000001_0.JPG\n", encoding="utf-8")
    refused(lambda: sop.read(tmp_path), "'1' and '2'", "one class per picture")


@pytest.mark.parametrize("path", ["../outside.JPG", "/etc/passwd", "C:\\a.jpg", "a/../../b.jpg", "..\\b.jpg"])
def test_paths_that_leave_the_folder(path: str, tmp_path: Path) -> None:
    """A list may be somebody else's: nothing outside of the folder is read."""
    changed(tiny.sop(tmp_path) / "Ebay_train.txt", "bicycle_final/000000000001_0.JPG", path)
    refused(lambda: sop.read(tmp_path), "a path within")


@pytest.mark.parametrize("name", ["sop", "inaturalist", "vehicle_id"])
def test_train_and_test_that_overlap(name: str, tmp_path: Path) -> None:
    """A common picture and a common class are refused, with the count."""
    make, read, (train, test) = FORMS[name]
    make(tmp_path)
    rows = (tmp_path / train).read_text(encoding="utf-8").splitlines()
    with (tmp_path / test).open("a", encoding="utf-8") as file:
        file.write(rows[-1] + "\n")
    refused(lambda: read(tmp_path), Path(train).name, Path(test).name, "share 1 pictures")
    make(tmp_path)
    with (tmp_path / test).open("a", encoding="utf-8") as file:
        other = {
            "sop": "99 1 1 bicycle_final/x.JPG",
            "inaturalist": "train_val2018/Aves/1/x.jpg",
            "vehicle_id": "99 1",
        }
        file.write(other[name] + "\n")
    refused(lambda: read(tmp_path), "share 1 classes", "What was trained on cannot judge")


def test_numbered_classes_that_overlap_or_lack_a_part(tmp_path: Path) -> None:
    """Birds and cars are divided by the numbers of their classes; a common picture and a lack of one are refused."""
    first, last = "001.A_Bird/A_Bird_0000.jpg", "200.A_Bird/A_Bird_0002.jpg"
    changed(tiny.cub200(tmp_path) / "images.txt", f"24 {last}", f"24 {first}")
    refused(lambda: cub200.read(tmp_path), "images.txt (train) and images.txt (test) share 1 pictures", first)
    tiny.written(tmp_path, "images.txt", [f"1 {first}"])
    tiny.written(tmp_path, "image_class_labels.txt", ["1 1"])
    refused(lambda: cub200.read(tmp_path), "images.txt (test)", "no picture is named", "classes 101 to 200")
    path = tmp_path / "cars_annos.mat"
    tiny.annotations(path, "relative_im_path", [("a.jpg", 1), ("b.jpg", 2), ("a.jpg", 196)])
    refused(lambda: cars196.read(tmp_path), "(train)", "(test)", "share 1 pictures, e.g. a.jpg")


def test_cub_lists_that_do_not_fit(tmp_path: Path) -> None:
    """Both name the same pictures, a class is one of 200, and the first hundred are train whatever is drawn."""
    tiny.cub200(tmp_path)
    assert set(cub200.read(tmp_path).train.classes) == {"1", "2", "3", "40", "100"}
    labels = tmp_path / "image_class_labels.txt"
    changed(labels, "24 200\n", "")
    refused(lambda: cub200.read(tmp_path), "1 pictures stand in one", "first 24")
    tiny.cub200(tmp_path)
    for wrong in ("201", "0", "bird"):
        changed(labels, "24 200", f"24 {wrong}")
        refused(lambda: cub200.read(tmp_path), f"'{wrong}'", "a whole number from 1 to 200")
        tiny.cub200(tmp_path)
    changed(labels, "24 200", "24 200\n24 3")
    refused(lambda: cub200.read(tmp_path), "image_id 24 stands there again")


def test_cars_in_both_forms(tmp_path: Path) -> None:
    """The one file of all pictures and the two of the devkit name the same classes."""
    whole = cars196.read(tiny.cars196(tmp_path / "whole"))
    assert counts(whole) == COUNTS["cars196"]
    assert whole.train.files[0] == "car_ims/000001.jpg" and set(whole.test.classes) == {"99", "196"}
    assert whole.told[0].endswith("the published data set has 8,054 pictures of 98 classes")
    entries = tiny.cars_entries()
    devkit = tmp_path / "devkit form"
    tiny.annotations(devkit / "devkit" / "cars_train_annos.mat", "fname", entries[::2])
    refused(lambda: cars196.read(devkit), "cars_test_annos_withlabels.mat", "has no classes")
    tiny.annotations(devkit / "cars_test_annos_withlabels.mat", "fname", entries[1::2])
    parts = cars196.read(devkit)
    assert counts(parts) == COUNTS["cars196"]
    assert {file.split("/")[0] for file in parts.train.files} == {"cars_train", "cars_test"}


def test_cars_that_cannot_be_read(tmp_path: Path) -> None:
    """No annotations, a damaged file, another class, a missing field and one annotation alone."""
    refused(lambda: cars196.read(tmp_path), "neither cars_annos.mat nor devkit/cars_train_annos.mat")
    path = tmp_path / "cars_annos.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    refused(lambda: cars196.read(tmp_path), "cars_annos.mat", "a MATLAB file")
    tiny.annotations(path, "relative_im_path", [("a.jpg", 1), ("b.jpg", 197)])
    refused(lambda: cars196.read(tmp_path), "annotation 2", "a class from 1 to 196")
    tiny.annotations(path, "fname", [("a.jpg", 1)])
    refused(lambda: cars196.read(tmp_path), "relative_im_path None")
    tiny.annotations(path, "relative_im_path", [("a.jpg", 1)])
    refused(lambda: cars196.read(tmp_path), "(test)", "classes 99 to 196")


def test_in_shop_counts_and_statuses(tmp_path: Path) -> None:
    """A wrong count line is told; the line itself and the header are needed; a status is one of three."""
    path = tiny.in_shop(tmp_path) / "Eval" / "list_eval_partition.txt"
    parts = in_shop.read(tmp_path)
    assert parts.gallery is not None and (len(parts.gallery), parts.gallery.count) == (6, 3)
    assert not any("says that it has" in text for text in parts.told)
    changed(path, "24\n", "52712\n")
    assert in_shop.read(tmp_path).told[0] == (
        "list_eval_partition.txt says that it has 52,712 pictures and names 24"
    )
    changed(path, "52712\n", "")
    refused(lambda: in_shop.read(tmp_path), "line 1", "the number of pictures alone")
    tiny.in_shop(tmp_path)
    changed(path, "image_name item_id evaluation_status\n", "")
    refused(lambda: in_shop.read(tmp_path), "line 2", "the header")
    tiny.in_shop(tmp_path)
    changed(path, "   query", "   querry")
    refused(lambda: in_shop.read(tmp_path), "'querry'", "Did you mean 'query'?")


def test_in_shop_parts(tmp_path: Path) -> None:
    """Train shares no item with the rest, every queried item is in the gallery, and all three parts are there."""
    path = tiny.in_shop(tmp_path) / "Eval" / "list_eval_partition.txt"
    text = path.read_text(encoding="utf-8")
    changed(path, "id_00000006   query", "id_00000001   query")
    refused(lambda: in_shop.read(tmp_path), "share 1 classes")
    path.write_text(text.replace("id_00000006   gallery", "id_00000007   gallery"), encoding="utf-8")
    refused(lambda: in_shop.read(tmp_path), "1 items of queries are not in the gallery, e.g. id_00000006")
    path.write_text(text.replace("gallery", "train"), encoding="utf-8")
    refused(lambda: in_shop.read(tmp_path), "no picture is gallery")
    path.write_text(text.replace("00_1_front", "a front"), encoding="utf-8")
    assert in_shop.read(tmp_path).test.files[0] == "img/WOMEN/Dresses/id_00000006/a front.jpg"
    bare = tmp_path / "bare"
    tiny.in_shop(bare)
    (bare / "Eval" / "list_eval_partition.txt").rename(bare / "list_eval_partition.txt")
    (bare / "Img" / "img").rename(bare / "img")
    (bare / "Img").rmdir()
    assert in_shop.read(bare).train.root == bare


def test_inaturalist_classes(tmp_path: Path) -> None:
    """The kingdom belongs to the class: species 1 of two kingdoms are two; a path without folders has none."""
    tiny.inaturalist(tmp_path)
    assert set(inaturalist.read(tmp_path).train.classes) == {
        "Aves/1",
        "Aves/2",
        "Plantae/1",
        "Plantae/2",
        "Fungi/9",
    }
    path = tmp_path / "Inat_dataset_splits" / "Inaturalist_test_set1.txt"
    path.write_text("a.jpg\n", encoding="utf-8")
    refused(lambda: inaturalist.read(tmp_path), "line 1", "a path such as train_val2018")


def test_vehicle_tests(tmp_path: Path) -> None:
    """Each of the three tests, their vehicles by the name of the list, numbers with and without zeros before them."""
    tiny.vehicle_id(tmp_path)
    for size, vehicles in ((800, 2), (1600, 3), (2400, 4)):
        parts = vehicle_id.read(tmp_path, size)
        assert parts.test.count == vehicles and parts.gallery is None
        assert (
            parts.told[1]
            == f"test has {3 * vehicles} pictures of {vehicles} classes; the published data set has {size:,} classes"
        )
    train = tmp_path / "train_test_split" / "train_list.txt"
    changed(train, "0000001 1", "1 01")
    assert vehicle_id.read(tmp_path, 800).train.files[0] == "0000001.jpg"
    assert (
        "110,178 pictures of 13,134 classes or 113,346 pictures of 13,164"
        in vehicle_id.read(tmp_path, 800).told[0]
    )
    changed(train, "1 01", "one 1")
    refused(lambda: vehicle_id.read(tmp_path, 800), "line 1", "the numbers of a picture and of its vehicle")


def test_one_picture_of_each_vehicle_is_searched(tmp_path: Path) -> None:
    """As the data set's authors do it: drawn by seed, the others are queries."""
    tiny.vehicle_id(tmp_path)
    parts, same, other = (vehicle_id.read(tmp_path, 2400, gallery="one", seed=seed) for seed in (0, 0, 1))
    assert parts.gallery is not None and other.gallery is not None
    assert sorted(parts.gallery.classes) == ["6", "7", "8", "9"] and len(parts.test) == 8
    assert not set(parts.gallery.files) & set(parts.test.files)
    assert parts == same and parts.gallery.files != other.gallery.files
    tiny.written(tmp_path, "train_test_split/test_list_800.txt", ["0000016 6", "0000019 7"])
    refused(lambda: vehicle_id.read(tmp_path, 800, gallery="one"), "every vehicle has one picture")


def test_folders_of_classes(tmp_path: Path) -> None:
    """Classes are drawn for test by seed, or stand in train and test; other files are counted and passed over."""
    tiny.class_folders(tmp_path / "plain")
    (tmp_path / "plain" / "readme.txt").write_text("notes", encoding="utf-8")
    (tmp_path / "plain" / "class 1" / "Thumbs.db").write_bytes(b"0")
    (tmp_path / "plain" / ".hidden").mkdir()
    parts, other = (class_folders.read(tmp_path / "plain", test_share=0.5, seed=seed) for seed in (0, 1))
    assert counts(parts) == ((12, 4), (12, 4)) and parts.test.classes != other.test.classes
    assert parts.told[0].startswith("2 other files and folders")
    assert parts.told[1] == "4 of 8 classes are drawn for test by split_seed"
    tiny.class_folders(tmp_path / "parted" / "train")
    for kind in "ab":
        tiny.picture(tmp_path / "parted" / "test" / kind / "1.JPG")
    parted = class_folders.read(tmp_path / "parted", test_share=0.5, seed=0)
    assert counts(parted) == ((24, 8), (2, 2)) and not parted.told
    tiny.picture(tmp_path / "parted" / "test" / "class 1" / "picture 1.png")
    refused(
        lambda: class_folders.read(tmp_path / "parted", test_share=0.5, seed=0), "share 1 classes", "class 1"
    )


def test_folders_that_hold_no_classes(tmp_path: Path) -> None:
    """No folder, no picture, and too few classes to part."""
    refused(lambda: class_folders.read(tmp_path / "none", test_share=0.5, seed=0), "is no folder")
    refused(lambda: class_folders.read(tmp_path, test_share=0.5, seed=0), "no class folder holds a picture")
    for kind in "abc":
        tiny.picture(tmp_path / kind / "1.jpg")
    refused(lambda: class_folders.read(tmp_path, test_share=0.5, seed=0), "3 classes, of which 2 are drawn")

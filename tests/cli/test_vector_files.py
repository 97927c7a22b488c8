"""Vectors and ids from every form of file; each bad one is refused in one sentence that names it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from metricgrad.cli import vector_files
from metricgrad.cli.row_names import read_names
from metricgrad.cli.vector_files import read_vectors
from metricgrad.errors import InputError

POINTS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = ["007", "7", "d 3", "e\u0301", "-1", "1e3"]


def write(path: Path, points: np.ndarray = POINTS, ids: list[str] | None = None) -> Path:
    """Write vectors in the form that the name of the file says."""
    kind = path.suffix
    if kind == ".npy":
        np.save(path, points)
    elif kind == ".safetensors":
        save_file({"embeddings": np.ascontiguousarray(points)}, path)
    elif kind == ".csv":
        lines = [",".join(f"{one!r}" for one in row) for row in points.tolist()]
        named = [",".join([one, line]) for one, line in zip(ids, lines, strict=True)] if ids else lines
        head = [*(["id"] if ids else []), *(f"dim_{place}" for place in range(points.shape[1]))]
        path.write_text("\n".join([",".join(head), *named]) + "\n", encoding="utf-8")
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        columns = {} if ids is None else {"id": ids}
        if path.stem == "wide":
            columns |= {f"dim_{place}": column for place, column in enumerate(points.T)}
        elif path.stem == "fixed":
            flat = arrow.array(points.reshape(-1))
            columns["embedding"] = arrow.FixedSizeListArray.from_arrays(flat, points.shape[1])
        else:
            columns["embedding"] = arrow.array(list(points))
        parquet.write_table(arrow.table(columns), path, row_group_size=4)
    return path


@pytest.mark.parametrize(
    "name", ["x.npy", "x.safetensors", "x.csv", "lists.parquet", "fixed.parquet", "wide.parquet"]
)
@pytest.mark.parametrize("with_ids", [False, True])
def test_every_form_holds_the_same(tmp_path: Path, name: str, with_ids: bool) -> None:
    """Numbers, order and ids are those that were written; ids beside arrays are found."""
    path = write(tmp_path / name, ids=IDS if with_ids else None)
    if with_ids and path.suffix in (".npy", ".safetensors"):
        (tmp_path / "x.ids.txt").write_text("\n".join(IDS) + "\n", encoding="utf-8")
    found = read_vectors(path)
    np.testing.assert_array_equal(found.array, POINTS)
    assert found.ids == (["007", "7", "d 3", "\u00e9", "-1", "1e3"] if with_ids else None)
    assert found.row_ids[0] == ("007" if with_ids else "0")
    assert found.names[0].startswith("6 x 4, ")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_mapped(tmp_path: Path, kind: type, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .npy file stays a map of its own type, in either order, over several blocks; the file is never written to."""
    monkeypatch.setattr(vector_files, "_BLOCK", 8)
    path = write(tmp_path / "x.npy", np.asarray(POINTS, kind, order))
    before = path.read_bytes()
    found = read_vectors(path)
    assert isinstance(found.array, np.memmap) and found.array.dtype == kind
    with pytest.raises(ValueError, match="read-only"):
        found.array[0] = 9
    np.testing.assert_array_equal(found.array, POINTS.astype(kind))
    assert path.read_bytes() == before


def test_quantised_and_foreign_numbers(tmp_path: Path) -> None:
    """int8, bfloat16 and numbers of the other byte order become what torch takes."""
    whole = np.arange(8, dtype=np.int8).reshape(2, 4)
    found = read_vectors(write(tmp_path / "q.npy", whole)).array
    assert found.dtype == np.float32 and (found == whole).all()
    found = read_vectors(write(tmp_path / "b.npy", POINTS.astype(">f4"))).array
    assert found.dtype.isnative and (found == POINTS).all()
    from safetensors.torch import save_file as save_torch

    save_torch({"v": torch.ones(2, 3, dtype=torch.bfloat16)}, tmp_path / "h.safetensors")
    assert read_vectors(tmp_path / "h.safetensors").array.dtype == np.float32


def test_one_of_several(tmp_path: Path) -> None:
    """Several tensors, columns of lists or families of columns: which one is asked for, and taken when said."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    save_file({"a": POINTS, "b": 2 * POINTS}, tmp_path / "x.safetensors")
    lists = arrow.array(list(POINTS))
    parquet.write_table(arrow.table({"a": lists, "b": lists}), tmp_path / "l.parquet")
    wide = {f"{name}_{place}": column for name in "ab" for place, column in enumerate(POINTS.T)}
    parquet.write_table(arrow.table({"doc": IDS, **wide}), tmp_path / "w.parquet")
    for path, pattern in (("x.safetensors", "b"), ("l.parquet", "b"), ("w.parquet", "b_*")):
        with pytest.raises(InputError, match=r"--vector-column"):
            read_vectors(tmp_path / path)
        assert read_vectors(tmp_path / path, column=pattern).array.shape == (6, 4)
        with pytest.raises(InputError, match=r"'nothing'.*among them"):
            read_vectors(tmp_path / path, column="nothing")


@pytest.mark.parametrize(
    ("text", "ids", "shape"),
    [
        ("0.5,1\n1,0\n", None, (2, 2)),
        ("a;0.5;1\nb;1;0\n", ["a", "b"], (2, 2)),
        ("0,1,2\n.5,.5,1\n1,0,1\n", None, (2, 3)),
        (",0,1\n10,.5,1\n11,1,0\n", ["10", "11"], (2, 2)),
        ("u,v\n.5,.5\n1,0\n", None, (2, 2)),
        ("_id,v1,v2,year\nq1,.5,.5,1999\nq2,1,0,2000\n", ["q1", "q2"], (2, 2)),
    ],
)
def test_lines_of_names(tmp_path: Path, text: str, ids: list[str] | None, shape: tuple[int, int]) -> None:
    """With or without names, with the index of pandas, with further columns, parted by semicolons."""
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    found = read_vectors(tmp_path / "x.csv")
    assert (found.ids, found.array.shape) == (ids, shape)


def _ids(text: str, name: str = "x.txt") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text, encoding="utf-8")
        return write(folder / "x.npy")

    return make


def _array(array: np.ndarray) -> Callable[[Path], Path]:
    return lambda folder: write(folder / "x.npy", array)


def _ragged(folder: Path) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"e": [[1.0, 2.0], [3.0]]}), folder / "x.parquet")
    return folder / "x.parquet"


def _hole(folder: Path) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"e": [[1.0, 2.0], None]}), folder / "x.parquet")
    return folder / "x.parquet"


def _float_ids(folder: Path) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"id": [1.0, 2.0], "e": [[1.0, 2.0], [3.0, 4.0]]}), folder / "x.parquet")
    return folder / "x.parquet"


BROKEN = POINTS.copy()
BROKEN[[2, 5], 1] = (np.nan, np.inf)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_array(POINTS[0]), r"\(4,\) of float32; expected numbers \(item, dim\)"),
        (_array(POINTS[:0]), r"\(0, 4\) of float32; expected"),
        (_array(POINTS > 0), r"of bool; expected"),
        (_array(np.arange(8).reshape(2, 4)), r"of int64; expected float16.*astype\(np.float32\)"),
        (_array(np.array([["a", "b"]])), r"expected numbers"),
        (_array(BROKEN), r"NaN or infinite values in 2 of 6 rows \(rows 2, "),
        (_ids("a\nb\nc\n"), r"3 ids, but .*x.npy 6 vectors"),
        (
            _ids("a\nb\nc\nd\n b\na\n"),
            r"the id 'b' stands in rows 1 and 4 \(counted from 0\), and so do 1 others",
        ),
        (_ids("a\nb\n\nd\ne\nf\n"), r"the id of row 2 .* is empty"),
        (_ids("id,text\n1,a\n2\n", "x.csv"), r"line 3 has 1 cells"),
        (_ragged, r"1 numbers in row 1 .* and 2 before"),
        (_hole, r"no vector in row 1"),
        (_float_ids, r"ids are floats \(1.0 in row 0\)"),
        (lambda folder: folder / "no.npy", r"there is no file"),
    ],
)
def test_bad_files(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    """One sentence names the file, the row and what was expected."""
    with pytest.raises(InputError, match=message):
        read_vectors(make(tmp_path))


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    """An array of objects would be unpickled."""
    np.save(tmp_path / "x.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(InputError, match="pickled objects"):
        read_vectors(tmp_path / "x.npy")


def test_rows_of_zeros_are_told(tmp_path: Path) -> None:
    """They are no error: their similarity to everything is 0."""
    points = POINTS.copy()
    points[[1, 3]] = 0
    with pytest.warns(UserWarning, match=r"2 of 6 rows are all zeros \(rows 1, 3\)"):
        read_vectors(write(tmp_path / "x.npy", points))


@pytest.mark.parametrize("name", ["x.csv", "lists.parquet"])
def test_ids_that_are_neither_a_column_nor_a_file(tmp_path: Path, name: str) -> None:
    """Both are named in the sentence; a column of another name is taken when it is said."""
    path = write(tmp_path / name, ids=IDS)
    with pytest.raises(InputError, match=r"said to be 'nope', but no file is called so"):
        read_vectors(path, "nope")
    assert read_vectors(path, "id").ids == read_vectors(path).ids
    (tmp_path / "other.txt").write_text("\n".join("abcdef"), encoding="utf-8")
    assert read_vectors(path, str(tmp_path / "other.txt")).ids == list("abcdef")


def test_two_files_of_ids(tmp_path: Path) -> None:
    """Which one is asked for; the one that is said is read."""
    path = write(tmp_path / "x.npy")
    for name in ("x.txt", "x.csv"):
        (tmp_path / name).write_text("\n".join("abcdef"), encoding="utf-8")
    with pytest.raises(InputError, match=r"x.txt and x.csv, each of which may hold its ids"):
        read_vectors(path)
    assert read_vectors(path, str(tmp_path / "x.txt")).ids == list("abcdef")
    assert read_vectors(path, identified=False).ids is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n.jsonl", '{"_id": "q1", "text": "one"}\n{"_id": 7, "text": "two"}\n'),
        ("n.csv", "id,text\nq1,one\n7,two\n"),
        ("n.tsv", "text\tid\none\tq1\ntwo\t7\n"),
    ],
)
def test_names_of_rows(tmp_path: Path, name: str, text: str) -> None:
    """Ids and texts stand in columns or fields of usual names."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_names(tmp_path / name) == ["q1", "7"]
    assert read_names(tmp_path / name, "text") == ["one", "two"]

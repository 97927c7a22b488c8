"""Pictures of texts: LMDB environments and list files as tools of the field write them."""

from pathlib import Path

import lmdb
import pytest
import torch

from metricgrad import _checks
from metricgrad.errors import InputError, MissingExtraError
from metricgrad.field.stored import seen
from metricgrad.field.text_lists import read_list
from metricgrad.field.text_lmdb import read_lmdb
from metricgrad.field.texts import LetterCrossEntropy, texts_at
from metricgrad.field.views import Lines
from metricgrad.tasks.recogniser import letter_cross_entropy
from tests.field import tiny

CHARACTERS = "abcdefghijklmnopqrstuvwxyz"


def put(folder: Path, key: str, value: bytes | None) -> None:
    """Change an entry of an environment; None takes it away."""
    environment = lmdb.open(str(folder), map_size=2**24)
    with environment.begin(write=True) as transaction:
        if value is None:
            assert transaction.delete(key.encode())
        else:
            transaction.put(key.encode(), value)
    environment.close()


def test_an_environment(tmp_path: Path) -> None:
    """Keys from 1 on, texts in UTF-8, pictures read by number."""
    folder = tiny.write_lmdb(tmp_path / "words", ["one", "na\u00efve", "three"])
    store, texts, told = read_lmdb(folder)
    assert (len(store), texts, told) == (3, ["one", "na\u00efve", "three"], [])
    assert store.name(1) == "words image-000000002"
    assert store.read(2) == (tmp_path / "words-3.png").read_bytes()
    assert seen(store, 0, Lines(32, 100).judged).shape == (1, 32, 100)


def test_counts_of_an_environment(tmp_path: Path) -> None:
    """More pictures than it says are told; fewer, a missing label, an empty picture and odd counts are refused."""
    folder = tiny.write_lmdb(tmp_path / "words", ["one", "two", "three"], said=2)
    _, texts, told = read_lmdb(folder)
    assert texts == ["one", "two"] and told == [
        f"{folder} says that it has 2 pictures and holds more; the others are passed over"
    ]
    put(folder, "num-samples", b"5")
    with pytest.raises(
        InputError, match=r"num-samples is 5 and 2 of these have no picture or no text, first image-000000004"
    ):
        read_lmdb(folder)
    put(folder, "num-samples", b"3")
    put(folder, "label-000000002", None)
    with pytest.raises(InputError, match="first label-000000002"):
        read_lmdb(folder)
    put(folder, "label-000000002", b"\xff")
    with pytest.raises(InputError, match=r"label-000000002 is b'\\xff'; expected a text in UTF-8"):
        read_lmdb(folder)
    put(folder, "label-000000002", b"two")
    put(folder, "image-000000003", b"")
    with pytest.raises(InputError, match="first image-000000003"):
        read_lmdb(folder)
    for said in (b"many", b"0"):
        put(folder, "num-samples", said)
        with pytest.raises(InputError, match="num-samples is"):
            read_lmdb(folder)
    put(folder, "num-samples", None)
    with pytest.raises(InputError, match="num-samples is None"):
        read_lmdb(folder)


def test_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file, no file, and no package that reads it."""
    (tmp_path / "data.mdb").write_bytes(bytes(9000))
    with pytest.raises(InputError, match="it cannot be read"):
        read_lmdb(tmp_path)
    with pytest.raises(InputError, match="it cannot be read"):
        read_lmdb(tmp_path / "none")

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(_checks.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'metricgrad\[field\]'"):
        read_lmdb(tmp_path)


def test_a_list_of_texts(tmp_path: Path) -> None:
    """A tab, a blank, and the quotes of ICDAR; texts and, before a tab, paths may hold blanks."""
    for name in ("a.png", "b.png", "a c.png", "d.png", "e.png"):
        tiny.line_picture(tmp_path / "words" / name, "x")
    lines = [
        "words/a.png\tTwo words",
        "words/b.png plain",
        "words/a c.png\tblank",
        'words/d.png, "Genaxis \\"Theatre\\""',
        'words/e.png\t tab, "kept" ',
    ]
    path = tiny.written(tmp_path, "gt.txt", lines, end="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n")
    store, texts, told = read_list(path)
    assert texts == ["Two words", "plain", "blank", 'Genaxis "Theatre"', 'tab, "kept"'] and not told
    assert list(store.files)[2:4] == ["words/a c.png", "words/d.png"] and store.read(0)
    again = tiny.written(tmp_path, "again.txt", [lines[0], lines[1], lines[0]])
    assert len(read_list(again)[1]) == 2 and "names 1 pictures again" in read_list(again)[2][0]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("words/a.png", "line 1"),
        ("words/a.png\t", "line 1"),
        ("\ttext", "line 1"),
        ("words/none.png\ttext", "1 of its 1 pictures"),
        ("../a.png\ttext", "a path within"),
    ],
)
def test_lists_that_do_not_fit(line: str, word: str, tmp_path: Path) -> None:
    """No text, no path, no such picture, and a path that leaves the folder."""
    tiny.line_picture(tmp_path / "words" / "a.png", "x")
    with pytest.raises(InputError, match=word):
        read_list(tiny.written(tmp_path, "gt.txt", [line]))


def test_places_together(tmp_path: Path) -> None:
    """Environments at any depth, by name, and list files are one; what cannot be spelt is left out and counted."""
    tiny.write_lmdb(tmp_path / "all" / "b" / "deep", ["Ab", "too long", "na\u00efve", ""])
    tiny.write_lmdb(tmp_path / "all" / "a", ["cd", "e"])
    tiny.line_picture(tmp_path / "list" / "1.png", "fg")
    place = tiny.written(tmp_path, "list/gt.txt", ["1.png\tFG"])
    found = texts_at([tmp_path / "all", place], CHARACTERS, 5, fold=True)
    assert found.texts == ["cd", "e", "ab", "fg"]
    assert found.stored.read(2) == (tmp_path / "all" / "b" / "deep-1.png").read_bytes()
    assert [found.stored.name(number) for number in (1, 3)] == ["a image-000000002", "1.png"]
    assert len(found.told) == 1 and found.told[0].startswith("3 of the 7 texts of ")
    assert "longer than 5" in found.told[0] and found.told[0].endswith("first 'too long'")
    plain = texts_at([tmp_path / "all", place], CHARACTERS, 5, fold=False)
    assert plain.texts == ["cd", "e"] and plain.stored.digest != found.stored.digest


def test_places_that_hold_nothing(tmp_path: Path) -> None:
    """No such place, a folder without an environment, and no text of these characters."""
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=r"no folder with a data\.mdb"):
            texts_at([place], CHARACTERS, 5, fold=True)
    tiny.write_lmdb(tmp_path / "a", ["123"])
    with pytest.raises(InputError, match=r"none of the 1 texts .* can be spelt, first '123'"):
        texts_at([tmp_path / "a"], CHARACTERS, 5, fold=True)


def test_an_environment_that_is_written_again(tmp_path: Path) -> None:
    """The new one is read, not the one that was open."""
    folder = tiny.write_lmdb(tmp_path / "words", ["one"])
    assert read_lmdb(folder)[1] == ["one"]
    for path in folder.iterdir():
        path.unlink()
    tiny.write_lmdb(folder, ["two", "three"])
    assert read_lmdb(folder)[1] == ["two", "three"]


def test_cross_entropy_of_letters() -> None:
    """For the alphabet and the length of the task words it is that task's loss."""
    outputs = torch.randn(3, 16, 27, generator=torch.Generator().manual_seed(0), requires_grad=True)
    texts = ["", "word", "sixteenlettersss"]
    loss = LetterCrossEntropy(CHARACTERS, 16)(outputs, texts)
    torch.testing.assert_close(loss, letter_cross_entropy(outputs, texts))
    loss.sum().backward()
    assert outputs.grad is not None and bool(outputs.grad.isfinite().all())
    with pytest.raises(InputError, match=r"logits \[3, 15, 27\]"):
        LetterCrossEntropy(CHARACTERS, 15)(outputs, texts)

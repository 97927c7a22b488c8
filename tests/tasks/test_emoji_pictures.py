"""The emoji pictures that the package carries, their licences, and the rules they are built by."""

import hashlib
import importlib.util
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from metricgrad.errors import InputError, MissingExtraError
from metricgrad.tasks.emoji_pictures import EMBEDDED_SLICE, load_pictures, save_pictures

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "build_emoji.py"
PERMITTED = {
    "Apache-2.0": "Apache License",
    "MIT": "MIT License",
    "CC-BY-4.0": "Attribution 4.0 International",
}
VENDORS = ("noto", "fluent-emoji-flat", "noto-v1", "fxemoji", "twemoji", "emojione")


@pytest.fixture(scope="module")
def emoji():
    """The slice of the package."""
    return load_pictures()


@pytest.fixture(scope="module")
def script():
    """`scripts/build_emoji.py` as a module."""
    spec = importlib.util.spec_from_file_location("build_emoji", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_emoji"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["build_emoji"]


def _few(path: Path) -> dict:
    """Write three random pictures of two classes and return what was written."""
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    sources = [{"vendor": name, "licence": "MIT"} for name in ("one", "two")]
    given = {"pictures": pictures, "vendor": np.array([0, 1, 0]), "label": np.array([0, 0, 1])}
    save_pictures(path, **given, names=["a", "b"], sources=sources, made="by a test")
    return given


# ---------------------------------------------------------------------------------------------- the slice


def test_counts(emoji):
    """What the documentation says of the slice is what it holds, within 10 MB."""
    assert emoji.pictures.shape == (6891, 64, 64, 3)
    assert len(emoji.names) == len(set(emoji.names)) == 1415
    assert Counter(np.bincount(emoji.label).tolist()) == {3: 324, 4: 12, 5: 603, 6: 476}
    assert EMBEDDED_SLICE.stat().st_size < 10e6
    assert emoji.digest == hashlib.sha256(EMBEDDED_SLICE.read_bytes()).hexdigest()


def test_no_class_has_two_pictures_of_one_vendor(emoji):
    """A vendor draws an emoji once."""
    assert max(Counter(zip(emoji.label.tolist(), emoji.vendor.tolist(), strict=True)).values()) == 1


def test_no_picture_belongs_to_two_classes(emoji):
    """No picture is there twice: neither in two classes nor as two vendors' drawing of one class."""
    pictures = {hashlib.sha256(picture.tobytes()).digest() for picture in emoji.pictures}
    assert len(pictures) == len(emoji.pictures)


def test_no_variants(emoji):
    """No skin tone, no joined sequence, no private-use glyph, and no class that is named by one."""
    for name in emoji.names:
        points = [int(part, 16) for part in name.split()[0].split("-")]
        assert not any(0x1F3FB <= point <= 0x1F3FF or point in (0x200D, 0xFE0F) for point in points), name
        assert not any(0xE000 <= point <= 0xF8FF or point >= 0xF0000 for point in points), name


def test_only_permitted_vendors(emoji):
    """The six sets under Apache-2.0, MIT or CC-BY-4.0; none that is share-alike."""
    assert emoji.vendors == VENDORS
    assert [source["vendor"] for source in emoji.sources] == list(VENDORS)
    assert {source["licence"] for source in emoji.sources} <= set(PERMITTED)


def test_licences_lie_beside_the_pictures(emoji):
    """For each vendor the full licence text is there, and the attribution names author, source and licence."""
    attribution = (EMBEDDED_SLICE.parent / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for source in emoji.sources:
        text = (EMBEDDED_SLICE.parent / "licences" / f"{source['licence']}.txt").read_text(encoding="utf-8")
        assert PERMITTED[source["licence"]] in text and len(text) > 1000 and "<year>" not in text
        row = next(line for line in attribution.splitlines() if line.startswith(f"| {source['vendor']} |"))
        assert all(source[fact] in row for fact in ("author", "url", "package", "version", "licence"))
    assert "Changes made" in attribution


# ----------------------------------------------------------------------------------------- reading, writing


def test_what_is_written_is_read(tmp_path):
    """Pictures come back pixel for pixel, and the same pictures make the same file."""
    given = _few(tmp_path / "one.safetensors")
    _few(tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    read = load_pictures(tmp_path / "one.safetensors")
    assert all((getattr(read, name) == value).all() for name, value in given.items())
    assert read.names == ("a", "b") and read.vendors == ("one", "two")


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "flipped", "other"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    """Cut off, empty, of another kind or with one byte changed: a message, never other pictures."""
    path = tmp_path / "emoji.safetensors"
    _few(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the last byte of the pictures or of the indices beside them
    content[-60] ^= 255
    damaged = {
        "cut": path.read_bytes()[:-10],
        "empty": b"",
        "text": b"not pictures",
        "flipped": bytes(content),
        "other": (len(b"{}").to_bytes(8, "little") + b"{}"),
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=r"cannot be read as emoji pictures .* write it again"):
        load_pictures(path)


def test_a_missing_file_is_named(tmp_path):
    """The message says which file is not there and how to make one."""
    with pytest.raises(InputError, match=r"there is no file .*emoji.safetensors.*build_emoji"):
        load_pictures(tmp_path / "emoji.safetensors")


def test_without_pillow(monkeypatch):
    """The message is the line that installs it."""
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'metricgrad\[emoji\]'"):
        load_pictures()


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    """A class index without a name is found before anything is written."""
    pictures = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "emoji.safetensors"
    with pytest.raises(InputError, match="label has shape"):
        save_pictures(
            path, pictures, np.zeros(2), np.array([0, 1]), names=["a"], sources=[{"vendor": "x"}], made=""
        )
    assert not path.exists()


# ------------------------------------------------------------------------------------- how they are matched


def test_matching_by_code_point_and_by_name(script):
    """Code points match without fe0f; names without hyphens, through aliases, and only where they are unambiguous."""
    icons = {
        "coded": {
            "icons": {},
            "aliases": {"simba": {"parent": "lion-face"}},
            "chars": {
                "1f981": "lion-face",
                "2602-fe0f": "umbrella",
                "2614": "umbrella",
                "1f44b-1f3fb": "wave-light",
                "1f468-200d-1f469": "pair",
                "e000": "private",
            },
        },
        "named": {"icons": {"simba": {}, "umbrella": {}, "wavelight": {}, "lionface": {}}, "chars": {}},
    }
    assert script.match_drawings(icons) == {
        "1f981": {"coded": "lion-face", "named": "simba"},
        "2602": {"coded": "umbrella"},
        "2614": {"coded": "umbrella"},
    }


def test_classes_that_share_a_picture_are_merged(script):
    """Shared pictures join classes, repeated drawings go, and what is left of a class may be too little."""
    plain = [np.full((4, 4, 3), value, dtype=np.uint8) for value in (0, 50, 100, 150, 200, 202)]
    pictures = {
        ("1", "x"): plain[0],
        ("1", "y"): plain[1],
        ("2", "x"): plain[0],
        ("2", "z"): plain[2],
        ("3", "x"): plain[3],
        ("3", "y"): plain[4],
        ("3", "z"): plain[5],
        ("4", "y"): plain[4] + 30,
        ("4", "z"): plain[4] + 31,
    }
    drawings = {code: {vendor: "" for c, vendor in pictures if c == code} for code in "1234"}
    assert script.merge_classes(pictures, drawings, ["x", "y", "z"], 2) == [
        ("1", [("1", "x"), ("1", "y"), ("2", "z")]),
        ("3", [("3", "x"), ("3", "y")]),
    ]


def test_flipped_and_oblong_icons_are_drawn(script):
    """An alias may mirror its parent; an oblong icon stands in the middle of its square."""
    pytest.importorskip("resvg_py")
    body = '<path d="M0 0h1v4h-1z"/>'
    table = {
        "prefix": "test",
        "width": 4,
        "height": 4,
        "icons": {"left": {"body": body}, "wide": {"body": '<path d="M0 0h4v2h-4z"/>', "height": 2}},
        "aliases": {"right": {"parent": "left", "hFlip": True}},
    }
    draw = script._renderer(8)
    left, right, wide = (draw(script._svg(table, name)) for name in ("left", "right", "wide"))
    assert (right == left[:, ::-1]).all() and (left[:, :2] == 0).all() and (left[:, 2:] == 255).all()
    assert (wide[2:6] == 0).all() and (wide[:2] == 255).all() and (wide[6:] == 255).all()

"""The reader of YAML and JSON: plain values within bounds, or the reason in one sentence; never anything else."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from metricgrad._documents import NumberField, Unreadable, WholeField, content_of, json_value, yaml_document

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abkm-_é", min_size=1), inner, max_size=4)
    ),
    max_leaves=12,
)
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)
PIECES = [
    "a: ",
    "b: ",
    "- ",
    "? ",
    ": ",
    "&a ",
    "*a",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\n",
    "\n  ",
    "!!int ",
    "!!python/name:os ",
    "!x ",
    "<<: ",
    "2020-99-99",
    "1" * 5000,
    "0x_",
    ".inf",
    "1e999",
    "-.5",
    "07",
    "1:30",
    "yes",
    "~",
    "'",
    '"',
    "|\n",
    ">-\n",
    "# ",
    "%YAML 1.3\n",
    "---\n",
    "...\n",
    "\t",
    "\ufeff",
    "\x00",
    "\x85",
    '"\\ud800"',
    '"\\x',
    "=",
    "@",
    "`",
    "é",
    "[" * 60,
    "]" * 60,
]


@given(PLAIN)
@settings(max_examples=60)
def test_what_is_dumped_is_read(value: Any) -> None:
    """YAML and JSON of plain values give them back: what a run writes it can read."""
    assert yaml_document(yaml.safe_dump(value, allow_unicode=True)).value == value
    assert json_value(json.dumps(value)) == value


@example("*a" + "1" * 5000)
@example("!x" + "1" * 5000 + " a")
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@settings(max_examples=120)
def test_random_yaml_is_read_or_refused(text: str) -> None:
    """Whatever the text: a value of plain types, or Unreadable."""
    try:
        value, lines = yaml_document(text)
    except Unreadable as error:
        assert "\n" not in str(error) and len(str(error)) < 400
        return
    assert all(line >= 1 for line in lines.values())
    assert yaml_document(yaml.safe_dump(value, allow_unicode=True)).value == value


@given(
    st.binary(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=8).map(lambda p: "".join(p).encode())
)
@settings(max_examples=120)
def test_random_bytes_are_read_or_refused(content: bytes) -> None:
    """The same of bytes, for both kinds of document."""
    for read in (yaml_document, json_value):
        try:
            read(content)
        except Unreadable as error:
            assert str(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: !!timestamp x", "tag"),
        ("a: !!binary aGk=", "tag"),
        ("!!omap [a: 1]", "tag"),
        ("? {a: b}\n: 3", "a key is a list or a mapping"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "line 4: the key 'c' is given twice"),
        ("on: 1\nyes: 2", "given twice"),
        ("1: a\n1.0: b", "given twice"),
        ("a: " + "{b: " * 51 + "1" + "}" * 51, "more than 50 levels"),
        ("a: &a\n  b: &b [*a]\n", "contains itself"),
        (BOMB, "more than 100,000 values"),
        ("a: -" + "9" * 301, "302 characters"),
        ("a: -1e400", "no finite number"),
        ("a: .NaN", "no finite number"),
        ('a: "\\udfff"', "surrogate"),
        (b"a: \xff", "UTF-8 text (byte 3)"),
        ("a: 1\n--- \nb: 1", "another document"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, words: str) -> None:
    """Each with its reason, and its line where there is one."""
    with pytest.raises(Unreadable) as caught:
        yaml_document(text)
    assert words in str(caught.value)


def test_a_document_of_a_run() -> None:
    """What a Python caller gave comes back from the run's own file: infinities and undecodable names of files."""
    given = {"limit": float("inf"), "least": -float("inf"), "path": "data/\udcff"}
    assert yaml_document(yaml.safe_dump(given, allow_unicode=True), own=True).value == given


def test_what_stays_text() -> None:
    """Dates, and numbers that readers of YAML understand differently, are what a reader sees."""
    value = yaml_document("[2020-01-01, 010, 0x1F, 1:30, 1_000, 1e-3, -.5, +7, 1.5_0]").value
    assert value == ["2020-01-01", "010", "0x1F", "1:30", 1000, 1e-3, -0.5, 7, 1.5]
    assert yaml_document("").value is None
    assert yaml_document("a: &a [1]\nb: *a").value == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a": ' * 300 + "1" + "}" * 300, "nested too deeply"),
        ('{"a": ' + "7" * 5000 + "}", "5,000 digits"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is given twice"),
        ("{'a': 1}", "not JSON"),
        ("", "not JSON"),
    ],
)
def test_json_that_is_refused(text: str, words: str) -> None:
    """Depth, length, keys given twice and other notations."""
    with pytest.raises(Unreadable, match=words):
        json_value(text)


def test_half_a_surrogate_pair_becomes_a_sign_that_can_be_printed() -> None:
    """Only halves are replaced, in keys and values; whole pairs are characters."""
    value = json_value('{"\\ud800": ["\\udc00x", "\\ud83d\\ude00"]}')
    assert value == {"\ufffd": ["\ufffdx", "😀"]}
    assert json.dumps(value, ensure_ascii=False).encode()


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    """No folder, no link unless the user's own, no pipe (which would block), no device, nothing too large."""
    (tmp_path / "file").write_text("a: 1", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**10)
    assert content_of(tmp_path / "file") == content_of(tmp_path / "link", linked=True) == b"a: 1"
    for name, reason in {
        "link": "link",
        "pipe": "pipe",
        "sparse": "10,000,000,000 bytes",
        ".": "Is a directory",
        "none": "No such file",
        "n" * 300: "too long",
        "a\0b": "null",
    }.items():
        with pytest.raises(Unreadable, match=reason):
            content_of(tmp_path / name)
    with pytest.raises(Unreadable, match="device"):
        content_of(Path("/dev/zero"), linked=True)


def test_numbers_in_fields() -> None:
    """Neither true nor a text is a number, and infinity is none either."""

    class Model(BaseModel):
        whole: WholeField = 1
        number: NumberField | None = None

    assert Model(whole=3, number=2).number == 2.0
    for wrong in (
        {"whole": True},
        {"whole": "3"},
        {"whole": 1.5},
        {"number": False},
        {"number": float("inf")},
        {"number": "1"},
    ):
        with pytest.raises(ValidationError):
            Model(**wrong)

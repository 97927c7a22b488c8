"""Files that somebody else may have written: read whole and within bounds, or refused with the reason in one sentence.

Only ordinary files are opened: no link (where a link could lead out of a run folder), no pipe, no device. YAML and JSON
become plain values: mappings, lists, texts, finite numbers, true, false and null. What YAML knows beyond that (tags,
dates, binary data, merged keys, numbers to the base of 60) is refused or stays text, so that a document says what a
reader sees in it.
"""

import contextlib
import errno
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import BeforeValidator

from metricgrad.errors import InputError

__all__ = [
    "Document",
    "NumberField",
    "Unreadable",
    "WholeField",
    "content_of",
    "json_value",
    "opened_file",
    "yaml_document",
]

MEGABYTE = 2**20
DEEPEST = 50
"""Levels of lists and mappings in YAML."""
DEEPEST_JSON = 200
MOST_VALUES = 100_000
"""Values in a YAML document, aliases spelt out: a few lines of aliases can stand for billions."""
LONGEST_NUMBER = 300
"""Digits of a number: more are no number that anything here could use, and too large for a float."""


class Unreadable(InputError):
    """Why a file or a text cannot be read; callers say which one it is and what to do."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason, self.line = reason, line


class Document(NamedTuple):
    """What YAML says, and the line of every key by its dotted path."""

    value: Any
    lines: Mapping[str, int]


def _whole(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("input should be a valid integer")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool | str) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("input should be a finite number")
    return value


WholeField = Annotated[int, BeforeValidator(_whole)]
"""A field that holds a whole number: true is none, and text is none, whatever it spells."""
NumberField = Annotated[float, BeforeValidator(_number)]
"""The same of a finite number."""


@contextlib.contextmanager
def opened_file(path: Path, *, linked: bool = False) -> Iterator[int]:
    """Open an ordinary file for reading and yield its descriptor.

    Args:
        path: of the file.
        linked: whether the path may be a link; the user's own paths may, those inside a run folder may not.

    Raises:
        Unreadable: no such file, a folder, a link, a pipe, a device, or not allowed.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | (0 if linked else getattr(os, "O_NOFOLLOW", 0)))
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        link = isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.EMLINK) and not linked
        reason = (
            "it is a link, which is not followed" if link else getattr(error, "strerror", None) or str(error)
        )
        raise Unreadable(reason) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise Unreadable(
                "Is a directory" if stat.S_ISDIR(mode) else "it is a pipe or a device, not a file"
            )
        yield descriptor
    finally:
        os.close(descriptor)


def content_of(path: Path, *, most: int = 16 * MEGABYTE, linked: bool = False) -> bytes:
    """Return the bytes of an ordinary file.

    Args:
        path: of the file.
        most: bytes that it may have.
        linked: whether the path may be a link.

    Raises:
        Unreadable: see `opened_file`; or it is too large.
    """
    with opened_file(path, linked=linked) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        size = os.fstat(descriptor).st_size
        if size > most:
            raise Unreadable(f"it has {size:,} bytes, more than the {most:,} that such a file may have")
        try:
            return file.read(most)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from error


def yaml_document(text: bytes | str, *, own: bool = False) -> Document:
    r"""Read YAML of plain values.

    Args:
        text: one document; bytes are UTF-8.
        own: a document that a run wrote, which may hold what Python's callers gave: an infinity, NaN, half of a
            surrogate pair from the name of a file.

    Returns:
        The value, None for an empty document. Dates, and numbers in other notations than the decimal one, are texts.

    Raises:
        Unreadable: not UTF-8, not YAML, a tag, a key that is no scalar or is given twice, too deep, too large,
            containing itself, a number that is infinite, undefined or very long, or half of a surrogate pair.

    Example:
        >>> yaml_document("steps: 60\nseeds: [0, 1]").value
        {'steps': 60, 'seeds': [0, 1]}
    """
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        _check_outline(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise Unreadable(f"it is not YAML: {problem[:200]}", mark.line + 1 if mark else None) from error
    reader = _Reader(own)
    return Document(None if node is None else reader.value(node, ""), reader.lines)


def json_value(text: bytes | str, *, digits: int = LONGEST_NUMBER) -> Any:
    """Read JSON. NaN and infinities are taken as Python writes them; half of a surrogate pair becomes U+FFFD.

    Args:
        text: one value; bytes are UTF-8.
        digits: of the longest whole number.

    Raises:
        Unreadable: not UTF-8, not JSON, a key given twice, too deep, or a number that is too long.

    Example:
        >>> json_value('{"k": [1, 2.5]}')
        {'k': [1, 2.5]}
    """

    def whole(spelt: str) -> int:
        if len(spelt) > digits + 1:
            raise ValueError(f"a number of {len(spelt):,} digits")
        return int(spelt)

    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        value = json.loads(text, parse_int=whole, object_pairs_hook=_given_once)
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"it is not JSON: {error}") from error
    _check_depth(value)
    return _mended(value) if re.search(r"\\u[dD][89a-fA-F]", text) else value


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"it is not UTF-8 text (byte {error.start})") from error


def _given_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        raise ValueError(f"the key {twice[:80]!r} is given twice")
    return found


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST_JSON):
        level = [
            item
            for outer in level
            if isinstance(outer, list | dict)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise Unreadable("it is nested too deeply")


def _mended(value: Any) -> Any:
    """Replace halves of surrogate pairs, which can neither be printed nor written."""
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mended(item) for item in value]
    return (
        value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, str)
        else value
    )


class _Loader(yaml.SafeLoader):
    """Only composes; also reads 1e-3 and -.5 as numbers, which YAML 1.1 takes for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*[eE][-+]?\d+|\.\d+([eE][-+]?\d+)?)$"),
    list("-+.0123456789"),
)


def _check_outline(text: str) -> None:
    """Refuse tags, depth and length before anything is built: composing recurses."""
    depth = values = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) is not None:
            raise Unreadable(f"it is not YAML of plain values: the tag {event.tag[:80]!r} is not read", line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        values += 1
        if depth > DEEPEST or values > 3 * MOST_VALUES:
            much = f"more than {DEEPEST} levels" if depth > DEEPEST else f"more than {MOST_VALUES:,} values"
            raise Unreadable(f"it has {much}", line)


class _Reader:
    """Makes values of nodes and notes the line of every key."""

    def __init__(self, own: bool) -> None:
        self.own, self.lines = own, {}
        self.read, self.within = 0, []

    def value(self, node: Any, path: str) -> Any:
        """Return the value of a node; what an alias stands for is made anew at every place."""
        line = node.start_mark.line + 1
        self.read += 1
        if self.read > MOST_VALUES:
            raise Unreadable(f"it has more than {MOST_VALUES:,} values", line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line)
        if node in self.within or len(self.within) > DEEPEST:
            raise Unreadable(
                "it is not a document of this kind: a part contains itself, or aliases nest too deeply", line
            )
        self.within.append(node)
        if isinstance(node, yaml.SequenceNode):
            found: Any = [self.value(item, f"{path}.{number}") for number, item in enumerate(node.value)]
        else:
            found = {}
            for key_node, item in node.value:
                key = self._key(key_node, found)
                place = f"{path}.{key_node.value}".removeprefix(".")
                self.lines.setdefault(place, key_node.start_mark.line + 1)
                found[key] = self.value(item, place)
        self.within.pop()
        return found

    def _key(self, node: Any, found: Mapping[Any, Any]) -> Any:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            raise Unreadable("a key is a list or a mapping; expected a word", line)
        key = self._scalar(node, line)
        if key in found:
            raise Unreadable(f"the key {node.value[:80]!r} is given twice", line)
        return key

    def _scalar(self, node: Any, line: int) -> Any:
        kind, text = node.tag.rpartition(":")[2], node.value
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("yes", "true", "on")
        if kind in ("int", "float"):
            value = _spelt(text, line)
            if isinstance(value, float) and not math.isfinite(value) and not self.own:
                raise Unreadable(f"{text[:80]} is no finite number, and only those are read", line)
            return value
        if not self.own and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise Unreadable("a text holds half of a surrogate pair, which is no character", line)
        return text


def _spelt(text: str, line: int) -> Any:
    """Return the number that a text spells; the text where readers differ on what it means (010, 0x1F, 1:30)."""
    if len(text) > LONGEST_NUMBER:
        much = f"{len(text):,} characters, more than any number that is used here"
        raise Unreadable(f"it holds a number of {much}", line)
    plain = text.replace("_", "")
    if re.fullmatch(r"[-+]?(0|[1-9]\d*)", plain):
        return int(plain)
    if re.fullmatch(r"[-+]?\d+", plain):
        return text
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", plain):
        return float(plain)
    named = re.fullmatch(r"([-+]?)\.(inf|nan)", text.lower())
    return float(f"{named[1]}{named[2]}") if named else text

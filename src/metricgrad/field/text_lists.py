"""Pictures of texts that a list file names: `path<tab>text`, `path text`, or `path, "text"` as ICDAR writes it."""

import re
from pathlib import Path

from metricgrad._checks import describe, fail
from metricgrad.field.lines import lines_of
from metricgrad.field.listed import Listed, once, sizes_of
from metricgrad.field.stored import Files

__all__ = ["read_list"]

_QUOTED = re.compile(r'(\S.*?)\s*,\s*"(.*)"')


def read_list(path: Path) -> tuple[Files, list[str], list[str]]:
    """Read a list; its pictures lie beside it, under the paths that it names.

    Args:
        path: of the list. A line with a tab is parted there, one such as `word_1.png, "Tiredness"` as ICDAR means it,
            any other at its first blank.

    Returns:
        The pictures, the text of each, and sentences that the user should see.

    Raises:
        InputError: no such list, a line without a text, a picture with two texts, or pictures that are not there.
    """
    files, texts = [], []
    for number, line in lines_of(path):
        parted = _parted(line)
        if parted is None:
            came = f"it is {describe(line)}"
            raise fail(f"{path} line {number}", came, "the path of a picture, a tab or a blank, and its text")
        files.append(parted[0])
        texts.append(parted[1])
    listed, told = once(Listed(str(path), path.parent, files, texts))
    return Files(listed.root, listed.files, sizes_of(listed)), list(listed.classes), told


def _parted(line: str) -> tuple[str, str] | None:
    """Path and text of a line; None where one of them is missing."""
    quoted = None if "\t" in line else _QUOTED.fullmatch(line.strip())
    if quoted is not None:
        return quoted[1], re.sub(r'\\(["\\])', r"\1", quoted[2])
    file, _, text = line.lstrip().partition("\t") if "\t" in line else line.strip().partition(" ")
    file, text = file.strip(), text.strip()
    return (file, text) if file and text else None

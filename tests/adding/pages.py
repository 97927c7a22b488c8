"""The pages docs/adding-*.md as changes of files and as commands.

A box belongs to the path that the sentence before it names last; without one it is a program. A `python` or `text` box
is a new file. A `diff` box changes one: its lines without `+` stand in the file, once, those with `-` go, and `...` in
them is the rest of a line, which stays. `@@` parts two places. In a `console` box a line after `$` is a command; the
others are among the lines that it prints.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCS", "PAGES", "Box", "Shown", "boxes", "commands", "programs", "write"]

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("adding-*.md"))

_FENCE = re.compile(r"([^\n]+(?:\n[^\n]+)*:)\n\n```(python|text|diff)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PATH = re.compile(r"`((?:src|tests|docs|changelog\.d)/[\w./-]+\.\w+)`")


@dataclass(frozen=True)
class Box:
    """What a page does to a file."""

    path: str
    new: bool
    text: str


@dataclass(frozen=True)
class Shown:
    """A command and the lines that it prints, others among them."""

    words: tuple[str, ...]
    lines: tuple[str, ...]


def boxes(page: Path) -> list[Box]:
    """Return the changes of a page, in order; a box that belongs to no path is none."""
    found = []
    for sentence, language, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        paths = _PATH.findall(sentence)
        if paths:
            found.append(Box(paths[-1], language != "diff", text))
    return found


def programs(page: Path) -> list[str]:
    """Return the Python boxes that belong to no path."""
    text = page.read_text(encoding="utf-8")
    return [
        box
        for sentence, language, box in _FENCE.findall(text)
        if language == "python" and not _PATH.search(sentence)
    ]


def commands(page: Path) -> list[Shown]:
    """Return the commands of a page."""
    found = []
    for text in re.findall(
        r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        for part in text.split("$ ")[1:]:
            command, *lines = part.splitlines()
            found.append(Shown(tuple(_words(command)), tuple(line for line in lines if line.strip())))
    return found


def write(box: Box, root: Path) -> None:
    """Make or change the file of a box under a folder.

    Raises:
        AssertionError: a new file exists; a place that is to be changed is not there once.
    """
    path = root / box.path
    if box.new:
        assert not path.exists(), f"{box.path} is no new file"
        path.write_text(box.text, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    for place in re.split(r"^@@\n", box.text, flags=re.MULTILINE):
        text = _changed(text, place.splitlines(), box.path)
    path.write_text(text, encoding="utf-8")


def _changed(text: str, lines: list[str], path: str) -> str:
    """Return the text with one place of a diff carried out."""
    old = "\n".join(re.escape(line[1:]) for line in lines if line[:1] in " -").replace(r"\.\.\.", "(.*)")
    matches = list(re.finditer(f"^{old}$", text, re.MULTILINE))
    assert len(matches) == 1, f"{path} holds this {len(matches)} times:\n" + "\n".join(lines)
    new = "\n".join(line[1:] for line in lines if line[:1] in " +")
    for rest in matches[0].groups():
        new = new.replace("...", rest, 1)
    return text[: matches[0].start()] + new + text[matches[0].end() :]


def _words(command: str) -> list[str]:
    """Take a command apart as a shell does, without its pipes and variables."""
    return shlex.split(command)

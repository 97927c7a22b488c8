"""What a list names: pictures of a folder and their classes; whether all are there, and how many they should be."""

import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from metricgrad._checks import fail

__all__ = ["Counts", "Listed", "Parts", "apart", "by_number", "differing", "official", "once", "sizes_of"]

_OUTSIDE = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:")
"""A path that leaves the folder: a list may be somebody else's."""


@dataclass(frozen=True)
class Listed:
    """Pictures that a list names.

    Attributes:
        source: the list, for messages.
        root: the folder that the names begin in.
        files: path of each picture in `root`.
        classes: class of each, as the list writes it.
    """

    source: str
    root: Path
    files: Sequence[str]
    classes: Sequence[str]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.files)

    @property
    def count(self) -> int:
        """The number of classes."""
        return len(set(self.classes))

    def rows(self, kept: Sequence[int]) -> "Listed":
        """Return some of the pictures."""
        files, classes = ([column[row] for row in kept] for column in (self.files, self.classes))
        return replace(self, files=files, classes=classes)


class Parts(NamedTuple):
    """A data set in its official parts.

    Attributes:
        train: what is learned from; select is held back from its classes.
        test: the official test; its queries, where there is a gallery.
        gallery: what they are ranked against; None for each other.
        told: sentences that the user should see.
    """

    train: Listed
    test: Listed
    gallery: Listed | None = None
    told: Sequence[str] = ()


class Counts(NamedTuple):
    """What a source says of a part.

    Attributes:
        pictures: None where sources disagree.
        classes: in it.
    """

    pictures: int | None
    classes: int

    def __str__(self) -> str:
        """Return both in words."""
        pictures = "" if self.pictures is None else f"{self.pictures:,} pictures of "
        return f"{pictures}{self.classes:,} classes"


def differing(part: str, listed: Listed, *known: Counts) -> list[str]:
    """Return a sentence where the counts of a part are none of the known ones.

    Example:
        >>> birds = Listed("images.txt", Path("."), ["a.jpg"], ["1"])
        >>> differing("train", birds, Counts(5864, 100))
        ['train has 1 pictures of 1 classes; the published data set has 5,864 pictures of 100 classes']
    """
    found = Counts(len(listed), listed.count)
    if any(found.classes == one.classes and one.pictures in (None, found.pictures) for one in known):
        return []
    return [f"{part} has {found}; the published data set has {' or '.join(map(str, known))}"]


def once(listed: Listed) -> tuple[Listed, list[str]]:
    """Leave out pictures that are named again: a picture would be its own, perfect, positive.

    Returns:
        The pictures, each once, and a sentence where some were named again.

    Raises:
        InputError: one is named with two classes, or its path leaves the folder.
    """
    first: dict[str, int] = {}
    for row, (file, name) in enumerate(zip(listed.files, listed.classes, strict=True)):
        if _OUTSIDE.search(file):
            raise fail(listed.source, f"it names {file!r}", f"a path within {listed.root}")
        known = first.setdefault(file, row)
        if listed.classes[known] != name:
            came = f"{file} is named with the classes {listed.classes[known]!r} and {name!r}"
            raise fail(listed.source, came, "one class per picture")
    again = len(listed) - len(first)
    if not again:
        return listed, []
    several = next(file for file, count in Counter(listed.files).items() if count > 1)
    told = f"{listed.source} names {again:,} pictures again, first {several}; each is taken once"
    return listed.rows(list(first.values())), [told]


def apart(*parts: Listed, classes: bool = True) -> None:
    """Refuse parts that share a picture or, where that matters, a class.

    Raises:
        InputError: with how many, and the first.
    """
    for place, one in enumerate(parts):
        for other in parts[place + 1 :]:
            for what, shared in (
                ("pictures", set(one.files) & set(other.files) if one.root == other.root else set()),
                ("classes", set(one.classes) & set(other.classes) if classes else set()),
            ):
                if shared:
                    came = f"{one.source} and {other.source} share {len(shared):,} {what}, e.g. {min(shared)}"
                    remedy = "What was trained on cannot judge: take the official lists as they are."
                    raise fail("lists", came, f"parts without common {what}", remedy)


def by_number(
    source: str, root: Path, entries: Sequence[tuple[str, str]], last_train: int, last: int
) -> tuple[Listed, Listed]:
    """Divide pictures by the numbers of their classes, as [ohsong2016lifted] does: the first ones are train.

    Args:
        source: for messages.
        root: the folder that the names begin in.
        entries: path and class of each picture; classes are whole numbers from 1 to `last`.
        last_train: the last class of train; the others are test.
        last: of all classes.

    Returns:
        Train and test.

    Raises:
        InputError: one of them has no picture.
    """
    found = []
    for part, first, end in (("train", 1, last_train), ("test", last_train + 1, last)):
        chosen = [one for one in entries if first <= int(one[1]) <= end]
        if not chosen:
            raise fail(f"{source} ({part})", "no picture is named", f"classes {first} to {end}")
        found.append(
            Listed(f"{source} ({part})", root, [one[0] for one in chosen], [one[1] for one in chosen])
        )
    train, test = found
    return train, test


def official(train: Listed, test: Listed, of_train: Sequence[Counts], of_test: Sequence[Counts]) -> Parts:
    """Return train and test with each picture once.

    Args:
        train: as listed.
        test: as listed.
        of_train: what sources say of train; a sentence is told where it is none of them.
        of_test: what they say of test.

    Raises:
        InputError: they share a class or a picture, one is named with two classes, or its path leaves the folder.
    """
    (train, twice), (test, more) = once(train), once(test)
    apart(train, test)
    counts = [*differing("train", train, *of_train), *differing("test", test, *of_test)]
    return Parts(train, test, told=[*twice, *more, *counts])


def sizes_of(listed: Listed) -> list[int]:
    """Return the size of every file in bytes.

    Raises:
        InputError: some are not there, are no file or are empty; with how many, and the first.

    Cost:
        One look into the folder per picture, which is not opened: a second or two for 120,000 on a local disk.
    """
    root, sizes, missing = str(listed.root), [], []
    for file in listed.files:
        try:
            found = os.stat(f"{root}/{file}")
        except (OSError, ValueError):  # ValueError: a null character in the name
            missing.append(file)
            continue
        if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
            missing.append(file)
            continue
        sizes.append(found.st_size)
    if missing:
        raise fail(
            listed.source,
            f"{len(missing):,} of its {len(listed):,} pictures are not in {listed.root}, or empty, first {missing[0]}",
            "all of them",
            "Unpack the pictures of the data set there, or say where they are with --data.",
        )
    return sizes

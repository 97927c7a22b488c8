"""All pictures of the task words: who is drawn in which split, drawn once in several processes, kept on disk."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from metricgrad._checks import extra, fail
from metricgrad._types import Observer
from metricgrad.tasks.drawing import PART, Part, drawn_splits
from metricgrad.tasks.kept import kept_splits
from metricgrad.tasks.words_pictures import (
    FONTS,
    VERSION,
    WORD_LIST,
    draw_word,
    font_files,
    read_words,
    usable_fonts,
)

__all__ = ["WordPictures", "WordSets", "divided_words", "draw_words", "kept_words"]

SHARES = (0.6, 0.15)
"""Share of the words in fit and in select; the others are test."""


class WordPictures(NamedTuple):
    """The pictures of a split, and the number of each one's font among the fonts of the split."""

    pictures: UInt8[np.ndarray, "sample 32 128"]
    font: Int64[np.ndarray, "sample"]


class WordSets(NamedTuple):
    """The pictures of all splits, as `kept_words` returns them."""

    splits: dict[str, WordPictures]
    words: dict[str, list[str]]
    fonts: dict[str, list[str]]
    key: str


def divided_words(words: list[str], counts: Mapping[str, int], *, seed: int) -> dict[str, list[str]]:
    """Draw the words of each split, each word once and in one split at most.

    Args:
        words: all of them, each once.
        counts: how many fit, select and test have. Of the words 0.6 may go to fit, 0.15 to select and 0.25 to test,
            whatever the counts are: the words of a smaller count are the first of a larger one.
        seed: of the division.

    Raises:
        InputError: a count is larger than the split's share.

    Example:
        >>> divided_words(["ant", "bee", "cat", "dog", "elk"], {"fit": 2, "test": 1}, seed=0)
        {'fit': ['cat', 'elk'], 'test': ['bee']}
    """
    order = np.random.default_rng(seed).permutation(len(words))
    fit, select = round(SHARES[0] * len(words)), round(SHARES[1] * len(words))
    names: list[str] = list(FONTS)
    parts: dict[str, np.ndarray] = dict(zip(names, np.split(order, [fit, fit + select]), strict=True))
    for name, count in counts.items():
        if count > len(parts[name]):
            raise fail(
                "task words",
                f"{count} pictures of {name}",
                f"at most {len(parts[name])}: its words, one picture each",
            )
    return {name: [words[row] for row in parts[name][:count].tolist()] for name, count in counts.items()}


def draw_words(
    words: Mapping[str, Sequence[str]],
    fonts: Mapping[str, Sequence[Sequence[Path]]],
    *,
    seed: int = 0,
    processes: int | None = None,
    observer: Observer | None = None,
) -> dict[str, WordPictures]:
    """Draw the words of several splits, in other processes where there are many.

    Args:
        words: of each split.
        fonts: font files of each package of each split.
        seed: of all pictures.
        processes: that draw; None for the number of cores, and for this one alone below 1,500 pictures.
        observer: called with progress, in pictures.

    Returns:
        The pictures of each split in the order of the words.

    Raises:
        InputError: a process ended, or was not able to begin.
        MissingExtraError: Pillow is not installed.

    Cost:
        About 2 ms a picture and process, and a few seconds to start processes.
    """
    parts = [
        Part(name, len(chunk), _Work(chunk, fonts[name], (seed, number), start))
        for number, name in enumerate(words)
        for start in range(0, len(words[name]), PART)
        for chunk in [list(words[name][start : start + PART])]
    ]
    return drawn_splits(
        _draw_part, parts, task="words", what="words", unit="picture", processes=processes, observer=observer
    )


class _Work(NamedTuple):
    """Words that one process draws at once: the first one has the number `start` in its split."""

    words: list[str]
    fonts: Sequence[Sequence[Path]]
    key: tuple[int, int]
    start: int


def _draw_part(part: _Work) -> WordPictures:
    """Draw the words of a part."""
    numbers = {path: number for number, path in enumerate(chain(*part.fonts))}
    drawn = [
        draw_word(word, part.fonts, (*part.key, part.start + place)) for place, word in enumerate(part.words)
    ]
    pictures = np.stack([picture for picture, _ in drawn])
    return WordPictures(pictures, np.array([numbers[path] for _, path in drawn], dtype=np.int64))


def kept_words(
    folder: Path,
    counts: Mapping[str, int],
    *,
    seed: int = 0,
    cache: Path | None = None,
    processes: int | None = None,
    observer: Observer | None = None,
) -> WordSets:
    """Read the pictures of fit, select and test, or draw and keep them.

    Args:
        folder: of the fonts and the word list (`fonts_folder`).
        counts: pictures of each split, at least 1.
        seed: of the division of the words among the splits and of the pictures.
        cache: folder of the pictures; None takes the one that `cache_folder` says.
        processes: that draw; None for the number of cores.
        observer: called with progress (in pictures) and with notes about a damaged file.

    Returns:
        `splits`; `words`, one a picture; `fonts`, one a picture: package and file; and `key`, 64 hexadecimal digits of
        everything that settles the pixels: fonts, word list, division, seed, counts, the version of this code, of
        Pillow, of the library that draws the letters, and of numpy.

    Raises:
        InputError: more pictures than words, fonts that cannot be read, a cache folder that cannot be written, or a
            process that ended.
        MissingExtraError: Pillow is not installed.

    Cost:
        27,000 pictures take about a minute of one core, once, and 111 MB; then a read of half a second.
    """
    words = divided_words(read_words(folder), counts, seed=seed)
    files = {name: font_files(folder, packages) for name, packages in FONTS.items()}
    key = _key(folder, files, words, seed)

    def draw() -> dict[str, WordPictures]:
        fonts = {name: usable_fonts(groups) for name, groups in files.items()}
        drawn = draw_words(words, fonts, seed=seed, processes=processes, observer=observer)
        return {name: _renumbered(drawn[name], fonts[name], files[name]) for name in words}

    found = kept_splits("words", key, WordPictures, list(words), draw, cache=cache, observer=observer)
    names = {}
    for name, pictures in found.items():
        known = [f"{path.parent.name}/{path.stem}" for path in chain(*files[name])]
        names[name] = [known[number] for number in pictures.font]
    return WordSets(found, words, names, key)


def _renumbered(
    drawn: WordPictures, fonts: Sequence[Sequence[Path]], files: Sequence[Sequence[Path]]
) -> WordPictures:
    """Number the fonts among all files, so that nobody need look through the files to name them."""
    places = {path: number for number, path in enumerate(chain(*files))}
    among_all = np.array([places[path] for path in chain(*fonts)], dtype=np.int64)
    return drawn._replace(font=among_all[drawn.font])


def _key(
    folder: Path,
    files: Mapping[str, Sequence[Sequence[Path]]],
    words: Mapping[str, Sequence[str]],
    seed: int,
) -> str:
    """Name the pictures by everything that settles their pixels."""
    features = extra("PIL.features", "emoji", "drawing words")
    letters = {
        f"{name}/{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for name, groups in files.items()
        for path in chain(*groups)
    }
    versions = [VERSION, features.version("pil"), features.version("freetype2"), np.__version__]
    listed = hashlib.sha256((folder / WORD_LIST).read_bytes()).hexdigest()
    drawn = hashlib.sha256(json.dumps(words).encode()).hexdigest()
    return hashlib.sha256(json.dumps([letters, listed, drawn, seed, versions]).encode()).hexdigest()

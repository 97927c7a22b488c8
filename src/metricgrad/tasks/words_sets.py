"""All pictures of the task words: who is drawn in which split, drawn once in several processes, kept on disk.

The pictures lie in one file that is written beside its place and renamed. It carries a key of everything that settles
their pixels, and a checksum: a file that is cut off or altered is reported and drawn again, never used.
"""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from metricgrad._checks import extra, fail
from metricgrad._records import Note, Progress, event_of
from metricgrad._types import Observer
from metricgrad.tasks.features import cache_folder
from metricgrad.tasks.words_pictures import (
    FONTS,
    HEIGHT,
    VERSION,
    WIDTH,
    WORD_LIST,
    draw_word,
    font_files,
    read_words,
    usable_fonts,
)

__all__ = ["WordPictures", "WordSets", "divided_words", "draw_words", "kept_words"]

SHARES = (0.6, 0.15)
"""Share of the words in fit and in select; the others are test."""

_PART = 500  # pictures that a process draws at once
_FEW = 1500  # fewer are drawn here: other processes take longer to start
_KEY = "words"  # one key only: safetensors writes several in no fixed order


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
    total = sum(map(len, words.values()))
    if processes is None:
        processes = 1 if total < _FEW else os.cpu_count() or 1
    parts = [
        _Part(list(words[name][start : start + _PART]), fonts[name], (seed, number), start)
        for number, name in enumerate(words)
        for start in range(0, len(words[name]), _PART)
    ]
    names = [name for name in words for _ in range(0, len(words[name]), _PART)]
    found: dict[str, list[WordPictures]] = {name: [] for name in words}
    done = 0
    for name, part, pictures in zip(names, parts, _drawn(parts, processes), strict=True):
        found[name].append(pictures)
        done += len(part.words)
        if observer is not None:
            observer(event_of(Progress(what="words", done=done, total=total, unit="picture")))
    return {
        name: WordPictures(*(np.concatenate(arrays) for arrays in zip(*several, strict=True)))
        for name, several in found.items()
    }


class _Part(NamedTuple):
    """Words that one process draws at once: the first one has the number `start` in its split."""

    words: list[str]
    fonts: Sequence[Sequence[Path]]
    key: tuple[int, int]
    start: int


def _drawn(parts: list[_Part], processes: int) -> Iterator[WordPictures]:
    """Draw the parts here or in other processes, in order."""
    if processes == 1:
        yield from map(_draw_part, parts)
        return
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(_draw_part, parts)
    except BrokenProcessPool as error:
        raise fail(
            "task words",
            f"a process that draws words ended ({error})",
            "processes that can start and have memory",
            'Call the task below `if __name__ == "__main__":` in your script, or set data.processes=1.',
        ) from error


def _draw_part(part: _Part) -> WordPictures:
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
    path = cache_folder(cache) / f"words-{key}.safetensors"
    found = _read(path, key, words, observer)
    if found is None:
        fonts = {name: usable_fonts(groups) for name, groups in files.items()}
        found = draw_words(words, fonts, seed=seed, processes=processes, observer=observer)
        found = {name: _renumbered(found[name], fonts[name], files[name]) for name in words}
        _keep(path, key, found)
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


def _keep(path: Path, key: str, found: Mapping[str, WordPictures]) -> None:
    """Write pictures into the cache folder, or say what keeps them out."""
    try:
        _write(path, key, found)
    except OSError as error:
        raise fail(
            "task words",
            f"the pictures cannot be kept in {path.parent} ({error.strerror or error})",
            "a folder that can be written, with room for 111 MB",
            "Make room there, or set METRICGRAD_CACHE to another folder.",
        ) from error


def _read(
    path: Path, key: str, words: Mapping[str, Sequence[str]], observer: Observer | None
) -> dict[str, WordPictures] | None:
    """The pictures in a file, or None where there is no file or a damaged one (which the observer hears of)."""
    if not os.path.exists(path):  # unlike Path.exists, False in a folder that may not be looked into
        return None
    try:
        with safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            found = {
                name: WordPictures(*(file.get_tensor(f"{name}.{field}") for field in WordPictures._fields))
                for name in words
            }
        shapes = {name: (len(words[name]), HEIGHT, WIDTH) for name in words}
        fits = {name: pictures.pictures.shape for name, pictures in found.items()} == shapes
        if facts == {"key": key, "sha256": _checksum(found)} and fits:
            return found
        wrong = "do not have their key and checksum"
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        wrong = f"cannot be read ({type(error).__name__}: {error})"
    if observer is not None:
        observer(event_of(Note(f"The kept pictures {path} {wrong}; they are drawn again.")))
    return None


def _write(path: Path, key: str, found: Mapping[str, WordPictures]) -> None:
    """Write pictures beside their place, bring them to the disk and rename them into it."""
    arrays = {
        f"{name}.{field}": array
        for name, pictures in found.items()
        for field, array in pictures._asdict().items()
    }
    facts = json.dumps({"key": key, "sha256": _checksum(found)})
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(save(arrays, metadata={_KEY: facts}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _checksum(found: Mapping[str, WordPictures]) -> str:
    """sha256 of all values, in the order of the splits."""
    total = hashlib.sha256()
    for name in found:
        for array in found[name]:
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()

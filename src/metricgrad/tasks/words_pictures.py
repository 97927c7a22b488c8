"""Pictures of words: fonts of Debian packages, grey, slightly turned, in poor contrast, blurred and noisy.

The fonts are not in the package: `scripts/fetch-fonts` brings them. Every Debian package of fonts belongs to one split,
so that no design of letters, in no weight or slope, is in two. Font files whose letters cannot be told apart, or whose
lower case is upper case in small, are left out.

Every picture is drawn from a key of its own (seed, split, number): neither how many there are nor the number of
processes moves a pixel of it.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from metricgrad._checks import extra, fail
from metricgrad.tasks.folders import data_folder

__all__ = [
    "ALPHABET",
    "FONTS",
    "HEIGHT",
    "VERSION",
    "WIDTH",
    "draw_word",
    "font_files",
    "fonts_folder",
    "read_words",
    "usable",
    "usable_fonts",
]

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
HEIGHT, WIDTH = 32, 128
"""Of a picture, in pixels."""
VERSION = 1
"""Of the arithmetic in this file: another number makes other pictures."""

FONTS = {
    "fit": {
        "fonts-adf-accanthis": "GPL-2+ with font exception",
        "fonts-adf-gillius": "GPL-2+ with font exception",
        "fonts-adf-universalis": "GPL-2+ with font exception",
        "fonts-comfortaa": "OFL-1.1",
        "fonts-croscore": "Apache-2.0 or OFL-1.1",
        "fonts-dejavu-core": "Bitstream Vera licence",
        "fonts-dkg-handwriting": "OFL-1.1",
        "fonts-essays1743": "OFL-1.1 or LGPL-2.1",
        "fonts-georgewilliams": "OFL-1.1 or BSD-3-Clause",
        "fonts-inconsolata": "OFL-1.0",
        "fonts-junction": "OFL-1.1",
        "fonts-lato": "OFL-1.1",
        "fonts-linuxlibertine": "OFL-1.1 or GPL-2+ with font exception",
        "fonts-lobstertwo": "OFL-1.1",
        "fonts-monofur": "OFL-1.1",
        "fonts-okolaks": "OFL-1.1",
        "fonts-oldstandard": "OFL-1.0",
        "fonts-roboto-slab": "Apache-2.0",
        "fonts-rufscript": "GPL-3 with font exception",
        "fonts-sjfonts": "GPL-2 with font exception",
    },
    "select": {
        "fonts-breip": "OFL-1.0",
        "fonts-courier-prime": "OFL-1.1",
        "fonts-ebgaramond": "OFL-1.1",
        "fonts-open-sans": "Apache-2.0",
        "fonts-play": "OFL-1.1",
    },
    "test": {
        "fonts-adf-baskervald": "GPL-2+ with font exception",
        "fonts-anonymous-pro": "OFL-1.1",
        "fonts-cantarell": "OFL-1.1",
        "fonts-crosextra-caladea": "Apache-2.0 or OFL-1.1",
        "fonts-dosis": "OFL-1.1",
        "fonts-leckerli-one": "OFL-1.1",
    },
}
"""Whose letters a split is drawn in: Debian packages and their licences."""

WORD_LIST = Path("wamerican") / "american-english"
"""Of the Debian package wamerican: SCOWL, whose parts may be used and copied freely under their notices."""

SIZE = 44  # of the letters before they are scaled, in pixels
FINE = 2  # pictures are drawn at this multiple of their size and averaged down
INK = (0.7, 0.98)  # height of the word, as a share of the picture's
LEAST_INK = 0.7  # of the height of a line, counted for words without ascenders and descenders
STRETCH = (0.8, 1.3)  # of the width
TURN = np.radians(5.0)
SLANT = 0.2  # of the upright strokes, either way
CONTRAST = (50.0, 150.0)  # between letters and ground, in grey levels
SHADE = 15.0  # of the ground: largest standard deviation of slow changes
BLUR = 0.9  # largest standard deviation, in pixels
NOISE = 0.25  # largest standard deviation, as a share of the contrast
STROKE = 0.15  # share of the pictures with a line through the word

_FILES = {".ttf", ".otf"}
_DIFFERENT = "abdeghnqrt"  # their two cases differ in shape, not in size alone
_ALIKE = 0.57  # largest correlation of a letter's two cases, scaled to one size; of small capitals it is 0.8 or more


def fonts_folder(folder: Path | None = None) -> Path:
    """Return the first folder that holds all packages of fonts and the word list.

    Args:
        folder: where the user says that they are; no other place is tried then.

    Returns:
        `folder`, or of `$METRICGRAD_DATA/words` and `words` in the user's cache folder the first that has all.

    Raises:
        InputError: none has them; the message says how to get them.
    """
    return data_folder(
        "words",
        "words",
        [str(WORD_LIST), *(package for packages in FONTS.values() for package in packages)],
        given=folder,
        what="the word list and the fonts, a folder for each of the Debian packages,",
        remedy="Get them with scripts/fetch-fonts (no root needed)",
    )


def font_files(folder: Path, packages: Iterable[str]) -> list[list[Path]]:
    """Return the font files of each package, packages and files ordered by name.

    Args:
        folder: has a folder for each package.
        packages: their names, as in `FONTS`.
    """
    return [
        sorted(path for path in (folder / package).iterdir() if path.suffix.lower() in _FILES)
        for package in sorted(packages)
    ]


def usable_fonts(files: Sequence[Sequence[Path]]) -> list[list[Path]]:
    """Return the usable ones of the font files of each package.

    Raises:
        InputError: a package has none.
        MissingExtraError: Pillow is not installed.

    Cost:
        About 10 ms a file when it is first asked for.
    """
    found = [[path for path in paths if _usable_file(path, path.stat().st_mtime_ns)] for paths in files]
    for paths, kept in zip(files, found, strict=True):
        if not kept:
            raise fail(
                "task words",
                f"a package of fonts has the files {[path.name for path in paths]}",
                "a font (ttf, otf) with lower-case letters in each package",
                "Delete its folder and fetch it again: scripts/fetch-fonts",
            )
    return found


@lru_cache(maxsize=1024)
def _usable_file(path: Path, changed: int) -> bool:
    """`usable`, remembered for a file that has not been changed since."""
    del changed
    return usable(path)


def read_words(folder: Path) -> list[str]:
    """Return the lower-case words of 3 to 12 letters a to z of the word list, each once, in order.

    Raises:
        InputError: fewer than a thousand are there.
    """
    lines = (folder / WORD_LIST).read_text(encoding="utf-8", errors="replace").split()
    found = sorted({line for line in lines if re.fullmatch("[a-z]{3,12}", line)})
    if len(found) < 1000:
        raise fail(
            "task words",
            f"{folder / WORD_LIST} has {len(found)} words of 3 to 12 letters",
            "at least 1,000",
            "Delete that folder and fetch it again: scripts/fetch-fonts",
        )
    return found


def usable(path: Path) -> bool:
    """Say whether a font has 26 different lower-case letters, each unlike its capital in more than size.

    Args:
        path: of a font file; one that cannot be read is not usable.

    Raises:
        MissingExtraError: Pillow is not installed.

    Cost:
        About 10 ms.
    """
    image, fonts = extra("PIL.Image", "emoji", "drawing words"), _fonts()
    try:
        font = fonts.truetype(str(path), 32, layout_engine=fonts.Layout.BASIC)
        lower = [_glyph(font, letter, image) for letter in ALPHABET]
        upper = [_glyph(font, letter.upper(), image) for letter in _DIFFERENT]
    except OSError:
        return False
    if len({glyph.tobytes() for glyph in lower}) < len(ALPHABET):
        return False
    alike = [
        _correlation(lower[ALPHABET.index(letter)], big)
        for letter, big in zip(_DIFFERENT, upper, strict=True)
    ]
    return bool(np.median(alike) < _ALIKE)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two pictures; 0 where one has a single level."""
    if not (first.std() and second.std()):
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _glyph(font: Any, letter: str, image: ModuleType) -> np.ndarray:
    """A letter cropped to its tight rectangle and scaled to 16 x 16, in [0, 1]; zeros where there is no ink."""
    mask = font.getmask(letter, mode="L")
    if 0 in mask.size or mask.getbbox() is None:
        return np.zeros((16, 16))
    box = mask.getbbox()
    pixels = np.array(mask, dtype=np.uint8).reshape(mask.size[::-1])[box[1] : box[3], box[0] : box[2]]
    return np.asarray(image.fromarray(pixels).resize((16, 16), image.Resampling.BILINEAR)) / 255.0


def _fonts() -> ModuleType:
    return extra("PIL.ImageFont", "emoji", "drawing words")


@lru_cache(maxsize=512)
def _font(path: str) -> Any:
    """A font at the size in which words are written; kept, since a split uses each a hundred times."""
    fonts = _fonts()
    return fonts.truetype(path, SIZE, layout_engine=fonts.Layout.BASIC)  # the same with and without raqm


def draw_word(
    word: str, fonts: Sequence[Sequence[Path]], key: tuple[int, ...]
) -> tuple[UInt8[np.ndarray, "32 128"], Path]:
    """Draw one word.

    The packages have equal chances, then the files of the package. The word is scaled, stretched, slanted, turned and
    put where there is room; narrower where it would be too long. Light on dark or dark on light, on a ground with slow
    changes, sometimes with a line through it; then blurred and noisy.

    Args:
        word: letters.
        fonts: font files of each package.
        key: whole numbers >= 0: the same ones give the same picture.

    Returns:
        The picture, 0 to 255, and the font.

    Raises:
        MissingExtraError: Pillow is not installed.

    Edge cases:
        a word without ink in its font, such as an empty one, is drawn as nothing.

    Cost:
        About 1.5 ms.
    """
    rng = np.random.default_rng(key)
    package = fonts[int(rng.integers(len(fonts)))]
    path = package[int(rng.integers(len(package)))]
    ink = _placed(_written(word, path), rng, line=_line_height(str(path)))
    coverage = np.asarray(_blurred(ink, rng).reduce(FINE), dtype=np.float64) / 255
    contrast = rng.uniform(*CONTRAST)
    between = rng.uniform(contrast, 255)  # the darker of ink and ground lies below, the lighter above
    dark, light = between - contrast, between
    first, second = (dark, light) if rng.random() < 0.5 else (light, dark)
    pixels = first + (second - first) * coverage + _shade(rng)
    pixels += rng.normal(0.0, contrast * rng.uniform(0.0, NOISE), pixels.shape)
    return pixels.clip(0, 255).round().astype(np.uint8), path


def _written(word: str, path: Path) -> Any:
    """A word in a font, white on black, cropped to its tight rectangle with a rim of two pixels; None for no ink."""
    image = extra("PIL.Image", "emoji", "drawing words")
    drawing = extra("PIL.ImageDraw", "emoji", "drawing words")
    font = _font(str(path))
    left, top, right, bottom = font.getbbox(word)
    picture = image.new("L", (max(1, int(right - left)) + SIZE, max(1, int(bottom - top)) + SIZE))
    drawing.Draw(picture).text((SIZE // 2 - left, SIZE // 2 - top), word, font=font, fill=255)
    box = picture.getbbox()
    return None if box is None else picture.crop((box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2))


@lru_cache(maxsize=512)
def _line_height(path: str) -> float:
    """Height from the ascenders to the descenders of a font, in pixels; medians, since some letters swing out."""
    boxes = {letter: _font(path).getbbox(letter) for letter in "bdhklgpqy"}
    top = np.median([boxes[letter][1] for letter in "bdhkl"])
    return float(np.median([boxes[letter][3] for letter in "gpqy"]) - top)


def _placed(written: Any, rng: np.random.Generator, *, line: float) -> Any:
    """The word scaled, stretched, slanted and turned, somewhere on a canvas of the fine size."""
    image = extra("PIL.Image", "emoji", "drawing words")
    drawing = extra("PIL.ImageDraw", "emoji", "drawing words")
    canvas = np.array([WIDTH, HEIGHT]) * FINE
    share = rng.uniform(*INK)
    angle, slant, stretch = rng.uniform(-TURN, TURN), rng.uniform(-SLANT, SLANT), rng.uniform(*STRETCH)
    place, stroke, through = rng.random(2), rng.random() < STROKE, rng.uniform(0.15, 0.85, 2)
    if written is None:
        return image.new("L", tuple(canvas.tolist()))
    size = np.array(written.size, dtype=np.float64)
    scale = share * canvas[1] / max(size[1], LEAST_INK * line)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[stretch, slant], [0.0, 1.0]]) * scale
    reach = np.abs(turn) @ size  # of the turned rectangle
    shrink = np.minimum(1.0, (canvas - FINE) / reach)
    turn, reach = shrink[:, None] * turn, shrink * reach
    centre = reach / 2 + place * (canvas - reach)
    back = np.linalg.inv(turn)
    start = size / 2 - back @ centre
    numbers = (*back[0], start[0], *back[1], start[1])
    ink = written.transform(tuple(canvas.tolist()), image.Transform.AFFINE, numbers, image.Resampling.BICUBIC)
    if stroke:
        ends = [(0.0, through[0] * canvas[1]), (float(canvas[0]), through[1] * canvas[1])]
        drawing.Draw(ink).line(ends, fill=255, width=FINE)
    return ink


def _blurred(ink: Any, rng: np.random.Generator) -> Any:
    """The ink on the fine canvas, out of focus."""
    filters = extra("PIL.ImageFilter", "emoji", "drawing words")
    return ink.filter(filters.GaussianBlur(FINE * rng.uniform(0.0, BLUR)))


def _shade(rng: np.random.Generator) -> np.ndarray:
    """Slow changes of the ground, in grey levels."""
    image = extra("PIL.Image", "emoji", "drawing words")
    coarse = (rng.uniform(0, SHADE) * rng.standard_normal((3, 6))).astype(np.float32)
    slow = image.fromarray(coarse).resize((WIDTH, HEIGHT), image.Resampling.BICUBIC)
    return np.asarray(slow, dtype=np.float64)

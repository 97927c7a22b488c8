"""The emoji pictures: one emoji, drawn by several vendors, each a picture of a class.

A picture file is one safetensors file: every picture as lossless WebP, laid end to end (`bytes`, `offset`), the
vendor and class of each (`vendor`, `label`), and a JSON text that says what they are and where they come from.
"""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from metricgrad._checks import describe, extra, fail, nearest
from metricgrad.errors import InputError
from metricgrad.tasks.png import Pictures

__all__ = ["EMBEDDED_SLICE", "EmojiPictures", "load_pictures", "save_pictures"]

EMBEDDED_SLICE = Path(__file__).parent / "data" / "emoji" / "emoji.safetensors"
_FORMAT = 1
_KEY = "emoji"  # one key only: safetensors writes several in no fixed order


@dataclass(frozen=True, eq=False)
class EmojiPictures:
    """Emoji pictures with their vendor and class, as `load_pictures` returns them.

    Args:
        pictures: uint8 [image, height, width, 3], RGB on white, 0 to 255.
        vendor: int64 [image], index into `vendors`.
        label: int64 [image], the class: index into `names`.
        vendors: names of the picture sets, for example "noto".
        names: one a class: code point and name, for example "1f600 grinning face".
        sources: one mapping a vendor, in the same order: vendor, package, version, licence, author, url.
        digest: sha256 (hexadecimal) of the picture file; the key of whatever is computed from the pictures.
    """

    pictures: UInt8[np.ndarray, "image height width 3"]
    vendor: Int64[np.ndarray, "image"]
    label: Int64[np.ndarray, "image"]
    vendors: tuple[str, ...]
    names: tuple[str, ...]
    sources: tuple[dict[str, str], ...]
    digest: str

    def described(self, rows: Int64[np.ndarray, "_"]) -> list[str]:
        """Return a text for each of these pictures: which emoji, drawn by whom."""
        return [f"{self.names[self.label[row]]} ({self.vendors[self.vendor[row]]})" for row in rows]

    def gallery(self, rows: Int64[np.ndarray, "_"]) -> Pictures:
        """Return these pictures for the gallery of the report."""
        return Pictures(self.pictures[rows], "emoji")

    def taking_part(self, vendors: Sequence[str] | None, *, leave_out: str | None = None) -> set[int]:
        """Return the numbers of the vendors that take part: the named ones or all, and the one left out of fit.

        Raises:
            InputError: an unknown vendor, or fewer than two.
        """
        names = self.vendors if vendors is None else vendors
        for name in (*names, *([] if leave_out is None else [leave_out])):
            if name not in self.vendors:
                raise fail(
                    "task emoji", f"there is no vendor {name!r}", "a known one", nearest(name, self.vendors)
                )
        if len(set(names)) < 2:
            raise fail(
                "task emoji", f"vendors are {list(names)}", "at least two: one alone has nothing to retrieve"
            )
        return {self.vendors.index(name) for name in {*names, leave_out} - {None}}


def load_pictures(path: Path | None = None) -> EmojiPictures:
    """Read a file of emoji pictures and check it against the checksum of the pixels that it carries.

    Args:
        path: a file written by `scripts/build_emoji.py`; None takes the slice of six vendors inside the package.

    Returns:
        The decoded pictures with vendor, class and names.

    Raises:
        InputError: the file is missing, is not such a file, or does not decode to the pixels it was made from.
        MissingExtraError: Pillow is not installed.

    Cost:
        About a second and 90 MB for the slice of the package (6,900 pictures of 64 x 64).

    Example:
        >>> emoji = load_pictures()
        >>> emoji.pictures.shape[1:], emoji.pictures.dtype.name, len(emoji.vendors)
        ((64, 64, 3), 'uint8', 6)
    """
    path = EMBEDDED_SLICE if path is None else Path(path)
    if not path.is_file():
        raise fail(
            "load_pictures",
            f"there is no file {path}",
            "a file written by scripts/build_emoji.py",
            "Write the eight-vendor set with: python scripts/build_emoji.py --all --out FOLDER",
        )
    image_module = _pillow()
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            arrays = {name: file.get_tensor(name) for name in ("bytes", "offset", "vendor", "label")}
        _check_arrays(facts, arrays)
        pictures = _decode(arrays["bytes"], arrays["offset"], facts["size"], image_module)
        if hashlib.sha256(pictures.data).hexdigest() != facts["pixels_sha256"]:
            raise ValueError("the decoded pixels differ from those it was made from")
        return EmojiPictures(
            pictures=pictures,
            vendor=arrays["vendor"].astype(np.int64),
            label=arrays["label"].astype(np.int64),
            vendors=tuple(facts["vendors"]),
            names=tuple(facts["names"]),
            sources=tuple(facts["sources"]),
            digest=digest,
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"load_pictures: {path} cannot be read as emoji pictures ({type(error).__name__}: {error}). It is "
            "damaged or of another format: write it again with scripts/build_emoji.py."
        ) from error


def save_pictures(
    path: Path,
    pictures: np.ndarray,
    vendor: np.ndarray,
    label: np.ndarray,
    *,
    names: Sequence[str],
    sources: Sequence[dict[str, str]],
    made: str,
) -> None:
    """Write pictures as one file that `load_pictures` reads: the same pictures give the same bytes.

    Args:
        path: file to write; it is replaced in one step, or left as it was.
        pictures: uint8 [image, size, size, 3], 0 to 255.
        vendor: [image], index into `sources`.
        label: [image], index into `names`.
        names: one a class.
        sources: one mapping a vendor: vendor, package, version, licence, author, url.
        made: how the pictures were made, in words.

    Raises:
        InputError: the arrays do not fit together.
        MissingExtraError: Pillow is not installed.

    Cost:
        About 1 ms a picture of 64 x 64.
    """
    image_module = _pillow()
    if pictures.ndim != 4 or pictures.shape[1] != pictures.shape[2] or pictures.dtype != np.uint8:
        raise fail("save_pictures", f"pictures are {describe(pictures)}", "uint8 [image, size, size, 3]")
    encoded = [_encode(picture, image_module) for picture in pictures]
    facts = {
        "format": _FORMAT,
        "encoding": "webp-lossless",
        "size": int(pictures.shape[1]),
        "pixels_sha256": hashlib.sha256(np.ascontiguousarray(pictures).data).hexdigest(),
        "made": made,
        "vendors": [source["vendor"] for source in sources],
        "sources": list(sources),
        "names": list(names),
    }
    arrays = {
        "bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "offset": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        "vendor": np.asarray(vendor, dtype=np.int64),
        "label": np.asarray(label, dtype=np.int64),
    }
    try:
        _check_arrays(facts, arrays)
    except ValueError as error:
        raise InputError(f"save_pictures: {error}") from error
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(save(arrays, metadata={_KEY: json.dumps(facts, ensure_ascii=False, sort_keys=True)}))
    os.replace(beside, path)


def _pillow() -> ModuleType:
    """Pillow's Image module, or the line that installs it."""
    return extra("PIL.Image", "emoji", "reading and writing the emoji pictures")


def _check_arrays(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError where counts, offsets or indices contradict each other."""
    if facts["format"] != _FORMAT:
        raise ValueError(f"its format is {facts['format']!r}; this version reads {_FORMAT}")
    offset, images = arrays["offset"], len(arrays["offset"]) - 1
    if images < 1 or offset[0] != 0 or offset[-1] != len(arrays["bytes"]) or (np.diff(offset) <= 0).any():
        raise ValueError("its offsets do not cut its bytes into pictures")
    for name, kinds in (("vendor", len(facts["vendors"])), ("label", len(facts["names"]))):
        index = arrays[name]
        if index.shape != (images,) or index.min() < 0 or index.max() >= kinds:
            raise ValueError(
                f"{name} has shape {list(index.shape)} and values {index.min()} to {index.max()}; expected one of "
                f"0 to {kinds - 1} for each of {images} pictures"
            )


def _encode(picture: np.ndarray, image_module: ModuleType) -> bytes:
    """One picture [size, size, 3] as lossless WebP."""
    stream = io.BytesIO()
    image_module.fromarray(picture).save(stream, "WEBP", lossless=True, quality=100, method=4)
    return stream.getvalue()


def _decode(data: np.ndarray, offset: np.ndarray, size: int, image_module: ModuleType) -> np.ndarray:
    """All pictures, uint8 [image, size, size, 3]; ValueError or OSError where one does not decode."""
    pictures = np.empty((len(offset) - 1, size, size, 3), dtype=np.uint8)
    whole = data.tobytes()
    for index, (start, stop) in enumerate(zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)):
        with image_module.open(io.BytesIO(whole[start:stop]), formats=("WEBP",)) as image:
            if image.size != (size, size):
                raise ValueError(f"picture {index} is {image.size[0]} x {image.size[1]}, not {size} x {size}")
            pictures[index] = np.asarray(image.convert("RGB"))
    return pictures

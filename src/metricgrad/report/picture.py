"""A PNG from a run folder, checked before it is shown: its picture alone, and no picture that would fill the memory."""

import base64
import binascii
import struct
import zlib
from typing import Any

from metricgrad._checks import describe

__all__ = ["checked_picture"]

LARGEST_EDGE = 4096
"""Pixels: a browser takes 64 MB for such a picture; a small file can claim far more."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def checked_picture(item: Any) -> int:
    """Check that an item has a name and a PNG in base64, keep of the PNG what makes its pixels; return their number.

    Text, colour profiles and whatever else a PNG may carry are left out.

    Raises:
        ValueError: something else, a damaged PNG or one of more than `LARGEST_EDGE` pixels a side.
    """
    if not isinstance(item["name"], str):
        raise ValueError(f"name is {describe(item['name'])}")
    name = describe(item["name"])
    try:
        content = base64.b64decode(item["png"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"the picture of {name} is not base64") from error
    if not content.startswith(_SIGNATURE):
        raise ValueError(f"the picture of {name} is not a PNG")
    chunks = _chunks(content[len(_SIGNATURE) :], name)
    width, height = struct.unpack(">II", chunks[0][1][:8]) if chunks[0][0] == b"IHDR" else (0, 0)
    if len(chunks[0][1]) != 13 or not (0 < width <= LARGEST_EDGE and 0 < height <= LARGEST_EDGE):
        raise ValueError(
            f"the picture of {name} is {width} x {height}, not within {LARGEST_EDGE} pixels a side"
        )
    parts = (_chunk(kind, data) for kind, data in chunks if kind in _KEPT)
    item["png"] = base64.b64encode(_SIGNATURE + b"".join(parts)).decode("ascii")
    return width * height


def _chunks(content: bytes, name: str) -> list[tuple[bytes, bytes]]:
    """Return the kind and content of every part, up to the end that a PNG marks."""
    chunks: list[tuple[bytes, bytes]] = []
    while not chunks or chunks[-1][0] != b"IEND":
        length = int.from_bytes(content[:4], "big")
        kind, data, check = content[4:8], content[8 : 8 + length], content[8 + length : 12 + length]
        if len(check) < 4 or int.from_bytes(check, "big") != zlib.crc32(kind + data):
            raise ValueError(f"the picture of {name} is a damaged PNG")
        chunks.append((kind, data))
        content = content[12 + length :]
    return chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

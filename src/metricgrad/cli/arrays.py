"""A .npy file as a memory map; whether there is a file at all. Nothing is unpickled."""

import io
import stat
from pathlib import Path

import numpy as np

from metricgrad.errors import InputError

__all__ = ["map_array", "read_array", "require_file"]


def read_array(path: Path) -> np.ndarray:
    """Read a .npy file into memory; InputError as `map_array`."""
    return np.array(map_array(path))


def map_array(path: Path) -> np.ndarray:
    """Map a .npy file into memory: nothing is read before it is looked at, and nothing is ever written to the file.

    Raises:
        InputError: no such file, no .npy (with what it is instead, where that is seen), an array of objects, a cut one.
    """
    regular = require_file(path)
    try:
        content = None if regular else path.read_bytes()  # a pipe is read once
        with path.open("rb") if content is None else io.BytesIO(content) as file:
            begin = file.read(8)
        if begin[:6] != b"\x93NUMPY":
            raise ValueError(_what_begins(begin))
        # a map first: it compares the size that the header claims with that of the file before any memory is asked for
        source = path if content is None else io.BytesIO(content)
        return np.load(source, allow_pickle=False, mmap_mode="r" if content is None else None)
    except Exception as error:  # a damaged header fails in many ways: as Python text, as a type, as a size
        why = " ".join(str(error).split())
        if "object" in why.lower():
            why = "it holds pickled objects, which are never loaded (save array.astype(str))"
        elif "mmap length is greater" in why or "buffer is smaller" in why:
            why = "it ends before the array does that its header describes"
        raise InputError(
            f"{path} cannot be read as .npy: {why}; expected what numpy.save writes of a plain array."
        ) from error


def _what_begins(begin: bytes) -> str:
    """What a file is that does not begin as .npy does, as far as its first bytes tell."""
    if begin.startswith(b"PK\x03\x04"):
        return "it is an archive, such as several arrays (.npz)"
    if begin[:1] == b"\x80" and begin[1:2] in b"\x02\x03\x04\x05":
        return "it holds pickled objects, which are never loaded"
    return f"it begins with {begin!r}, not with the mark of a .npy file"


def require_file(path: Path) -> bool:
    """Refuse what holds nothing to read; return whether the file is a regular one (no pipe)."""
    try:
        mode, size = path.stat().st_mode, path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"there is no file {path}.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder; expected a file.")
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        raise InputError(f"{path} is a device or a socket; expected a file or a pipe.")
    if stat.S_ISREG(mode) and size == 0:
        raise InputError(f"{path} is empty.")
    return stat.S_ISREG(mode)

"""A safetensors file that somebody else may have written: read only once its size is what its header says."""

import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from torch import Tensor

from metricgrad._checks import free_memory
from metricgrad._documents import MEGABYTE, Unreadable, content_of, json_value, opened_file
from metricgrad.errors import CheckpointError

__all__ = ["content_of_tensors", "header_of", "tensors_of"]

_LONGEST_HEADER = 100 * MEGABYTE  # what safetensors itself allows
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How one begins. So does a whole safetensors file whose header is 640 bytes long (0x0280), or 896, 1152 or 1408."""


def content_of_tensors(path: Path) -> bytes:
    """Return the bytes of a safetensors file.

    Raises:
        CheckpointError: no such file, a link, a pickle (never loaded: it could run code), another size than its header
            says, or more than the memory holds.
    """
    try:
        with opened_file(path) as descriptor:
            size, start = os.fstat(descriptor).st_size, os.read(descriptor, 8)
            whole = size == _said_size(descriptor, start)
            if not whole and start.startswith(_PICKLES):
                raise CheckpointError(
                    f"{path} is a pickle (torch.save); it is never loaded, since a pickle can run any code. Expected a "
                    "safetensors file: load it yourself where you trust it and call "
                    "safetensors.torch.save_file(state_dict, path)."
                )
            if not whole:
                raise Unreadable("it is not a whole safetensors file: its size is not what its header says")
        free = free_memory()
        if free is not None and 2 * size > free:
            raise Unreadable(
                f"it needs {2e-9 * size:.1f} GB of memory, of which {1e-9 * free:.1f} GB are free"
            )
        return content_of(path, most=size)
    except Unreadable as error:
        raise CheckpointError(
            f"cannot read {path}: {error}; expected a safetensors file. Restore it from a copy or start anew."
        ) from error


def tensors_of(path: Path, content: bytes) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a safetensors file.

    Raises:
        CheckpointError: they are damaged.
    """
    try:
        return load_bytes(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError, OverflowError) as error:
        raise CheckpointError(
            f"{path} ({len(content)} bytes) is not a whole safetensors file: {error}. It was cut short or damaged; "
            "restore it from a copy or start anew."
        ) from error


def header_of(content: bytes) -> dict[str, Any]:
    """Return what `save_weights` wrote into the header; empty for a file of another program."""
    try:
        header = json_value(content[8 : 8 + int.from_bytes(content[:8], "little")])
        own = json_value(header["__metadata__"]["metricgrad"])
    except (Unreadable, KeyError, TypeError, AttributeError):
        return {}
    return own if isinstance(own, dict) else {}


def _said_size(descriptor: int, start: bytes) -> int | None:
    """Return the size that a file must have by its header; None where that is none."""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > _LONGEST_HEADER:
        return None
    try:
        entries = json_value(os.read(descriptor, length))
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        return 8 + length + int(max(ends, default=0))
    except (Unreadable, AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError):
        return None

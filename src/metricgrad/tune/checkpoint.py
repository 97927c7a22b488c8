"""Checkpoints that survive a kill at any moment: safetensors and JSON, never a pickle.

A checkpoint folder holds `state.json` and one tensor file that it names. The tensor file is written first, under a
new name, and flushed to the disk; replacing `state.json` is the single moment at which the new checkpoint comes into
force; then the old tensor file is removed. Nested dicts, lists, numbers, strings and tensors are kept as they are.
"""

import contextlib
import json
import os
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as save_bytes
from torch import Tensor

from metricgrad._checks import describe
from metricgrad._documents import MEGABYTE, Unreadable, content_of, json_value
from metricgrad._layout import TENSORS, is_ours, temporary_of
from metricgrad.errors import CheckpointError, RunFolderError
from metricgrad.tune.packing import packed, plain, unpacked
from metricgrad.tune.tensor_file import content_of_tensors, header_of, tensors_of

__all__ = [
    "load_state",
    "load_weights",
    "random_state",
    "restore_random_state",
    "same_random_state",
    "save_state",
    "save_weights",
    "write_atomically",
]

_PACKED = "packed/"
_LARGEST_STATE = 256 * MEGABYTE


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside `path`, flush it to the disk and rename it into place.

    Raises:
        RunFolderError: the folder is read-only, full or missing; the old file is as it was.
    """
    temporary = temporary_of(path)
    try:
        with temporary.open("xb") as file:  # new: a link of that name is not followed
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunFolderError(
            f"cannot write {path}: {error.strerror or error}; expected a folder that can be written to, with room. "
            "What was there before is unharmed. Free some space or choose another folder, then resume."
        ) from error


def save_weights(path: Path, weights: Mapping[str, Any], facts: Mapping[str, str] | None = None) -> None:
    """Write a state dict as safetensors, atomically; `facts` go into its header, as JSON under `metricgrad`.

    Entries that the format does not hold as they are (see `packing`) are in the header, too, under `packed`; their
    tensors stand beside the others under names that begin with `packed/`.
    """
    tensors = {name: value for name, value in weights.items() if plain(value)}
    keep = _keeper(tensors, _PACKED)
    trees = {name: packed(value, keep) for name, value in weights.items() if name not in tensors}
    header = {**(facts or {}), **({"packed": trees} if trees else {})}
    # One entry: safetensors writes several in no fixed order, and equal weights should be equal files.
    metadata = {"metricgrad": json.dumps(header, sort_keys=True)} if header else None
    write_atomically(path, save_bytes(_separate(tensors), metadata=metadata))


def load_weights(path: Path) -> dict[str, Any]:
    """Read a safetensors file; what `save_weights` packed comes back as it was.

    Raises:
        CheckpointError: no such file, a pickle (never loaded: it could run code), cut short or otherwise corrupt.
    """
    content = content_of_tensors(path)
    tensors, trees = tensors_of(path, content), header_of(content).get("packed")
    trees = trees if isinstance(trees, dict) else {}
    kept = {name: value for name, value in tensors.items() if not (trees and name.startswith(_PACKED))}
    return {**kept, **{name: unpacked(tree, tensors) for name, tree in trees.items()}}


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint in `folder` by `state`; a kill at any moment leaves the old one or the new one."""
    tensors: dict[str, Tensor] = {}
    tree = json_value(json.dumps(packed(state, _keeper(tensors))))  # as it will be read
    try:
        folder.mkdir(parents=True, exist_ok=True)
        old = [path for path in folder.iterdir() if path.name != "state.json" and is_ours("last", path.name)]
    except OSError as error:
        raise RunFolderError(
            f"cannot write to {folder}: {error.strerror}; choose another run folder."
        ) from error
    taken = {path.name for path in old}
    name = next(name for number in count(1) if (name := f"tensors-{number}.safetensors") not in taken)
    content = save_bytes(_separate(tensors))
    write_atomically(folder / name, content)
    sums = {"tensors": zlib.crc32(content), "state": zlib.crc32(json.dumps(tree).encode())}
    document = {"format": 2, "tensors": name, "crc32": sums, "state": tree}
    write_atomically(folder / "state.json", json.dumps(document).encode())
    for path in old:
        path.unlink(missing_ok=True)


def load_state(folder: Path) -> dict[str, Any] | None:
    """Return the state that was saved last, or None where none was.

    Raises:
        CheckpointError: the checkpoint is there and cannot be read, or does not have its checksums.
    """
    path = folder / "state.json"
    if not path.exists():
        return None
    try:
        name, tree, sum_of_tensors = _state_document(json_value(content_of(path, most=_LARGEST_STATE)))
    except Unreadable as error:
        raise CheckpointError(
            f"{path} is not a checkpoint that can be read: {error}. Restore the folder from a copy, or start a new "
            "run in another folder."
        ) from error
    content = content_of_tensors(folder / name)
    if zlib.crc32(content) != sum_of_tensors:
        raise CheckpointError(
            f"{folder / name} does not have its checksum: it was damaged or replaced. Restore the folder from a copy, "
            "or start a new run in another folder."
        )
    return unpacked(tree, tensors_of(folder / name, content))


def _state_document(document: Any) -> tuple[str, Any, int]:
    """Return the name of the tensor file, the state and the file's checksum, or raise Unreadable."""
    if not isinstance(document, dict) or document.get("format") != 2:
        raise Unreadable("it is damaged, or another version wrote it")
    name, tree, sums = document.get("tensors"), document.get("state"), document.get("crc32")
    if not isinstance(name, str) or not TENSORS.fullmatch(name):
        raise Unreadable(f"it names the tensor file {describe(name)}")
    if not isinstance(sums, dict) or sums.get("state") != zlib.crc32(json.dumps(tree).encode()):
        raise Unreadable("it does not have its checksum: it was damaged")
    if not isinstance(sums.get("tensors"), int):
        raise Unreadable(f"the checksum of its tensors is {describe(sums.get('tensors'))}")
    return name, tree, sums["tensors"]


def random_state() -> dict[str, Any]:
    """Return the random states of python, numpy and torch (CPU and, where in use, CUDA)."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 (the global state is what we keep)
    state: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Restore what `random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


@contextlib.contextmanager
def same_random_state() -> Iterator[None]:
    """Leave the random states as they were: what happens inside must not change the training."""
    state = random_state()
    try:
        yield
    finally:
        restore_random_state(state)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keeper(tensors: dict[str, Tensor], prefix: str = "") -> Callable[[Tensor], str]:
    """Return a function that puts a tensor among `tensors` and returns its name."""

    def keep(value: Tensor) -> str:
        name = f"{prefix}{len(tensors)}"
        tensors[name] = value
        return name

    return keep


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share storage (tied weights) are written each on its own: safetensors asks for it."""
    seen: set[int] = set()
    separate = {}
    for name, value in tensors.items():
        value = value.detach().cpu().contiguous()
        pointer = value.untyped_storage().data_ptr()
        separate[name] = value.clone() if pointer in seen else value
        seen.add(pointer)
    return separate

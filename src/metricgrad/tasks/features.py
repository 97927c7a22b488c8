"""Features of a frozen backbone: computed once, kept on disk, resumed where an interruption left them.

A computation goes through the pictures in parts of 512. Each finished part is a file of its own, written beside
and renamed, so that a killed process loses one part at most; the last step joins them into one file. Every file
carries a checksum: one that is cut off or altered is reported and computed again, never used.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._records import Note, Progress, event_of
from metricgrad._types import Observer
from metricgrad.errors import InputError
from metricgrad.tasks import efficientnet
from metricgrad.tasks.folders import cache_folder, probe

__all__ = ["cache_folder", "efficientnet_lite0_features", "features_key"]

_VERSION = 2  # of the arithmetic here and in `efficientnet`: another number makes other keys
_PART = 512  # images


def features_key(
    digest: str, *, size: int = 112, batch: int = 16, blocks: Sequence[int] = (), last: bool = True
) -> str:
    """Name a set of features by everything that settles its values.

    That is the pictures, the backbone and its weights, the size they are fed at, the number computed together
    (it moves the last bits), the blocks that are read, the version of this code and of torch.

    Args:
        digest: sha256 of the pictures' file, hexadecimal.
        size: edge of the backbone's input in pixels.
        batch: images computed together.
        blocks: numbers of the blocks that are read.
        last: whether the last convolution is read, too.

    Returns:
        64 hexadecimal digits; a run keeps them, so that its resumption can refuse other features.

    Example:
        >>> features_key("00", size=112) == features_key("00", size=96)
        False
    """
    facts = [
        digest,
        efficientnet.NAME,
        efficientnet.WEIGHTS,
        size,
        batch,
        list(blocks),
        _VERSION,
        torch.__version__,
        *([] if last else ["without the last convolution"]),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def efficientnet_lite0_features(
    pictures: UInt8[np.ndarray, "image height width 3"],
    *,
    digest: str,
    cache: Path | None = None,
    size: int = 112,
    batch: int = 16,
    blocks: Sequence[int] = (),
    last: bool = True,
    observer: Observer | None = None,
) -> Float[Tensor, "image feature"]:
    """Compute what EfficientNet-Lite0, trained on ImageNet, sees in each picture, or read it from the cache.

    The pictures are resized bilinearly, shifted and scaled to (x - 127) / 128; the last convolution's output is
    averaged over its places, and so are those of the blocks that are asked for. Early blocks see colour, texture and
    small shapes, which the last convolution has left behind.

    Args:
        pictures: uint8 [image, height, width, 3], RGB, 0 to 255.
        digest: sha256 of the file that holds exactly these pictures: with the settings it names the cached file.
        cache: folder of the cache; None takes the one that `cache_folder` says.
        size: edge of the backbone's input in pixels, at least 32.
        batch: images computed together, at least 1. 16 is as fast as any, and with it the number of threads moved
            no bit where that was tried (1 to 4); with odd or small ones it moves the last.
        blocks: numbers of blocks (0 to 15, rising) whose averaged outputs stand before the last convolution's.
        last: False leaves the last convolution out; then there is at least one block.
        observer: called with progress (in images) and with notes about damaged files.

    Returns:
        float32 [image, feature], without gradient: the channels of the blocks (16 to 320 each), then 1,280.

    Raises:
        InputError: the pictures have another shape or type, there is no such block, or the cache folder cannot be
            written.
        MissingExtraError: the backbone's packages are not installed (not needed when the cache has the features).

    Cost:
        About 4 ms a picture on two cores at 112 pixels, once, and half a gigabyte; then a read of 5 kB a
        picture. An interruption loses one part of 512 pictures at most and moves no bit of the result (another
        processor or release of torch may).
    """
    _check(pictures, size, batch, blocks, last)
    key = features_key(digest, size=size, batch=batch, blocks=blocks, last=last)
    dim = sum(efficientnet.CHANNELS[block] for block in blocks) + (efficientnet.DIM if last else 0)
    folder = cache_folder(cache)
    path, parts = folder / f"features-{key}.safetensors", folder / f"features-{key}.parts"
    step = (
        max(_PART // batch, 1) * batch
    )  # whole batches: what is computed together never depends on the parts
    network = None
    found: list[Tensor] = []
    try:
        features = _read(path, key, (len(pictures), dim), observer)
        if features is not None:
            return features
        probe(parts)
        for start in range(0, len(pictures), step):
            block = pictures[start : start + step]
            part_path = parts / f"{start:08d}.safetensors"
            part = _read(part_path, key, (len(block), dim), observer)
            if part is None:
                network = network or efficientnet.load()
                part = _compute(network, blocks, last, block, size, batch, start, len(pictures), observer)
                _write(part_path, key, part)
            found.append(part)
            _progress(observer, start + len(block), len(pictures))
        features = torch.cat(found)
        _write(path, key, features)
    except OSError as error:
        features = _read(
            path, key, (len(pictures), dim), observer
        )  # another process may have finished and tidied up
        if features is not None:
            return features
        raise InputError(
            f"efficientnet_lite0_features: the cache folder {folder} cannot be used ({error.strerror or error}). "
            "Make room there, or set METRICGRAD_CACHE to a folder that can be written; finished parts are kept."
        ) from error
    shutil.rmtree(parts, ignore_errors=True)
    return features


def _check(pictures: np.ndarray, size: int, batch: int, blocks: Sequence[int], last: bool) -> None:
    """Raise InputError for pictures or settings that the backbone cannot take."""
    name = "efficientnet_lite0_features"
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.dtype != np.uint8 or len(pictures) == 0:
        raise fail(
            name, f"pictures are {describe(pictures)}", "uint8 [image, height, width, 3], at least one"
        )
    if size < 32 or batch < 1:
        raise fail(name, f"size is {size} and batch is {batch}", "a size >= 32 (pixels) and a batch >= 1")
    highest = len(efficientnet.CHANNELS) - 1
    if sorted(set(blocks)) != list(blocks) or not all(0 <= block <= highest for block in blocks):
        raise fail(name, f"blocks are {list(blocks)}", f"numbers from 0 to {highest}, each once, rising")
    if not blocks and not last:
        raise fail(name, "no block is read and the last convolution is not", "one of them at least")


def _progress(observer: Observer | None, done: int, total: int) -> None:
    """Tell the observer how far the computation is."""
    if observer is not None:
        observer(event_of(Progress(what="features", done=done, total=total, unit="image")))


def _read(path: Path, key: str, shape: tuple[int, int], observer: Observer | None) -> Tensor | None:
    """The features in a file, or None where there is no file or a damaged one (which the observer hears of)."""
    if not os.path.exists(path):  # unlike Path.exists, False in a folder that may not be looked into
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["features"])
            features = file.get_tensor(
                "features"
            ).clone()  # in memory: the file may be replaced while it is used
        wrong = _damage(features, facts, key, shape)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        wrong = f"cannot be read ({type(error).__name__}: {error})"
    else:
        if not wrong:
            return features
    if observer is not None:
        observer(event_of(Note(f"The cached features {path} {wrong}; they are computed again.")))
    return None


def _damage(features: Tensor, facts: dict[str, Any], key: str, shape: tuple[int, int]) -> str:
    """What is wrong with features that were read; nothing where nothing is."""
    if facts["key"] != key:
        return "belong to other pictures or settings"
    if features.shape != shape or features.dtype != torch.float32:
        return f"are {describe(features)}, not float32 {list(shape)}"
    if facts["sha256"] != _checksum(features):
        return "do not have their checksum"
    return "" if features.isfinite().all() else "hold NaN or infinity"


def _checksum(features: Tensor) -> str:
    """sha256 of the values."""
    return hashlib.sha256(features.contiguous().numpy().tobytes()).hexdigest()


def _write(path: Path, key: str, features: Tensor) -> None:
    """Write features beside their place, bring them to the disk and rename them into it."""
    facts = {"features": json.dumps({"key": key, "sha256": _checksum(features)})}
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(save({"features": features}, metadata=facts))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _compute(
    network: Any,
    blocks: Sequence[int],
    last: bool,
    pictures: np.ndarray,
    size: int,
    batch: int,
    start: int,
    total: int,
    observer: Observer | None,
) -> Tensor:
    """Features of some pictures, float32 [image, feature]."""

    def computed(first: int) -> Tensor:
        # the last picture fills a short batch up, which would be rounded otherwise
        rows = np.arange(first, first + batch).clip(max=len(pictures) - 1)
        averages = efficientnet.averages(network, pictures[rows], size=size, blocks=blocks, last=last)
        return averages[: len(pictures) - first]

    found = []
    # threads with a batch each are faster than all of them in one small convolution
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for features in pool.map(computed, range(0, len(pictures), batch)):
            found.append(features)
            _progress(observer, start + sum(map(len, found)), total)
    return torch.cat(found)

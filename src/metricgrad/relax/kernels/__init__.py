"""The hot operator, fused: on the CPU with numba, on CUDA devices with Triton, each equal to the plain torch text.

The choice is by the device of the tensors; METRICGRAD_KERNEL=torch, numba or triton forces one.
"""

import functools
import importlib
import importlib.util
import math
import os
import warnings
from types import ModuleType
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from metricgrad._checks import fail, nearest
from metricgrad.relax import tile as tile_text
from metricgrad.relax.setting import Setting

__all__ = ["Windows", "chosen", "empty_windows", "finite", "free", "ordered", "tile"]

Kernel = Literal["torch", "numba", "triton"]

BLOCK = 256
"""Rows and columns of a block on the CPU: 256 KB in float32, within a second-level cache."""

NOTED_SHARE = 8
"""A block keeps its scores for the backward pass while at most one in so many lies inside a window."""

NOTED_LIMIT = 4 * 2**20
"""Most scores that are kept in all: 48 MB in float32."""


class Windows(NamedTuple):
    """Scores inside a window, noted by the CPU kernel in the forward pass; the other kernels leave them unused.

    Attributes:
        pair: [entry, 2] int32 query and item.
        score: [entry].
        table: [block, 2] int64 first entry and number of entries of each block; -1 entries where it was not noted.
    """

    pair: Tensor
    score: Tensor
    table: Tensor


def chosen(device: torch.device) -> Kernel:
    """Return the kernel for tensors on a device.

    Raises:
        InputError: METRICGRAD_KERNEL names no kernel, or one that cannot work on the device.
    """
    forced = os.environ.get("METRICGRAD_KERNEL", "")
    fitting: dict[str, Kernel] = {"torch": "torch"}
    if device.type == "cpu" and _importable("numba"):
        fitting["numba"] = "numba"
    if _installed("triton") and (_compiles(device) or os.environ.get("TRITON_INTERPRET") == "1"):
        fitting["triton"] = "triton"
    if forced in fitting:
        return fitting[forced]
    if forced:
        raise fail(
            "METRICGRAD_KERNEL",
            f"it is {forced!r} for tensors on {device}",
            f"one of {', '.join(fitting)} here (numba: on the CPU; triton: on CUDA devices), or unset",
            nearest(forced, ["torch", "numba", "triton"]),
        )
    return fitting.get({"cpu": "numba", "cuda": "triton"}.get(device.type, "torch"), "torch")


def free() -> bool:
    """Whether METRICGRAD_KERNEL leaves the choice to us."""
    return not os.environ.get("METRICGRAD_KERNEL", "")


@functools.cache
def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@functools.cache
def _importable(package: str) -> bool:
    """Return whether a package works here; one that is installed and does not is named once."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        if _installed(package):
            warnings.warn(
                f"metricgrad: {package} cannot be imported ({error}); soft ranks are computed by plain torch, slower",
                RuntimeWarning,
                stacklevel=2,
            )
        return False
    return True


def _compiles(device: torch.device) -> bool:
    """Return whether Triton compiles for the device: CUDA devices of compute capability 7 or higher."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def tile(kernel: Kernel) -> ModuleType:
    """Return the module that does a tile in the plain text: its own, or Triton's."""
    if kernel != "triton":
        return tile_text
    from metricgrad.relax.kernels import triton_tile

    return triton_tile


def empty_windows(queries: Tensor, items: Tensor, noted: bool) -> Windows:
    """Return room for what a forward pass of the CPU kernel may note; memory that is not written to is not taken."""
    rows, columns = queries.shape[0], items.shape[0]
    noted = noted and chosen(queries.device) == "numba"
    blocks = -(-rows // BLOCK) * -(-columns // BLOCK) if noted else 0
    room = min(NOTED_LIMIT, rows * columns // NOTED_SHARE) if noted else 0
    return Windows(
        queries.new_empty((room, 2), dtype=torch.int32),
        queries.new_empty((room,)),
        queries.new_full((blocks, 2), -1, dtype=torch.int64),
    )


def finite(*tensors: Tensor | None) -> bool:
    """Return whether all numbers and their sums are finite: compiled loops assume it, plain torch carries NaN on."""
    different = {id(tensor): tensor for tensor in tensors if tensor is not None}
    return all(math.isfinite(tensor.detach().sum()) for tensor in different.values())


def ordered(scores: Tensor, setting: Setting) -> bool:
    """Return whether scores are finite, or -inf for items that shall not compete, but not for a positive."""
    if scores.numel() == 0:
        return False
    levels = scores.gather(1, setting.positives).masked_fill(~setting.valid, 0)
    return bool((scores < torch.inf).all()) and finite(levels)

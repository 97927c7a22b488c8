"""Argument checks with one form of message: what was called, what came, what was expected, what to do."""

import difflib
import importlib
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad.errors import InputError, MissingExtraError

try:
    import resource
except ImportError:  # a system without POSIX limits
    resource = None

__all__ = [
    "LARGEST_WHOLE",
    "Number",
    "Whole",
    "caller",
    "calling",
    "describe",
    "extra",
    "fail",
    "finite_number",
    "free_memory",
    "nearest",
    "positive_number",
    "require_finite",
    "require_ks",
    "require_matrix",
    "require_memory",
    "require_settings",
    "tensor_of",
    "whole_number",
]

Number = float | np.generic | np.ndarray | Tensor
"""What a setting that is a number may be: an array or tensor has one element (one for each, where they are several)."""

Whole = int | np.generic | np.ndarray | Tensor
"""The same of a whole number."""


LARGEST_WHOLE = 2**53
"""Ranks and counts are compared as float64: beyond it they are no whole numbers."""

_CALLER: ContextVar[str] = ContextVar("caller", default="tune")


@contextmanager
def calling(function: str) -> Iterator[None]:
    """While a run lasts: which function of ours the user called, `tune` or `compare`."""
    token = _CALLER.set(function)
    try:
        yield
    finally:
        _CALLER.reset(token)


def caller() -> str:
    """The one of `tune` and `compare` that was called: messages of the code that they share begin with it."""
    return _CALLER.get()


def describe(value: Any) -> str:
    """What came, in a few words: shape and dtype of an array, the value of anything else."""
    if hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape):
        return f"{tuple(value.shape)} of {value.dtype}"
    text = " ".join(repr(value).split())  # a tensor within has lines
    return text if len(text) <= 80 else f"{text[:77]}..."


def fail(caller: str, came: str, expected: str, remedy: str = "") -> InputError:
    """Build the one form of message; the caller raises it, so that the traceback ends where the check stands."""
    return InputError(f"{caller}: {came}; expected {expected}.{' ' + remedy if remedy else ''}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names nearest to `name`, or with all of them where none is near."""
    known = sorted(known)
    return _did_you_mean(name, known) or "Known: " + ", ".join(known) + "."


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names nearest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return "Did you mean " + " or ".join(repr(item) for item in close) + "?" if close else ""


def require_settings(caller: str, given: Iterable[Any], known: Iterable[str]) -> None:
    """Raise InputError for the first name that is given and is none of the known settings, with the nearest ones."""
    known = sorted(known)
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "it has none"
            raise fail(
                caller,
                f"there is no setting {name!r}",
                f"one of its settings ({listed})",
                _did_you_mean(str(name), known),
            )


def finite_number(caller: str, name: str, value: Any, expected: str = "a finite number") -> float:
    """Return a setting (number, numpy scalar, tensor of one element) as a float, else raise InputError.

    A tensor that asks for a gradient is refused: as a number it would get none, in silence.
    """
    if isinstance(value, Tensor) and value.requires_grad:
        raise fail(
            caller,
            f"{name} is a tensor that asks for a gradient",
            f"{expected}: a setting is not learned",
            f"Pass {name}.item()."
            if name != "temperature"
            else "Pass temperature.item(). To learn it, divide the scores by it (embeddings by its square root, with "
            "normalize=False) and pass temperature=1.",
        )
    number = _plain(value)
    if number is None or not math.isfinite(number):
        raise fail(caller, f"{name} is {describe(value)}", expected)
    return number


def positive_number(caller: str, name: str, value: Any, *, zero: bool = False) -> float:
    """Return a setting as a float when it is finite and positive (or zero where allowed), else raise InputError."""
    expected = f"a finite number {'>= 0' if zero else '> 0'}"
    number = finite_number(caller, name, value, expected)
    if number < 0 or (number == 0 and not zero):
        raise fail(caller, f"{name} is {value!r}", expected)
    return number


def whole_number(caller: str, name: str, value: Any, *, least: int = 1) -> int:
    """Return a setting as an int when it is a whole number from `least` to 2^53, else raise InputError."""
    number = None if isinstance(value, str) else _plain(value)
    if number is None or not least <= number <= LARGEST_WHOLE or number != int(number):
        raise fail(caller, f"{name} is {describe(value)}", f"a whole number >= {least} (and at most 2^53)")
    return int(value)


def require_ks(caller: str, k: Whole | Iterable[Whole]) -> tuple[int, ...]:
    """Return the cut-offs as a tuple of integers >= 1; InputError for none, for k < 1 or for a fraction."""
    several = isinstance(k, Iterable) and not isinstance(k, str) and getattr(k, "ndim", 1) > 0
    ks = tuple(k) if several else (k,)  # pyright: ignore[reportArgumentType]
    if not ks:
        raise fail(caller, f"k is {describe(k)}", "one or more whole numbers >= 1")
    return tuple(whole_number(caller, "k", item) for item in ks)


def _plain(value: Any) -> float | None:
    """Return what stands for one real number as a float; None for True, False, nothing and anything else."""
    if getattr(value, "size", 1) == 1 or (isinstance(value, Tensor) and value.numel() == 1):
        value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def require_matrix(caller: str, name: str, value: Tensor, axes: str) -> Tensor:
    """Return `value` when it is a 2-D floating tensor with the named axes, else raise InputError."""
    if not isinstance(value, Tensor) or value.ndim != 2 or not value.is_floating_point():
        raise fail(caller, f"{name} is {describe(value)}", f"a floating-point tensor ({axes})")
    if value.layout != torch.strided:
        raise fail(caller, f"{name} is sparse", f"a dense tensor ({axes})", f"Pass {name}.to_dense().")
    return value


def tensor_of(caller: str, name: str, value: Any, expected: str) -> Tensor:
    """Return real numbers (a tensor, an array, nested lists) as a dense tensor without gradient.

    Raises:
        InputError: texts, nothing, masked values, rows of different lengths, complex numbers, a sparse tensor.

    Example:
        >>> tensor_of("rule", "scores", [[1.0, 2.0]], "numbers")
        tensor([[1., 2.]], dtype=torch.float64)
    """
    if isinstance(value, Tensor):
        found = value.detach()
    else:
        try:
            array = np.array(value, order="C")  # a copy that torch can take: some are read-only or reversed
            found = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        except (TypeError, ValueError, RuntimeError) as error:
            raise fail(caller, f"{name} are {describe(value)}", expected) from error
    if found.layout != torch.strided or found.is_complex() or np.ma.is_masked(value):
        how = "masked" if np.ma.is_masked(value) else found.layout
        raise fail(caller, f"{name} are {how} {found.dtype}", f"{expected}, dense and real")
    return found


def require_finite(caller: str, name: str, value: Tensor) -> Tensor:
    """Return `value` when it has no NaN and no infinity; InputError names the first row that has one."""
    finite = torch.isfinite(value)
    if not bool(finite.all()):
        bad = (~finite).reshape(value.shape[0], -1).any(1)
        raise fail(
            caller,
            f"{name} has NaN or infinite values in {int(bad.sum())} of {value.shape[0]} rows, first in row "
            f"{int(bad.nonzero()[0])}",
            "finite numbers",
            "Find out where they come from (a diverged model, a broken export) before measuring anything.",
        )
    return value


def extra(module: str, name: str, purpose: str) -> ModuleType:
    """Import an optional module, or raise MissingExtraError with the line that installs the extra `name`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs the package {module.split('.')[0]!r}, which is not installed. "
            f"Install it with: pip install 'metricgrad[{name}]'"
        ) from error


def free_memory() -> int | None:
    """Return how many bytes can be taken, or None where the system does not say."""
    free: list[int] = []
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free.append(1024 * int(line.split()[1]))
    with suppress(OSError, ValueError):  # a container's share; the word "max" is no number
        group = Path("/sys/fs/cgroup")
        limit, used = (
            (group / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current")
        )
        free.append(int(limit) - int(used))
    if resource is not None and (most := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError, IndexError):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            free.append(most - pages * resource.getpagesize())
    return min(free, default=None)


def require_memory(caller: str, what: str, needed: int) -> None:
    """Raise InputError where more bytes are needed than are free, before they are asked for."""
    free = free_memory()
    if free is not None and needed > free:
        raise fail(
            caller,
            f"{what} needs {needed / 1e9:,.1f} GB of memory",
            f"no more than the {free / 1e9:,.1f} GB that are free",
        )

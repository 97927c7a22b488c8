"""Argument checks with one form of message: what was called, what came, what was expected, what to do."""

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from metricgrad.errors import InputError, MissingExtraError

__all__ = [
    "describe",
    "extra",
    "fail",
    "nearest",
    "positive_number",
    "require_finite",
    "require_ks",
    "require_matrix",
]


def describe(value: Any) -> str:
    """What came, in a few words: shape and dtype of an array, type and value of anything else."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{tuple(value.shape)} of {value.dtype}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def fail(caller: str, came: str, expected: str, remedy: str = "") -> InputError:
    """Build the one form of message; the caller raises it, so that the traceback ends where the check stands."""
    return InputError(f"{caller}: {came}; expected {expected}.{' ' + remedy if remedy else ''}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names nearest to `name`, or with all of them where none is near."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(repr(item) for item in close) + "?"
    return "Known: " + ", ".join(known) + "."


def positive_number(caller: str, name: str, value: float, *, zero: bool = False) -> float:
    """Return `value` as a float when it is finite and positive (or zero where allowed), else raise InputError."""
    number = float(value)
    if number != number or number == float("inf") or number < 0 or (number == 0 and not zero):
        raise fail(caller, f"{name} is {value!r}", f"a finite number {'>= 0' if zero else '> 0'}")
    return number


def require_ks(caller: str, k: int | Iterable[int]) -> tuple[int, ...]:
    """Return the cut-offs as a tuple of integers >= 1; InputError for none, for k < 1 or for a fraction."""
    ks = (k,) if isinstance(k, int) else tuple(k)
    if not ks or any(isinstance(item, bool) or int(item) != item or item < 1 for item in ks):
        raise fail(caller, f"k is {describe(k)}", "one or more whole numbers >= 1")
    return tuple(int(item) for item in ks)


def require_matrix(caller: str, name: str, value: Tensor, axes: str) -> Tensor:
    """Return `value` when it is a 2-D floating tensor with the named axes, else raise InputError."""
    if not isinstance(value, Tensor) or value.ndim != 2 or not value.is_floating_point():
        raise fail(caller, f"{name} is {describe(value)}", f"a floating-point tensor ({axes})")
    return value


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

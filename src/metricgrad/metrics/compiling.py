"""How loops over numbers are compiled for the exact metrics."""

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled"]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at the first call, without the interpreter's lock; kept beside the source or in the user's cache."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # there is no folder to write to: every process compiles for itself
        return njit(nogil=True, error_model="numpy")(function)

"""How the loops of the CPU are compiled: without the interpreter's lock, once for all processes."""

from collections.abc import Callable, Collection
from typing import Any

from numba import njit

__all__ = ["REORDERED", "compiled", "inlined"]

REORDERED = frozenset({"reassoc", "contract", "arcp", "nsz", "nnan"})
"""Rounding may differ from the written order of a sum; infinities keep their meaning (an item that is left out)."""


def compiled(freedom: Collection[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at its first call, and keep the result in a folder beside the source or the user's cache.

    The cache is renewed when the function's own file changes, not when a function of another file does that it calls:
    after a change to `steps.py` remove the `.nbi` files of this folder.

    Args:
        freedom: what rounding may be changed for speed, by LLVM's names.
    """
    return _decorator(freedom, "never")


def inlined(freedom: Collection[str]) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function that other compiled ones call into each of its callers.

    As a function of its own it would exist twice: as it is compiled alone, and in the code that is kept of its caller.
    The process that compiles would run the one and all later ones the other, and differ in the last bits of a gradient
    where rounding has a freedom. A helper without one gives the same bits in both: `compiled()` is enough, and sooner
    done.
    """
    return _decorator(freedom, "always")


def _decorator(freedom: Collection[str], inline: str) -> Callable[[Callable[..., Any]], Any]:
    settings: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": set(freedom),
        "inline": inline,
    }

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, **settings)(function)
        except RuntimeError:  # there is no folder to write to: every process compiles for itself
            return njit(**settings)(function)

    return decorate

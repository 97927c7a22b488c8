"""How the loops of the CPU are compiled: without the interpreter's lock, once for all processes."""

from collections.abc import Callable, Collection
from typing import Any

from numba import njit

__all__ = ["REORDERED", "compiled"]

REORDERED = frozenset({"reassoc", "contract", "arcp", "nsz", "nnan"})
"""Rounding may differ from the written order of a sum; infinities keep their meaning (an item that is left out)."""


def compiled(freedom: Collection[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at its first call, and keep the result in a folder beside the source or the user's cache.

    The cache is renewed when the function's own file changes, not when a function of another file does that it calls:
    after a change to `steps.py` remove the `.nbi` files of this folder.

    What runs is always the kept code, in the process that compiles it, too: code that was just compiled differs from it
    in the last bits of a gradient, and a run must not depend on who came first.

    Args:
        freedom: what rounding may be changed for speed, by LLVM's names.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(freedom)}
        try:
            return _loaded(function, settings)
        except RuntimeError:  # there is no folder to write to: every process compiles for itself
            return njit(**settings)(function)

    return decorate


def _loaded(function: Callable[..., Any], settings: dict[str, Any]) -> Any:
    """Return a kernel that a twin of it compiles and keeps, and that itself only loads."""
    kernel, twin = (njit(cache=True, **settings)(function) for _ in range(2))
    load = kernel.compile

    def kept(signature: Any) -> Any:
        twin.compile(signature)
        return load(signature)

    kernel.compile = kept
    return kernel

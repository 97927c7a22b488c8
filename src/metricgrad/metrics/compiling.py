"""How loops over numbers are compiled for the exact metrics."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from numba import njit

__all__ = ["compiled", "compiled_in_any_order", "over_portions"]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at the first call, without the interpreter's lock; kept beside the source or in the user's cache."""
    return _compiled(function, {})


def compiled_in_any_order(function: Callable[..., Any]) -> Any:
    """The same; sums may be added in any order, for a caller that bounds their error whatever the order."""
    return _compiled(function, {"fastmath": {"reassoc", "contract"}})


def _compiled(function: Callable[..., Any], how: dict[str, Any]) -> Any:
    try:
        return njit(cache=True, nogil=True, error_model="numpy", **how)(function)
    except RuntimeError:  # there is no folder to write to: every process compiles for itself
        return njit(nogil=True, error_model="numpy", **how)(function)


def over_portions(kernel: Callable[..., Any], count: int, *arrays: Any) -> None:
    """Run a compiled `kernel(first, last, *arrays)` over portions of a count, on as many threads as torch has."""
    threads = torch.get_num_threads()
    edges = [count * part // threads for part in range(threads + 1)]
    if threads == 1 or count < threads:
        kernel(0, count, *arrays)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda first, last: kernel(first, last, *arrays), edges[:-1], edges[1:]))

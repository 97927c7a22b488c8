"""How far a measurement is, for whoever watches: the loops over queries tell it, a person at the terminal sees it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["tell", "watched"]

Watcher = Callable[[int, int], None]

_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Let `watcher(done, total)` be called after every group of queries that is measured inside.

    Example:
        >>> import torch
        >>> from metricgrad.metrics.embedded import retrieval_ranks
        >>> with watched(lambda done, total: print(done, "of", total)):
        ...     _ = retrieval_ranks(torch.eye(3), [0, 0, 1])
        3 of 3
    """
    before = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(before)


def tell(done: int, total: int) -> None:
    """Say that so many of all queries are measured."""
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher(done, total)

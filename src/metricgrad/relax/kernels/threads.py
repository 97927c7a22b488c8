"""Run one piece of work on every thread, each with a processor to itself.

A block is a small matrix product followed by a compiled loop over its result. One thread does both while the block is
in its cache, and no thread waits for another; so the products run single-threaded, and the threads are ours. They
stay, because the library of the products keeps memory for every thread that it has met; a forked process gets new ones.
"""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

__all__ = ["parts", "run_on_threads", "torch_on_one_thread"]

_one_at_a_time = threading.RLock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _helpers(threads: int) -> ThreadPoolExecutor:
    """Return a pool of at least so many threads; they are started as they are needed."""
    global _pool, _pool_size
    if _pool is None or _pool_size < threads:
        if _pool is not None:
            _pool.shutdown()
        _pool, _pool_size = ThreadPoolExecutor(threads, thread_name_prefix="metricgrad"), threads
    return _pool


def _forget() -> None:
    """Leave lock and threads to the process that they belong to."""
    global _pool, _one_at_a_time
    _pool, _one_at_a_time = None, threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def torch_on_one_thread() -> Iterator[int]:
    """Yield torch's number of threads, and keep torch to one of them, in the whole process, until the end.

    Threads of torch that have ended a piece of work look for the next one for milliseconds. Where torch works between
    two calls of `run_on_threads`, they take the processors from ours again and again. Calls from several threads of the
    caller wait for one another.
    """
    with _one_at_a_time:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield before
        finally:
            torch.set_num_threads(before)


def run_on_threads(work: Callable[[int], None], threads: int) -> None:
    """Call `work(number)` for every number below `threads`, all at the same time, torch on one thread each.

    Raises:
        Exception: the first one that a piece of work raised, when all have ended.
    """

    def alone(number: int) -> None:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            work(number)

    def helped(number: int) -> None:
        # else a product would begin a team of threads of its own here, and with more threads than processors all that
        # torch does in this process, now and later, takes twice the time
        torch.set_num_threads(1)
        alone(number)

    others: list[Future[None]] = []
    with torch_on_one_thread():
        try:
            others = [_helpers(threads - 1).submit(helped, number) for number in range(1, threads)]
            alone(0)
        finally:
            failures = [failure for other in others if (failure := other.exception()) is not None]
    if failures:
        raise failures[0]


def parts(length: int, threads: int) -> list[tuple[int, int]]:
    """Cut `length` rows into one range of neighbours for each thread."""
    bounds = [length * number // threads for number in range(threads + 1)]
    return list(itertools.pairwise(bounds))

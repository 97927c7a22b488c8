"""Run one piece of work on every thread, each with a processor to itself.

A block is a small matrix product followed by a compiled loop over its result. One thread does both while the block is
in its cache, and no thread waits for another; so the products run single-threaded, and the threads are ours. They
live as long as one call: nothing is left behind that a forked process would miss.
"""

import itertools
import threading
from collections.abc import Callable

import torch

__all__ = ["parts", "run_on_threads"]

_one_at_a_time = threading.Lock()


def run_on_threads(work: Callable[[int], None], threads: int) -> None:
    """Call `work(number)` for every number below `threads`, all at the same time.

    Torch is single-threaded meanwhile, in the whole process, and gets its number of threads back at the end. Calls
    from several threads of the caller wait for one another.

    Raises:
        Exception: the first one that a piece of work raised, when all have ended.
    """
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                work(number)
        except BaseException as failure:
            failures.append(failure)

    with _one_at_a_time:
        before = torch.get_num_threads()
        others = [threading.Thread(target=guarded, args=(number,)) for number in range(1, threads)]
        torch.set_num_threads(1)
        try:
            for thread in others:
                thread.start()
            guarded(0)
        finally:
            for thread in others:
                if thread.ident is not None:
                    thread.join()
            torch.set_num_threads(before)
    if failures:
        raise failures[0]


def parts(length: int, threads: int) -> list[tuple[int, int]]:
    """Cut `length` rows into one range of neighbours for each thread."""
    bounds = [length * number // threads for number in range(threads + 1)]
    return list(itertools.pairwise(bounds))

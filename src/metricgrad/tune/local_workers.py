"""Cells in processes of this machine: how a run gets there, which process is free, what comes back."""

import contextlib
import functools
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import wait
from typing import Any

import torch

from metricgrad._checks import fail, whole_number
from metricgrad._records import Budget
from metricgrad.scale import current
from metricgrad.tune.asked import Asked
from metricgrad.tune.contest import Crew
from metricgrad.tune.local_cell import LISTENS, SECONDS_TO_END, Raised, serve, tidy_start
from metricgrad.tune.sender import Sender
from metricgrad.tune.setup import Setup
from metricgrad.tune.side_by_side import Arrived
from metricgrad.tune.stage import Stage
from metricgrad.tune.training import Begun
from metricgrad.tune.travelling import from_bytes, run_bytes, to_bytes

__all__ = ["LocalWorkers", "local_crew"]

SECONDS_BETWEEN_LOOKS = 0.01
_NAMES = {one.value: one.name for one in signal.Signals}

_spawned = multiprocessing.get_context("spawn")


def local_crew(processes: Any, asked: Asked, again: Callable[[], Asked] | None = None) -> Crew | None:
    """Return what trains the cells of a run in processes of this machine; None where there is to be one process.

    Args:
        processes: how many; None is one.
        asked: the arguments of the run, before anything has read them.
        again: returns them once more, in another process; None: they are pickled.

    Raises:
        InputError: no whole number, no program that can begin processes, or arguments that cannot be pickled.
    """
    count = 1 if processes is None else whole_number("compare", "processes", processes)
    if count == 1:
        return None
    begins = getattr(multiprocessing.current_process(), "_inheriting", False)  # it imports the program
    if begins or multiprocessing.parent_process() is not None:
        raise fail(
            "compare",
            f"processes={count} in a process that multiprocessing has begun",
            "the program's own process",
            'A script that is imported anew by each process calls compare under `if __name__ == "__main__":`.',
        )
    if current().size > 1:
        raise fail("compare", f"processes={count} with {current().size} processes of torchrun", "one of both")
    return functools.partial(_working, count, run_bytes(asked if again is None else again))


@contextlib.contextmanager
def _working(
    count: int, packed: bytes, setup: Setup, identity: Mapping[str, Any]
) -> Iterator["LocalWorkers"]:
    """Have the cells of a run trained; at the end no process of it is left."""
    del setup  # every process makes its own of the arguments
    workers = LocalWorkers(count, packed, identity)
    try:
        yield workers
    finally:
        workers.close()


class LocalWorkers:
    """Workers that are processes of this machine; each begins when a cell waits and none of the others is free.

    Args:
        count: how many there may be.
        packed: the arguments of the run, pickled.
        identity: of the run.
    """

    def __init__(self, count: int, packed: bytes, identity: Mapping[str, Any]) -> None:
        self._count, self._run = count, (to_bytes(Sender.of(identity)), packed)
        self._queue: deque[tuple[Stage, Begun, Budget]] = deque()
        self._begun: dict[int, Begun] = {}
        self._workers: list[_Worker] = []
        self._failed: BaseException | None = None
        self.described = _described(count)

    def send(self, stage: Stage, begun: Begun, budget: Budget) -> None:
        """Have a cell trained as soon as a process is free; the cells of a seed share what they begin with."""
        shared = begun if stage.role == "start" else self._begun.setdefault(stage.seed, begun)
        self._queue.append((stage, shared, budget))
        self._share_out()

    def arrived(self, seconds: float) -> tuple[list[Arrived], list[str]]:
        """Wait for cells, not longer than this; return those that came, and sentences for the record."""
        if self._failed is not None:
            raise self._failed
        ready = wait([worker.end for worker in self._workers], seconds)
        came = []
        for worker in list(self._workers):
            if worker.end in ready or worker.code is not None:
                came += self._taken(worker)
        if self._failed is None:
            self._share_out()
        elif not came:
            raise self._failed
        return came, []

    def _share_out(self) -> None:
        """Give every free process a cell that waits, and begin processes for the others while there may be more."""
        while self._queue:
            free = next((worker for worker in self._workers if worker.stage is None), None)
            if free is None:
                if len(self._workers) == self._count:
                    return
                self._workers.append(free := _Worker(*self._run))
            stage, begun, budget = self._queue.popleft()
            free.give(stage, to_bytes((stage, budget, begun)))

    def _taken(self, worker: "_Worker") -> list[Arrived]:
        """What a process says: a cell, its loss, or nothing; what the user's code raised is kept for the next call."""
        try:
            answer = worker.answer()
        except (EOFError, OSError):
            return self._lost(worker)
        stage = worker.stage
        assert stage is not None
        if answer == LISTENS:
            worker.listen()
            return []
        worker.stage = None
        if isinstance(answer, Raised):
            self._failed = self._failed or answer.error
            return []
        return [Arrived(stage, answer)]

    def _lost(self, worker: "_Worker") -> list[Arrived]:
        """Take a process that is gone off the list."""
        self._workers.remove(worker)
        worker.end.close()
        code = worker.ended()
        if not worker.listens and code >= 0:
            self._failed = self._failed or fail(
                "processes",
                f"a new process ended (exit code {code}) while it imported the program, and said why on standard error",
                "a program that can be imported once more",
                'A script calls compare under `if __name__ == "__main__":`.',
            )
            return []
        reason = f"killed by {_NAMES.get(-code, f'signal {-code}')}" if code < 0 else f"exit code {code}"
        return [] if worker.stage is None else [Arrived(worker.stage, None, reason)]

    def close(self) -> None:
        """End the processes, and what they are at: one that is free ends by itself when its pipe is closed."""
        for worker in self._workers:
            worker.end.close()
            if worker.stage is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.ended()
        self._workers = []


class _Worker:
    """One process, and what it is at.

    Args:
        run: the messages that tell it of the run.

    Attributes:
        end: our end of the pipe.
        stage: that it trains; None where it is free.
        listens: whether it has said so.
    """

    def __init__(self, *run: bytes) -> None:
        self._waiting = list(run)
        self.stage: Stage | None = None
        self.listens = False
        self.end, theirs = _spawned.Pipe()
        with tidy_start() as safe_path_is_ours:
            self.process = _spawned.Process(target=serve, args=(theirs, safe_path_is_ours))
            self.process.start()
        theirs.close()

    @property
    def code(self) -> int | None:
        """How it ended; None while it lives."""
        return self.process.exitcode

    def ended(self) -> int:
        """Wait for its end and return its exit code; a process that does not end is killed.

        `join` would also wait for processes that this one has forked and left behind.
        """
        end = time.monotonic() + SECONDS_TO_END
        while self.code is None and time.monotonic() < end:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self.process.kill()
        self.process.join()
        assert self.code is not None
        return self.code

    def give(self, stage: Stage, packed: bytes) -> None:
        """Have a cell trained."""
        self.stage = stage
        self._waiting.append(packed)
        if self.listens:
            self.listen()

    def listen(self) -> None:
        """Send what waits: before it listens, a process would keep this one waiting, too."""
        self.listens = True
        with contextlib.suppress(OSError):  # it is gone: the next look finds that out
            while self._waiting:
                self.end.send_bytes(self._waiting.pop(0))

    def answer(self) -> Any:
        """Return what it says; EOFError where it has said all and is gone."""
        if not self.end.poll():
            raise EOFError
        return from_bytes(self.end.recv_bytes())


def _described(count: int) -> str:
    threads = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = (
        f"the cells are trained in {count} processes of this machine, each with as many threads as this process has: "
        f"{threads}"
    )
    if count * threads <= cores:
        return text
    return (
        f"{text}. These are more threads than the {cores} cores that there are, and wait for each other: begin a new "
        f"run with OMP_NUM_THREADS={max(1, cores // count)} in front of the command"
    )

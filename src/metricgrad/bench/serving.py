"""A process for one contestant on one batch: what runs in it, and the handle of the process that asked for it.

It answers every line that it reads with a line of JSON, after one turn. Memory is that of the process, so that nothing
else can hide or add any.
"""

import itertools
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from metricgrad.bench.contestant import Contestant
from metricgrad.bench.ranks import CONTESTANTS, batch_of
from metricgrad.bench.timer import turn
from metricgrad.relax import kernels

__all__ = ["LeftOut", "Served", "serve"]

_ROWS_OF_WARM_UP, _NOISES_OF_WARM_UP = (64, 1024), (2.0, 0.3)
"""A small problem and one of several blocks: both ways of the ranks are compiled before memory is counted."""


_TICK = 0.2


class LeftOut(Exception):
    """A contestant cannot go on; the text says why."""


class Served:
    """A process that serves one contestant on one batch."""

    def __init__(self, contestant: Contestant, batch: int, dims: int, noise: float) -> None:
        asked = {"contestant": contestant.name, "batch": batch, "dims": dims, "noise": noise}
        program = f"import sys; sys.path[:] = {sys.path!r}; from metricgrad.bench.serving import run; run()"
        self._errors = tempfile.TemporaryFile()  # not a pipe: a full one would block it
        # a session of its own: Ctrl-C is this process's to handle
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def ask(self) -> None:
        """Ask for one turn."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended: its last answer says why
            self._process.stdin.write("turn\n")
            self._process.stdin.flush()

    def answer(self, limit: float, tick: Callable[[], None]) -> dict[str, Any]:
        """Wait for the next answer, drawing meanwhile."""
        began = time.monotonic()
        while True:
            with suppress(queue.Empty):
                return self._facts(self._answers.get(timeout=_TICK))
            tick()
            if time.monotonic() - began > limit:
                raise LeftOut(f"took more than {limit:.0f} s")

    def _facts(self, line: str) -> dict[str, Any]:
        if not line:
            code = self._process.wait()
            if code < 0:
                raise LeftOut(f"ended by signal {-code}" + (", memory ran out" if code == -9 else ""))
            raise LeftOut(f"ended with code {code}: {self._last_line()}")
        facts = json.loads(line)
        if "error" in facts:
            raise LeftOut(facts["error"])
        return facts

    def _last_line(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "no message"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):  # a pipe to a process that is gone cannot be flushed
                if stream is not None:
                    stream.close()


def serve(
    contestant: Contestant, size: int, dims: int, noise: float, lines: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """Yield `ready`, then for every line one turn: seconds of a call, and extra memory at the peak so far.

    Args:
        contestant: what is measured.
        size: rows of the batch.
        dims: dimensions of its embeddings.
        noise: of its rows.
        lines: each asks for a turn; the end of them ends it.
    """
    with contestant.conditions():
        # libraries, threads and compiled loops come before memory is counted
        sizes = _ROWS_OF_WARM_UP if contestant.power < 3 else _ROWS_OF_WARM_UP[:1]
        for rows, other in itertools.product(sizes, _NOISES_OF_WARM_UP):
            contestant.prepare(batch_of(rows, dims, other))()
        batch = batch_of(size, dims, noise)
        kernel = kernels.chosen(batch.embeddings.device)  # may import it: before memory is counted
        before = _peak(reset=True)
        run = contestant.prepare(batch)
        yield {
            "ready": True,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "kernel": kernel,
        }
        for _ in lines:
            seconds, now = turn(run), _peak()
            extra = None if now is None or before is None else max(0, now - before)
            yield {"seconds": seconds, "peak_bytes": extra}


def _peak(*, reset: bool = False) -> int | None:
    """Most bytes that the process has held, since the last reset where the system can do that."""
    if reset:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run() -> None:
    """Serve the contestant that the command line names."""
    asked = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a peer prints must not mix with the answers
    contestant = next(one for one in CONTESTANTS if one.name == asked["contestant"])

    def answer(facts: dict[str, Any]) -> None:
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    try:
        for facts in serve(contestant, asked["batch"], asked["dims"], asked["noise"], sys.stdin):
            answer(facts)
    except Exception as error:
        text = " ".join(str(error).split())
        answer({"error": f"{type(error).__name__}: {text[:200]}"})

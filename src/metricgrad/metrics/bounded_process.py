"""Run a program within bounds: no shell, no input, a time limit, and of what it prints only the end is kept.

It gets a process group of its own. When it ends, or its time is over, the whole group is killed by SIGKILL, which no
program can ignore. A descendant that has left the group may live on; nobody waits for it, or for what it keeps open.
Where this process is told to end meanwhile, the group is killed before it does.
"""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, NamedTuple

__all__ = ["Ended", "run_bounded"]

KEPT = 2**16
"""Bytes of stdout, and of stderr, that are kept: the last ones."""
_PAUSE = 0.05
"""Seconds between two looks at a program that has ended while a descendant keeps its output open."""
_KILLED_WITHIN = 5.0
"""Seconds that the kernel may need to end a process that was killed."""


class Ended(NamedTuple):
    """How a program ended.

    Attributes:
        code: its exit code, negative for a signal; None where its time was over.
        out: the end of its stdout.
        err: the end of its stderr.
    """

    code: int | None
    out: str
    err: str


def run_bounded(words: Sequence[str], *, folder: Path, seconds: float) -> Ended:
    """Run a program to its end, or to the end of its time.

    Args:
        words: its path, and its arguments as they are.
        folder: where it runs.
        seconds: that it may take.

    Raises:
        OSError: it cannot be started.

    Edge cases:
        Whatever it has started and left running in its group is killed with it. Output beyond 64 KiB: the last bytes.

    Example:
        >>> import sys
        >>> run_bounded([sys.executable, "-c", "print(1 / 4)"], folder=Path(), seconds=20).out.strip()
        '0.25'
    """
    end = time.monotonic() + seconds
    process = subprocess.Popen(
        words,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        with _ending_in_order():
            code, (out, err) = _watched(process, end)
    finally:
        _end(process)
    return Ended(code, *(part.decode("utf-8", "replace") for part in (out, err)))


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let a signal that would end this process at once raise SystemExit, so that what was begun is ended first."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    ours = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in ours:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group, and close our ends of the streams."""
    with suppress(ProcessLookupError, PermissionError):  # nothing is left
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # it sleeps in the kernel: nothing more can be done
        process.wait(_KILLED_WITHIN)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _watched(process: subprocess.Popen[bytes], end: float) -> tuple[int | None, list[bytearray]]:
    """Read both streams until the program has ended or its time is over; its exit code, and what was read."""
    assert process.stdout is not None and process.stderr is not None
    streams, kept = (process.stdout, process.stderr), [bytearray(), bytearray()]
    with selectors.DefaultSelector() as open_ones:
        for place, stream in enumerate(streams):
            os.set_blocking(stream.fileno(), False)
            open_ones.register(stream, selectors.EVENT_READ, place)
        while open_ones.get_map() and time.monotonic() < end:
            code = process.poll()  # before the last reading: nothing is written after it
            for key, _ in open_ones.select(0 if code is not None else min(_PAUSE, end - time.monotonic())):
                if not _read_some(streams[key.data], kept[key.data]):
                    open_ones.unregister(key.fileobj)
            if code is not None:
                for stream, part in zip(streams, kept, strict=True):
                    while _read_some(stream, part) and time.monotonic() < end:
                        pass
                return code, kept
    with suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, end - time.monotonic())), kept
    return None, kept


def _read_some(stream: IO[bytes], kept: bytearray) -> bool:
    """Keep the end of what can be read now; False where there is nothing."""
    try:
        found = os.read(stream.fileno(), KEPT)
    except BlockingIOError:
        return False
    kept += found
    del kept[:-KEPT]
    return bool(found)

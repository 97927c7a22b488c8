"""A cell in another process of this machine: the run is made there once, compared with the sender's, and trained.

What comes through the pipe is pickled by the user's own program; no file is read so. The process listens, is sent the
run, and answers cell by cell. It ends when the pipe is closed, or when the program that began it is gone.
"""

import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import active_children, parent_process, resource_tracker
from multiprocessing.connection import Connection
from types import FrameType
from typing import NamedTuple

from metricgrad._checks import calling, fail
from metricgrad.tune.asked import Asked
from metricgrad.tune.cell import train_cell
from metricgrad.tune.resolving import resolved
from metricgrad.tune.sender import Sender
from metricgrad.tune.setup import Setup
from metricgrad.tune.state import RunState
from metricgrad.tune.travelling import from_bytes, to_bytes

__all__ = ["LISTENS", "SECONDS_TO_END", "Raised", "serve", "tidy_start"]

LISTENS = "listens"
"""The first answer of a process: it has imported what it needs."""
SECONDS_TO_END = 30.0
"""How long a process that is told to end may take until it is killed."""
SAFE_PATH = "PYTHONSAFEPATH"
"""Without this variable a new interpreter imports a `random.py` of the current folder in place of Python's."""

_POSIX = hasattr(signal, "pthread_sigmask")


class _Ended(SystemExit):
    """The process was told to end: what was begun in it is ended first, as at every other end."""


class Raised(NamedTuple):
    """What the user's code has raised in another process.

    Attributes:
        pickled: the error; empty where it cannot be.
        said: its type and text.
        trace: where it was raised.
    """

    pickled: bytes
    said: str
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> "Raised":
        """Return an error in a form that always travels."""
        pickled = b""
        with contextlib.suppress(
            Exception
        ):  # an error with arguments of its own may not be made again of its text, or say something else then
            again = from_bytes(found := to_bytes(error))
            pickled = found if (type(again), str(again)) == (type(error), str(error)) else b""
        return cls(pickled, f"{type(error).__name__}: {error}", traceback.format_exc())

    @property
    def error(self) -> BaseException:
        """The error as this process raises it; what was said there is its cause."""
        found: BaseException = from_bytes(self.pickled) if self.pickled else RuntimeError(self.said)
        found.__cause__ = RuntimeError(f"in another process:\n{self.trace}")
        return found


@contextlib.contextmanager
def tidy_start() -> Iterator[bool]:
    """While a process begins: Ctrl-C is kept from it, and no module of the current folder stands for one of Python's.

    The process inherits both; `serve` undoes them.

    Yields:
        Whether the variable is ours.
    """
    ours = SAFE_PATH not in os.environ
    if _POSIX:
        resource_tracker.ensure_running()  # where it begins by itself, it lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _POSIX else None
    if ours:
        os.environ[SAFE_PATH] = "1"
    try:
        yield ours
    finally:
        if ours:
            del os.environ[SAFE_PATH]
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(end: Connection, safe_path_is_ours: bool) -> None:
    """Train the cells that come through the pipe until it is closed; this is what a new process calls."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal sends Ctrl-C to all: the program decides what ends
    signal.signal(signal.SIGTERM, _leave)
    if _POSIX:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if safe_path_is_ours:
        os.environ.pop(SAFE_PATH, None)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with contextlib.suppress(EOFError, OSError):  # the program wants no more
            _serve(end)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends already
        for child in active_children():  # multiprocessing would wait for a pool that nobody has ended
            child.terminate()


def _serve(end: Connection) -> None:
    end.send_bytes(to_bytes(LISTENS))
    sender: Sender = from_bytes(end.recv_bytes())
    asked = end.recv_bytes()
    setup: Setup | None = None
    while True:
        packed = end.recv_bytes()
        try:
            setup = _unpacked(sender, asked) if setup is None else setup
            stage, budget, begun = from_bytes(packed)
            answer = train_cell(stage, setup, RunState(budget), begun)
        except _Ended:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's code raises is raised in the program
            answer = Raised.of(error)
        end.send_bytes(to_bytes(answer))


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    raise _Ended(128 + number)


def _end_with_parent() -> None:
    """End when the program is gone, also in the middle of a cell, and with it what the cell has begun."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(128 + signal.SIGTERM)


def _unpacked(sender: Sender, asked: bytes) -> Setup:
    """Make this process like the one that sent the run, and check that it holds the same.

    Args:
        sender: the program that sent the run.
        asked: pickled: the arguments of the run, or a function that returns them.
    """
    sender.take_over()
    try:
        given: Asked | Callable[[], Asked] = from_bytes(asked)
    except Exception as error:  # whatever the user's objects raise when they are unpacked
        raise fail(
            "processes",
            f"a new process cannot unpack the run ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            "model, splits, metric and losses of modules that it can import",
        ) from error
    with calling("compare"):
        setup = resolved(given if isinstance(given, Asked) else given())
        sender.check(setup, "processes: a new process")
    return setup

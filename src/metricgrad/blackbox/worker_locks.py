"""Which workers of a shared study live, and whose turn it is: locks that the system lifts when a process dies."""

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from metricgrad._checks import fail

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

__all__ = ["WorkerLocks"]

_TURN = threading.RLock()
"""A lock on a file is one of the process: its threads wait here."""

_OURS: dict[str, int] = {}
"""Workers that this process made, and its id: a forked child inherits the names, but not the locks."""


class WorkerLocks:
    """A locked file per living worker beside a study, and one for the turn.

    The system lifts a lock when its process ends, however it ends (kill -9, too), so that nothing has to be guessed
    from times. Forked children do not hold it.

    Args:
        study: the file of the study; the locks lie in the folder of the same name with `.workers` added.

    Attributes:
        name: of this worker.

    Raises:
        InputError: a system without locks of files.
    """

    def __init__(self, study: Path) -> None:
        if fcntl is None:
            raise fail(
                "OptunaProposer",
                "a study in a file on a system that cannot lock files",
                "storage=None",
            )
        self._folder = study.with_name(study.name + ".workers")
        self._folder.mkdir(parents=True, exist_ok=True)
        self.name = uuid.uuid4().hex
        with self.turn():
            for file in self._folder.iterdir():
                if file.name != "turn":
                    self.lives(file.name)  # what the dead have left is removed
            self._file = self._locked(self.name)
            _OURS[self.name] = os.getpid()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Within it no other worker of the study, in any process, is within it."""
        with _TURN:
            file = self._locked("turn")
            try:
                yield
            finally:
                os.close(file)

    def lives(self, name: str) -> bool:
        """Whether the worker of this name is still there; asked within a turn."""
        if _OURS.get(name) == os.getpid():
            return True
        assert fcntl is not None
        try:
            file = os.open(self._folder / name, os.O_RDWR)
        except FileNotFoundError:  # it left by itself
            return False
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(file)
        (self._folder / name).unlink()
        return False

    def close(self) -> None:
        """Leave: what this worker has not finished is free for others."""
        if _OURS.get(self.name) == os.getpid():
            with self.turn():
                del _OURS[self.name]
                (self._folder / self.name).unlink(missing_ok=True)
                os.close(self._file)

    def _locked(self, name: str) -> int:
        assert fcntl is not None
        file = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.lockf(file, fcntl.LOCK_EX)
        return file

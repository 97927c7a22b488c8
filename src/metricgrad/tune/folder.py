"""The folder of a run: settings, record, checkpoint, weights; one writer at a time.

`metricgrad._layout` says what the folder holds. It is looked at before anything in it is read or written, since it may
come from elsewhere or be another program's.
"""

import contextlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from metricgrad._documents import MEGABYTE, Unreadable, content_of, yaml_document
from metricgrad._layout import check_layout, check_new, is_record
from metricgrad._record_file import read_record
from metricgrad._records import Progress, event_of
from metricgrad._types import Observer
from metricgrad.errors import CheckpointError, RunFolderError
from metricgrad.scale import current
from metricgrad.tune.checkpoint import save_state, write_atomically
from metricgrad.tune.state import RunState, read_state

try:
    import fcntl
except ImportError:  # a system without POSIX locks: two writers in one folder are then not noticed
    fcntl = None

__all__ = ["FollowedFolder", "RunFolder", "leave", "opened", "read_config"]


class RunFolder:
    """Everything that a run reads and writes on the disk.

    Args:
        path: the folder; made where it is missing.
        observer: receives every event, also those that are not written.

    Raises:
        RunFolderError: the folder cannot be written to, is full, another process runs in it, or it holds something else
            than a run (see `check_layout` and `check_new`): nothing was written then.
    """

    def __init__(self, path: Path, observer: Observer) -> None:
        self.path, self.observer = path, observer
        _check_contents(path)
        with contextlib.ExitStack() as opened_files:
            try:
                (path / "arms").mkdir(parents=True, exist_ok=True)
                self._lock = opened_files.enter_context(_appending(path / ".lock"))
                self._record = opened_files.enter_context(_appending(path / "record.jsonl"))
            except OSError as error:
                raise RunFolderError(
                    f"cannot write to the run folder {path}: {error.strerror}; expected a folder that can be written "
                    "to. Nothing was changed. Choose another one."
                ) from error
            if fcntl is not None:
                try:
                    fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise RunFolderError(
                        f"the run folder {path} is in use by another process; wait for it or choose another folder."
                    ) from error
            _check_contents(path)  # again: another process may have begun and ended meanwhile
            self._opened = opened_files.pop_all()

    def close(self) -> None:
        """Release the folder."""
        self._opened.close()

    def emit(self, record: Any, *, durable: bool = False) -> None:
        """Write an event as one line and show it; `durable` flushes it to the disk before returning."""
        event = event_of(record)
        if isinstance(record, Progress):
            self.observer(event)
        else:
            self.tell(event, durable=durable)

    def tell(self, event: Mapping[str, Any], *, durable: bool = False) -> None:
        """Write an event that is one already, with the time at which it happened, and show it."""
        try:
            _write_all(self._record, json.dumps(event).encode() + b"\n")
            if durable:
                os.fsync(self._record.fileno())
        except OSError as error:
            raise self._full(error) from error
        self.observer(event)

    def _full(self, error: OSError) -> RunFolderError:
        return RunFolderError(
            f"cannot write {self.path / 'record.jsonl'}: {error.strerror}. The last checkpoint is unharmed: free some "
            "space, then resume."
        )

    def events(self) -> list[Mapping[str, Any]]:
        """Return the events that were written so far."""
        return list(read_record(self.path / "record.jsonl"))

    def save(self, state: RunState) -> None:
        """Replace the checkpoint; it remembers the length of the record, which is cut back to it on resume."""
        try:
            os.fsync(self._record.fileno())
        except OSError as error:
            raise self._full(error) from error
        save_state(self.path / "last", {**state.document(), "record_length": self._record.tell()})

    def load(self) -> RunState | None:
        """Return the checkpoint, with the record cut back to it; None where there is none.

        Raises:
            CheckpointError: the checkpoint is corrupt, or the record is shorter than it says.
        """
        state = read_state(self.path)
        if state is None and any(event["event"] == "stage_started" for event in self.events()):
            raise CheckpointError(
                f"{self.path} has a record but no checkpoint (last/); expected both. Restore it from a copy, or choose "
                "another folder. Nothing was changed."
            )
        length = 0 if state is None else state.record_length
        self._record.seek(0, os.SEEK_END)
        if self._record.tell() < length:
            raise CheckpointError(
                f"{self.path / 'record.jsonl'} has {self._record.tell()} bytes; the checkpoint expects at least "
                f"{length}. The record was cut or replaced; restore it from a copy."
            )
        self._record.truncate(length)
        self._record.seek(0, os.SEEK_END)
        return state

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write `config.yaml`."""
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        write_atomically(self.path / "config.yaml", text.encode())

    def weights(self, seed: int, arm: str, attempt: int) -> Path:
        """Return where the selected weights of a stage are kept."""
        return self.path / "arms" / f"seed{seed}-{arm}-try{attempt}.safetensors"

    def beside(self, seed: int, arm: str, attempt: int) -> Path:
        """Return where what a stage trained beside the network is kept: a loss with parameters."""
        return self.path / "arms" / f"seed{seed}-{arm}-try{attempt}-loss.safetensors"


def read_config(folder: Path) -> dict[str, Any] | None:
    """Return what `config.yaml` of a run folder holds, or None where there is none.

    Raises:
        RunFolderError: the file is not a run's settings.
    """
    path = folder / "config.yaml"
    if not path.exists() and not path.is_symlink():
        return None
    try:
        config = yaml_document(content_of(path, most=4 * MEGABYTE), own=True).value
        if not isinstance(config, dict):
            raise Unreadable("it holds no keys with values")
        for key in ("asked", "found"):
            if not isinstance(config.get(key), dict):
                raise Unreadable(f"its `{key}` holds no keys with values")
    except Unreadable as error:
        raise RunFolderError(
            f"{path} is not the settings of a run: {error}. Restore it from a copy, or choose another folder."
        ) from error
    return config


def _check_contents(folder: Path) -> None:
    """Refuse a folder that holds something else than a run, or a record that others share."""
    check_layout(folder)
    if read_config(folder) is None:
        check_new(folder)
    record = folder / "record.jsonl"
    if not record.exists():
        return
    facts = record.stat()
    if facts.st_size and not is_record(record):
        raise RunFolderError(
            f"{record} does not begin as the record of a run; nothing is written to it. Restore it from a copy, or "
            "choose another folder."
        )
    if facts.st_nlink > 1:
        raise RunFolderError(
            f"{record} is one file under {facts.st_nlink} names (hard links), and writing to it would change it under "
            "all of them. Copy the folder (cp -r) and use the copy."
        )


def _appending(path: Path) -> io.FileIO:
    """Open a file for appending, unbuffered: what cannot be written must not be tried again when it is closed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    flags |= sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"))
    return open(os.open(path, flags, 0o666), "ab", buffering=0)  # pyright: ignore[reportReturnType]


def _write_all(file: io.FileIO, content: bytes) -> None:
    while content:
        content = content[file.write(content) :]


class FollowedFolder(RunFolder):
    """The folder as the processes beside process 0 see it: read from, never written to, nothing shown."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def close(self) -> None:
        """Nothing to release."""

    def emit(self, record: Any, *, durable: bool = False) -> None:
        """Process 0 writes and shows."""

    def tell(self, event: Mapping[str, Any], *, durable: bool = False) -> None:
        """Process 0 writes and shows."""

    def save(self, state: RunState) -> None:
        """Process 0 saves."""

    def load(self) -> RunState | None:
        """Return the checkpoint; None where there is none."""
        return read_state(self.path)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Process 0 writes."""


@contextlib.contextmanager
def opened(path: Path, observer: Observer) -> Iterator[RunFolder]:
    """Open a run folder, for writing on process 0 alone, and release it whatever happens."""
    folder = RunFolder(path, observer) if current().leader else FollowedFolder(path)
    try:
        yield folder
    finally:
        folder.close()


def leave(path: Path, show: Observer) -> None:
    """Remove the temporary folder of a run that failed, or name it where there is something to resume."""
    state = read_state(path)
    if state is None or not state.begun:
        shutil.rmtree(path, ignore_errors=True)
        return
    text = (
        f"the run is kept in {path}: the same call with folder={str(path)!r} goes on from its last checkpoint"
    )
    show({"event": "note", "time": time.time(), "text": text})

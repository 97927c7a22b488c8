"""The folder of a run: settings, record, checkpoint, weights; one writer at a time.

config.yaml          what was asked for, complete
record.jsonl         what happened, one event a line
last/                the checkpoint
arms/*.safetensors   the selected weights of every finished stage
best.safetensors     the weights that are returned
test.safetensors     the statistics of every arm on the test split, per unit
examples.json        samples that changed (metrics of single samples, where the split has pictures)
gallery.json         queries whose neighbours changed (retrieval, where the split has pictures)
report.html          drawn from the files above
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from metricgrad._records import Progress, event_of, read_record
from metricgrad._types import Observer
from metricgrad.errors import CheckpointError, RunFolderError
from metricgrad.scale import current
from metricgrad.tune.checkpoint import load_state, save_state, write_atomically

try:
    import fcntl
except ImportError:  # a system without POSIX locks: two writers in one folder are then not noticed
    fcntl = None

__all__ = ["FollowedFolder", "RunFolder", "opened"]


class RunFolder:
    """Everything that a run reads and writes on the disk.

    Args:
        path: the folder; made where it is missing.
        observer: receives every event, also those that are not written.

    Raises:
        RunFolderError: the folder cannot be written to, is full, or another process runs in it.
    """

    def __init__(self, path: Path, observer: Observer) -> None:
        self.path, self.observer = path, observer
        try:
            (path / "arms").mkdir(parents=True, exist_ok=True)
            self._lock = (path / ".lock").open("w")
            self._record = (path / "record.jsonl").open("ab")
        except OSError as error:
            raise RunFolderError(
                f"cannot write to the run folder {path}: {error.strerror}; expected a folder that can be written to. "
                "Nothing was changed. Choose another one."
            ) from error
        if fcntl is not None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunFolderError(
                    f"the run folder {path} is in use by another process; wait for it or choose another folder."
                ) from error

    def close(self) -> None:
        """Release the folder."""
        self._record.close()
        self._lock.close()

    def emit(self, record: Any, *, durable: bool = False) -> None:
        """Write an event as one line and show it; `durable` flushes it to the disk before returning."""
        event = event_of(record)
        if not isinstance(record, Progress):
            try:
                self._record.write(json.dumps(event).encode() + b"\n")
                self._record.flush()
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

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint; it remembers the length of the record, which is cut back to it on resume."""
        try:
            os.fsync(self._record.fileno())
        except OSError as error:
            raise self._full(error) from error
        save_state(self.path / "last", {**state, "record_length": self._record.tell()})

    def load(self) -> dict[str, Any] | None:
        """Return the checkpoint, with the record cut back to it; None where there is none.

        Raises:
            CheckpointError: the checkpoint is corrupt, or the record is shorter than it says.
        """
        state = load_state(self.path / "last")
        if state is None and any(event["event"] == "stage_started" for event in self.events()):
            raise CheckpointError(
                f"{self.path} has a record but no checkpoint (last/); expected both. Restore it from a copy, or choose "
                "another folder. Nothing was changed."
            )
        length = 0 if state is None else state["record_length"]
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


class FollowedFolder(RunFolder):
    """The folder as the processes beside process 0 see it: read from, never written to, nothing shown."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def close(self) -> None:
        """Nothing to release."""

    def emit(self, record: Any, *, durable: bool = False) -> None:
        """Process 0 writes and shows."""

    def save(self, state: Mapping[str, Any]) -> None:
        """Process 0 saves."""

    def load(self) -> dict[str, Any] | None:
        """Return the checkpoint; None where there is none."""
        return load_state(self.path / "last")

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

"""Other processes that measure a slow metric.

They are fresh interpreters that know nothing of the program that started them: neither its threads (a fork may hang on
their locks) nor its main module (which would have to be imported again). So the metric must be importable by name.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Workers", "taken"]


class Workers:
    """Processes that share the samples of a batch among them.

    Args:
        measure: `(predictions, targets) -> statistics [sample, 1]`.
        count: of the processes.

    Raises:
        RuntimeError: the metric cannot be sent there, or not be imported there.
    """

    def __init__(self, measure: Callable[[Any, Any], Tensor], count: int) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ends: list[Connection] = []
        for _ in range(count):
            ours, theirs = Pipe()
            # the path of this process from the first import on: the current folder may hold a numpy.py
            program = (
                f"import sys; sys.path[:] = {sys.path!r}; "
                f"from metricgrad.learned.workers import serve; serve({theirs.fileno()})"
            )
            command = [sys.executable, "-c", program]
            self._processes.append(subprocess.Popen(command, pass_fds=[theirs.fileno()], stdout=2))
            theirs.close()
            self._ends.append(ours)
        try:
            for end in self._ends:
                end.send(measure)
            for end in self._ends:
                _received(end)
        except Exception as error:  # whatever the user's objects raise when they are packed
            self.close()
            raise RuntimeError(str(error) or type(error).__name__) from error

    def __call__(self, predictions: Any, targets: Any) -> Tensor:
        """Return the statistics of every sample [sample, 1]."""
        parts = np.array_split(np.arange(len(targets)), len(self._ends))
        for end, part in zip(self._ends, parts, strict=True):
            end.send((_plain(taken(predictions, part)), _plain(taken(targets, part))))
        return torch.from_numpy(np.concatenate([_received(end) for end in self._ends]))[:, None]

    def close(self) -> None:
        """End the processes."""
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.terminate()
            process.wait()
        self._ends, self._processes = [], []

    def __del__(self) -> None:
        """Leave no process behind."""
        self.close()


def serve(descriptor: int) -> None:
    """Measure what comes through the pipe until it is closed."""
    torch.set_num_threads(1)
    end = Connection(descriptor)
    try:
        measure = end.recv()
        end.send(None)
    except Exception as error:
        end.send(RuntimeError(f"{type(error).__name__}: {error}"))
        return
    while True:
        try:
            predictions, targets = end.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            values = measure(*(_tensors(side) for side in (predictions, targets)))
            end.send(values[:, 0].double().cpu().numpy())
        except Exception as error:
            end.send(RuntimeError(f"{type(error).__name__}: {error}"))


def taken(items: Any, places: Sequence[int] | np.ndarray) -> Any:
    """Return the items at these places, in the form that they came in."""
    if isinstance(items, Tensor):
        return items[torch.as_tensor(np.asarray(places, dtype=np.int64))]
    if isinstance(items, np.ndarray):
        return items[places]
    return [items[int(place)] for place in places]


def _received(end: Connection) -> Any:
    found = end.recv()
    if isinstance(found, Exception):
        raise found
    return found


def _plain(items: Any) -> Any:
    """Tensors travel as arrays."""
    return ("tensor", items.cpu().numpy()) if isinstance(items, Tensor) else ("as it is", items)


def _tensors(packed: tuple[str, Any]) -> Any:
    form, items = packed
    return torch.from_numpy(items) if form == "tensor" else items

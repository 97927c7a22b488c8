"""The processes of one run, as torchrun starts them: who leads, what all must agree on, and what happens when one dies.

Every process holds all the data and takes every step; process 0 leads: it alone measures, decides and writes. Without
torchrun's environment there is one process, nothing here costs anything and torch.distributed is not touched.
"""

import contextlib
import datetime
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad.errors import MetricgradError
from metricgrad.scale.second_signal import ended_by_second_signal

__all__ = ["ProcessLost", "Processes", "answered", "current", "joined"]

Answer = TypeVar("Answer")

MOST_PROCESSES = 1_000_000
TIMEOUT = datetime.timedelta(minutes=30)
"""How long a process waits for another one, for instance for process 0 while it measures a metric. A process that has
died is noticed at once."""


class ProcessLost(MetricgradError):
    """Another process of the run has died or does not answer; the last checkpoint is unharmed."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.

    Example:
        >>> alone = Processes()
        >>> alone.leader, alone.led(lambda: 0.5)
        (True, 0.5)
    """

    rank: int = 0
    size: int = 1

    @property
    def leader(self) -> bool:
        """Whether this is process 0."""
        return self.rank == 0

    def led(self, decide: Callable[[], Answer]) -> Answer:
        """Call a function on process 0 alone and return its answer (anything that JSON can hold) on all."""
        if self.size == 1:
            return decide()
        from torch import distributed

        text = json.dumps(decide()).encode() if self.leader else b""
        length = torch.tensor([len(text)])
        with answered():
            distributed.broadcast(length, 0)
            content = torch.zeros(int(length), dtype=torch.uint8)
            if self.leader:
                content.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
            distributed.broadcast(content, 0)
        return json.loads(bytes(content.tolist()))

    def gathered(self, text: str) -> list[str]:
        """Return the texts that the processes give, in their order, on all of them."""
        if self.size == 1:
            return [text]
        from torch import distributed

        content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        lengths = [torch.tensor([0]) for _ in range(self.size)]
        with answered():
            distributed.all_gather(lengths, torch.tensor([len(content)]))
            longest = max(int(length) for length in lengths)
            padded = torch.zeros(longest, dtype=torch.uint8)
            padded[: len(content)] = content
            texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
            distributed.all_gather(texts, padded)
        return [
            bytes(one[: int(length)].tolist()).decode() for one, length in zip(texts, lengths, strict=True)
        ]

    def largest(self, number: int) -> int:
        """Return the largest of the numbers that the processes give."""
        if self.size == 1:
            return number
        from torch import distributed

        given = torch.tensor([number])
        with answered():
            distributed.all_reduce(given, distributed.ReduceOp.MAX)
        return int(given)

    def wait(self) -> None:
        """Go on once all processes are here."""
        self.largest(0)

    def same_weights(self, model: nn.Module) -> None:
        """Give every process the parameters and buffers of process 0."""
        if self.size == 1:
            return
        from torch import distributed

        with torch.no_grad(), answered():
            for name, value in model.state_dict().items():
                if not isinstance(value, Tensor) or value.layout != torch.strided:
                    raise fail(
                        "processes",
                        f"{name!r} in the state dict of {type(model).__name__} is no dense tensor",
                        "dense tensors, which processes can share",
                        "Train it with one process.",
                    )
                if value.numel():  # as bytes: not every backend knows every dtype
                    whole = value.detach().clone().contiguous().flatten()
                    distributed.broadcast(whole.view(torch.uint8), 0)
                    value.copy_(whole.view(value.shape))

    @contextlib.contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let process 0 go through alone, for instance to fill a cache, and the others after it."""
        if not self.leader:
            self.wait()
        yield
        if self.leader:
            self.wait()


_joined = Processes()


def current() -> Processes:
    """Return the processes that were joined; this one alone where none were."""
    return _joined


@contextlib.contextmanager
def joined(timeout: datetime.timedelta = TIMEOUT) -> Iterator[Processes]:
    """Join the processes that torchrun started (gloo on the CPU, NCCL between CUDA devices), and leave them at the end.

    Args:
        timeout: how long to wait for a process that is alive but does not answer.

    Yields:
        The processes; this one alone where WORLD_SIZE is unset or 1. Inside another `joined`, the same again. A
        process group that the caller has started is used, and left as it is.

    Raises:
        InputError: the environment is incomplete, or the processes do not find each other.
    """
    global _joined
    if _joined.size > 1 or _counted("WORLD_SIZE", 1, default=1) == 1:
        yield _joined
        return
    from torch import distributed

    ours = not distributed.is_initialized()
    with ended_by_second_signal():
        if ours:
            _start(timeout)
        _joined = Processes(distributed.get_rank(), distributed.get_world_size())
        try:
            yield _joined
        finally:
            _joined = Processes()
            if ours:
                distributed.destroy_process_group()


def _counted(name: str, least: int, below: int = MOST_PROCESSES, default: int | None = None) -> int:
    """Return a whole number of the environment, within its bounds."""
    text = os.environ.get(name)
    if not text and default is not None:
        return default
    number = int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else -1
    if not least <= number < below:
        raise fail(
            "processes",
            f"{name} is {text!r}",
            f"a whole number from {least} to {below - 1}, as torchrun sets it",
            "Start with: torchrun --nproc-per-node 2 -m metricgrad ...; or unset WORLD_SIZE.",
        )
    return number


def _start(timeout: datetime.timedelta) -> None:
    # Imported before there is a group: its functions have the group of that moment for a default argument and would
    # hold it, with its threads, until after the interpreter has ended, where a thread that still works aborts.
    import torch.distributed.nn.functional
    from torch import distributed

    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise fail(
            "processes",
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} but {' and '.join(missing)} are not set",
            "the environment that torchrun makes",
            "Start with: torchrun --nproc-per-node 2 -m metricgrad ...; or unset WORLD_SIZE.",
        )
    size = _counted("WORLD_SIZE", 1)
    rank = _counted("RANK", 0, size)
    _counted("MASTER_PORT", 1, 65536)
    here = _counted("LOCAL_WORLD_SIZE", 1, size + 1, default=size)
    place = _counted("LOCAL_RANK", 0, here, default=rank)
    if not os.environ.get("OMP_NUM_THREADS"):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // here))
    backend = "gloo"
    if torch.cuda.device_count() >= here:
        torch.cuda.set_device(place)
        backend = "cpu:gloo,cuda:nccl"
    try:
        distributed.init_process_group(backend, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        raise fail(
            "processes",
            f"they did not find each other: {_first_line(error)}",
            "as many processes as WORLD_SIZE says, which reach MASTER_ADDR:MASTER_PORT",
        ) from error


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Turn what a collective operation raises when a process is gone into `ProcessLost`."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(
            f"another process of the run has ended or does not answer ({_first_line(error)}); this one ends too."
        ) from error


def _first_line(error: BaseException) -> str:
    """What torch says, without the line of its source and its advice."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"^\[[^]]*\]\s*", "", line).split(". ")[0][:200]

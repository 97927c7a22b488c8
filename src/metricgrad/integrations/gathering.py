"""The rows of all processes in trainers that average the gradients of processes, as DistributedDataParallel does."""

from typing import Any

from torch import Tensor

from metricgrad._checks import fail
from metricgrad._structures import form
from metricgrad.scale import gather_parts

__all__ = ["of_all_processes", "processes"]


def processes() -> int:
    """Return how many processes there are; 1 where torch.distributed is not in use."""
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size()


def of_all_processes(caller: str, what: str, rows: Any) -> Tensor:
    """Return the rows of all processes, those of process 0 first (exact).

    Args:
        caller: for messages.
        what: the rows are, for messages.
        rows: of this process [row, ...].

    Raises:
        InputError: they are no tensor with rows, or those of processes differ in shape.
        ProcessLost: another process has ended.

    Gradient:
        That of the own rows, times the number of processes: the trainer divides by it when it averages the gradients of
        the parameters, and what comes out is the gradient of the loss of all rows. A parameter of the loss itself gets
        its whole gradient on every process, as every process computes the same loss.

    Example:
        >>> import torch
        >>> of_all_processes("SentenceLoss", "labels", torch.arange(3))  # one process
        tensor([0, 1, 2])
    """
    if not isinstance(rows, Tensor) or not rows.ndim:
        came = f"{what} are {form(rows)}"
        raise fail(caller, came, "a tensor with one row per item, which processes can share")
    count = processes()
    if count == 1:
        return rows
    gathered = gather_parts(rows)
    if gathered.requires_grad:
        gathered.register_hook(lambda gradient: gradient * count)
    return gathered

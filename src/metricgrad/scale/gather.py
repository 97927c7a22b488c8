"""Several processes, one batch: each embeds its part, all see all embeddings, the gradients add up to one process's.

Process r of n takes the rows r, r + n, r + 2n, ... of the global batch, or has a batch of its own (`gather_parts`).
Every process computes the same loss on the same gathered rows, so the gradient of its own rows is complete and nothing
is divided by the number of processes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad.scale.processes import answered

__all__ = ["gather_parts", "gather_rows", "sum_gradients"]

_MOST_AXES = 8


def gather_rows(local: Tensor, *, rows: int | None = None) -> Tensor:
    """Return the rows of all processes in the order of the global batch, with gradient (exact).

    Row i of the result is row i // n of process i mod n; the parts may be uneven by one row.

    Args:
        local: rows of this process [row, ...]: those with the numbers r, r + n, r + 2n, ... of the global batch.
        rows: number of rows of the global batch; None asks the processes, which costs one more message.

    Returns:
        All rows [rows, ...]; `local` itself where torch.distributed is not in use.

    Raises:
        InputError: the parts are not those of an interleaved batch.
        ProcessLost: another process has ended.

    Gradient:
        The rows of the gradient that belong to this process, without communication: right where every process
        computes the same loss from the gathered rows. The gradients of the parameters are then to be summed over
        the processes (`sum_gradients`); DistributedDataParallel averages them instead, so multiply the loss by the
        number of processes there.

    Cost:
        One all-gather of the largest part; memory of the global batch of rows on every process.

    Example:
        >>> gather_rows(torch.ones(3, 2)).shape  # one process
        torch.Size([3, 2])
    """
    if not _several():
        return local
    from torch import distributed

    rank, size = distributed.get_rank(), distributed.get_world_size()
    if rows is None:
        counts = [torch.zeros(1, dtype=torch.long, device=local.device) for _ in range(size)]
        with answered():
            distributed.all_gather(counts, torch.tensor([len(local)], device=local.device))
        parts = [int(count) for count in counts]
        rows = sum(parts)
    else:
        parts = [len(local) if other == rank else _part(rows, other, size) for other in range(size)]
    if parts != [_part(rows, other, size) for other in range(size)]:
        raise fail(
            "gather_rows",
            f"the processes have {parts} rows",
            f"rows r, r + {size}, r + {2 * size}, ... of one batch on process r",
            f"Take batch[rank::{size}] of a batch that is the same everywhere.",
        )
    return _Gather.apply(local, rows, rank, size)  # pyright: ignore[reportReturnType]


def gather_parts(local: Tensor) -> Tensor:
    """Return the rows of all processes, those of process 0 first, with gradient (exact).

    For loops in which every process has a batch of its own. The parts may have any number of rows, none among them.

    Args:
        local: rows of this process [row, ...].

    Returns:
        All rows [rows, ...]; `local` itself where torch.distributed is not in use.

    Raises:
        InputError: on all processes, where their rows differ in shape; there are more than 8 axes, or none.
        ProcessLost: another process has ended.

    Gradient, Cost:
        As of `gather_rows`, and one more message.

    Example:
        >>> gather_parts(torch.ones(3, 2)).shape  # one process
        torch.Size([3, 2])
    """
    if not _several():
        return local
    from torch import distributed

    if not 1 <= local.ndim <= _MOST_AXES:
        came = f"there are {local.ndim} axes"
        raise fail("gather_parts", came, f"1 to {_MOST_AXES}, the first of them of rows")
    padding = [-1] * (_MOST_AXES - local.ndim)
    own = torch.tensor([*local.shape, *padding], device=local.device)
    forms = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    with answered():
        distributed.all_gather(forms, own)
    shapes = [tuple(size for size in form.tolist() if size >= 0) for form in forms]
    if len({shape[1:] for shape in shapes}) > 1:
        came = f"the processes have {' and '.join(map(str, shapes))}"
        raise fail("gather_parts", came, "rows of one shape", "Pad them to one length, the same everywhere.")
    return _GatherParts.apply(  # pyright: ignore[reportReturnType]
        local, [shape[0] for shape in shapes], distributed.get_rank()
    )


def _several() -> bool:
    """Whether there is a process group of more than one, whoever has started it."""
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _part(rows: int, rank: int, size: int) -> int:
    return len(range(rank, rows, size))


def _all_of(local: Tensor, most: int, size: int) -> list[Tensor]:
    """The rows of every process, padded with zeros to the largest part."""
    from torch import distributed

    padded = local.new_zeros(most, *local.shape[1:])
    padded[: len(local)] = local
    parts = [torch.empty_like(padded) for _ in range(size)]
    with answered():
        distributed.all_gather(parts, padded)
    return parts


class _GatherParts(torch.autograd.Function):
    """All-gather of parts of any size forward; the own rows of the gradient backward."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, counts: list[int], rank: int) -> Tensor:
        ctx.first, ctx.count = sum(counts[:rank]), counts[rank]
        parts = _all_of(local, max(counts), len(counts))
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][ctx.first : ctx.first + ctx.count].contiguous(), None, None


class _Gather(torch.autograd.Function):
    """All-gather forward; the own rows of the gradient backward."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, rows: int, rank: int, size: int) -> Tensor:
        ctx.rank, ctx.size = rank, size
        parts = _all_of(local, _part(rows, 0, size), size)
        # [row of part, process, ...] -> [row of batch, ...]; the padding of uneven parts is at the end
        return torch.stack(parts, 1).flatten(0, 1)[:rows]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return gradients[0][ctx.rank :: ctx.size].contiguous(), None, None, None


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sum the gradients of parameters over the processes, in one message for each dtype and device.

    A parameter without gradient on some processes counts 0 there; without gradient on all of them it stays without.
    Where torch.distributed is not in use nothing happens.

    Args:
        parameters: the same ones in the same order on every process.

    Raises:
        ProcessLost: another process has ended.
    """
    if not _several():
        return
    from torch import distributed

    groups: dict[tuple[torch.dtype, torch.device], list[nn.Parameter]] = {}
    for value in parameters:
        groups.setdefault((value.dtype, value.device), []).append(value)
    for (dtype, device), members in groups.items():
        used = torch.tensor([value.grad is not None for value in members], dtype=dtype, device=device)
        flat = torch.cat([_gradient(value).flatten() for value in members] + [used])
        with answered():
            distributed.all_reduce(flat)
        _hand_out(flat, members)


def _gradient(value: nn.Parameter) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


def _hand_out(flat: Tensor, members: Sequence[nn.Parameter]) -> None:
    sizes = [value.numel() for value in members]
    *parts, used = flat.split([*sizes, len(members)])
    for value, part, count in zip(members, parts, used.tolist(), strict=True):
        if count:
            value.grad = part.view_as(value)

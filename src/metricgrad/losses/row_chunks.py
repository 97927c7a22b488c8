"""Rows of a large matrix in chunks that are computed again in the backward pass: what losses of similarities share."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function

__all__ = ["MEMORY_BUDGET", "in_row_chunks", "rows_at_once"]

MEMORY_BUDGET = 256 * 2**20
"""Bytes that may be kept for the backward pass; beyond it rows are chunked and computed again."""


def rows_at_once(row_bytes: int) -> int:
    """Return how many rows of this many bytes fit into the budget, at least one.

    Example:
        >>> rows_at_once(2**20)
        256
    """
    return max(1, MEMORY_BUDGET // max(1, row_bytes))


def in_row_chunks(
    of_rows: Callable[..., Tensor],
    rows: Int[Tensor, " row"],
    inputs: Sequence[Tensor],
    *,
    row_bytes: int,
) -> Float[Tensor, " row"]:
    """Return what a function gives for some rows, computed chunk by chunk where it keeps more than the budget.

    Args:
        of_rows: takes row numbers and the inputs, gives one entry per row; it depends on the rows alone and draws
            nothing.
        rows: row numbers.
        inputs: all tensors that may want a gradient.
        row_bytes: that one row keeps for the backward pass.

    Gradient:
        Exact: a chunk is computed again in the backward pass, a second derivative by keeping all of them.

    Cost:
        Between the passes nothing of a chunk is left but its result. A graph for every chunk would cut the memory that
        the chunk before it has freed into pieces: 16,384 rows then took a gigabyte.

    Example:
        >>> in_row_chunks(lambda rows, of: 2.0 * of[rows], torch.arange(2), [torch.ones(3)], row_bytes=2**40)
        tensor([2., 2.])
    """
    size = rows_at_once(row_bytes)
    if len(rows) <= size:
        return of_rows(rows, *inputs)
    return _ComputedAgain.apply(of_rows, rows, size, *inputs)  # pyright: ignore[reportReturnType]


class _ComputedAgain(Function):
    @staticmethod
    def forward(ctx: Any, of_rows: Callable[..., Tensor], rows: Tensor, size: int, *inputs: Tensor) -> Tensor:
        ctx.of_rows, ctx.size = of_rows, size
        ctx.save_for_backward(rows, *inputs)
        results: Tensor | None = None
        for start in range(0, len(rows), size):
            value = of_rows(rows[start : start + size], *inputs)
            if results is None:
                results = value.new_empty(len(rows))
            # a result kept by itself would stand in the place of a matrix, which the next chunk could not use
            results[start : start + size] = value
        return results  # pyright: ignore[reportReturnType]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, *inputs = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3:]
        again = torch.is_grad_enabled()  # a second derivative was asked for
        if not again:
            inputs = [one.detach().requires_grad_(want) for one, want in zip(inputs, wanted, strict=True)]
        moving = [one for one, want in zip(inputs, wanted, strict=True) if want]
        total: list[Tensor] | None = None
        with torch.enable_grad(), torch.autocast(rows.device.type, enabled=False):
            for part, gradient in zip(rows.split(ctx.size), gradients[0].split(ctx.size), strict=True):
                value = ctx.of_rows(part, *inputs)
                found = torch.autograd.grad(value, moving, gradient, create_graph=again)
                if total is None:
                    total = [one.clone() for one in found]
                elif again:
                    total = [one + more for one, more in zip(total, found, strict=True)]
                else:
                    for one, more in zip(total, found, strict=True):
                        one.add_(more)
        left = iter(total or ())
        return None, None, None, *(next(left) if want else None for want in wanted)

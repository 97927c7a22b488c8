"""Rows of a large matrix in chunks that are computed again in the backward pass: what losses of similarities share."""

from collections.abc import Callable

import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.utils.checkpoint import checkpoint

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
    of_rows: Callable[[Tensor], Tensor], rows: Int[Tensor, " row"], *, row_bytes: int
) -> Shaped[Tensor, "row *unit"]:
    """Return what a function gives for some rows, computed chunk by chunk where it keeps more than the budget.

    Args:
        of_rows: takes row numbers, gives one entry per row; it depends on the rows alone and draws nothing.
        rows: row numbers.
        row_bytes: that one row keeps for the backward pass.

    Gradient:
        Exact: a chunk is computed again in the backward pass.

    Example:
        >>> in_row_chunks(lambda rows: 2.0 * rows, torch.arange(3), row_bytes=2**40)
        tensor([0., 2., 4.])
    """
    size = rows_at_once(row_bytes)
    if len(rows) <= size:
        return of_rows(rows)
    parts = [
        checkpoint(of_rows, part, use_reentrant=False, preserve_rng_state=False) for part in rows.split(size)
    ]
    return torch.cat(parts)  # pyright: ignore[reportArgumentType, reportCallIssue]

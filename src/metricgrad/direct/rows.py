"""The row programme: the best non-decreasing path through a table of gains, in plain torch on any device.

H_i(c) = max over c' <= c of H_{i-1}(c') + g_i(c') is a running maximum, so that one row costs one vector operation.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["best_path"]


def best_path(
    gain: Callable[[int], Tensor], rows: Tensor, last: Tensor, *, longest: int, table_bytes: int
) -> Tensor:
    """Return the path c_1 <= c_2 <= ... that maximises the sum of gains, for many queries at once (exact).

    Args:
        gain: row i -> [query, column] float64, what column c gives there.
        rows: [query] how many rows each query has.
        last: [query] its last column.
        longest: the most rows of a query.
        table_bytes: most memory for the way back; beyond it the rows are computed twice, a block at a time.

    Returns:
        [query, longest] int64; beyond a query's rows its last column.
    """
    columns = int(last.max()) + 1 if last.numel() else 1
    beyond = torch.arange(columns, device=last.device) > last[:, None]  # [query, column]
    state = torch.zeros(beyond.shape, dtype=torch.float64, device=last.device).masked_fill(beyond, -math.inf)

    def row(number: int, state: Tensor) -> tuple[Tensor, Tensor]:
        taken = torch.where((number < rows)[:, None], state + gain(number), state)
        best, where = taken.cummax(1)
        return best, where.to(torch.int32)

    fits = longest * beyond.numel() * 4 <= table_bytes
    block = longest if fits else math.ceil(math.sqrt(longest))
    starts = list(range(0, longest, max(1, block)))
    saved = []
    for start in starts[:-1]:
        saved.append(state)
        for number in range(start, start + block):
            state, _ = row(number, state)
    saved.append(state)
    path = last[:, None].expand(-1, longest).clone()
    column = last[:, None]
    for start, state in zip(reversed(starts), reversed(saved), strict=False):
        back = []
        for number in range(start, min(start + block, longest)):
            state, where = row(number, state)
            back.append(where)
        for number in range(start + len(back) - 1, start - 1, -1):
            found = back.pop().gather(1, column).long()
            column = torch.where((number < rows)[:, None], found, column)
            path[:, number] = column[:, 0]
    return path

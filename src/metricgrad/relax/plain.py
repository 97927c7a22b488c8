"""The plain torch text of the hot operator: tiles of queries, on any device; every kernel is held equal to it.

A tile's similarities are made (or copied), handed to `tile.py`, and thrown away; the backward pass makes them anew.
On CUDA devices a fused kernel of the same contract takes the place of `tile.py`.
"""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from metricgrad.relax import tile as tile_text
from metricgrad.relax.setting import Setting, wide

__all__ = ["gradient_of_scores", "gradients_of_products", "ranks_of_products", "ranks_of_scores"]

MEMORY_BUDGET = 256 * 2**20
"""Bytes that the tiles of similarities may take at a time; a smaller number changes time and no result."""

TILE_ROWS = 512
"""Most queries of one tile: a matrix product gains nothing from more."""


class _Tile(NamedTuple):
    """The queries of one tile; `rows` selects them from any tensor whose first axis is the query."""

    rows: slice | Tensor
    width: int


ScoresOf = Callable[[_Tile], Tensor]
Upstream = tuple[Tensor | None, Tensor | None]


def ranks_of_products(
    queries: Tensor, items: Tensor, setting: Setting, kernel: ModuleType = tile_text
) -> tuple[Tensor, Tensor]:
    """Return the ranks [query, positive] among all items and among the positives, of the scores `queries @ items.T`.

    Args:
        queries: [query, dim].
        items: [item, dim].
        setting: the lists of positives and the step.
        kernel: what does a tile: `tile.py` or a module with the same two functions.

    Returns:
        Two tensors, in float32 or wider; 1 beyond the count.
    """
    rows, columns = _operands(queries, items, setting)
    with torch.autocast(queries.device.type, enabled=False):
        return _ranks(lambda tile: rows[tile.rows] @ columns.T, setting, len(items), rows.dtype, kernel)


def gradients_of_products(
    queries: Tensor, items: Tensor, setting: Setting, upstream: Upstream, kernel: ModuleType = tile_text
) -> tuple[Tensor, Tensor]:
    """Return the gradients by queries and by items, in float32 or wider.

    Args:
        queries: as in the forward pass.
        items: as there.
        setting: as there.
        upstream: gradients [query, positive] by both ranks; None for 0.
        kernel: as there.
    """
    rows, columns = _operands(queries, items, setting)
    of_rows, of_columns = torch.zeros_like(rows), torch.zeros_like(columns)
    with torch.autocast(queries.device.type, enabled=False):
        tiles = _gradients(
            lambda tile: rows[tile.rows] @ columns.T, setting, len(items), rows.dtype, upstream, kernel
        )
        for tile, part in tiles:
            of_rows[tile.rows] = part @ columns
            of_columns.addmm_(part.T, rows[tile.rows])
    return of_rows.div_(setting.temperature), of_columns


def ranks_of_scores(
    scores: Tensor, setting: Setting, kernel: ModuleType = tile_text
) -> tuple[Tensor, Tensor]:
    """Return the ranks [query, positive] among all items and among the positives, of scores [query, item]."""
    divided = _divided(scores, setting)
    return _ranks(divided, setting, scores.shape[1], wide(scores), kernel)


def gradient_of_scores(
    scores: Tensor, setting: Setting, upstream: Upstream, kernel: ModuleType = tile_text
) -> Tensor:
    """Return the gradient by the scores, in their own type."""
    gradient = torch.zeros_like(scores)
    divided = _divided(scores, setting)
    for tile, part in _gradients(divided, setting, scores.shape[1], wide(scores), upstream, kernel):
        gradient[tile.rows] = part.div_(setting.temperature).to(scores.dtype)
    return gradient


def _operands(queries: Tensor, items: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
    """Return both in float32 or wider, the queries divided by the temperature (0 divides by 1)."""
    dtype = wide(queries, items)
    return queries.to(dtype) / (setting.temperature or 1.0), items.to(dtype)


def _divided(scores: Tensor, setting: Setting) -> ScoresOf:
    dtype, temperature = wide(scores), setting.temperature or 1.0
    return lambda tile: scores[tile.rows].to(dtype) / temperature


def _tiles(setting: Setting, items: int, element_size: int) -> Iterator[_Tile]:
    """Cut the queries that have a positive into tiles; queries with equally many go together, to pad little."""
    counts = setting.counts
    if len(counts) == 0:
        return
    # three matrices of a tile's shape are alive at a time: similarities, their gradient, a block's differences
    size = max(1, min(TILE_ROWS, MEMORY_BUDGET // max(1, 3 * items * element_size)))
    most, least = int(counts.max()), int(counts.min())
    if most == least:
        for start in range(0, len(counts) if most else 0, size):
            yield _Tile(slice(start, start + size), most)
        return
    ordered, order = torch.sort(counts, descending=True, stable=True)
    widths = ordered.tolist()
    for start in range(0, sum(width > 0 for width in widths), size):
        rows = order[start : start + size]
        yield _Tile(rows[ordered[start : start + size] > 0], widths[start])


def _levels(scores: Tensor, setting: Setting, tile: _Tile) -> tuple[Tensor, Tensor, Tensor]:
    """Return the positives' numbers, validity and scores in a tile, and take the excluded items out of `scores`."""
    positives = setting.positives[tile.rows, : tile.width]
    columns = torch.arange(tile.width, device=scores.device)
    valid = columns < setting.counts[tile.rows].unsqueeze(1)
    levels = scores.gather(1, positives).masked_fill_(~valid, 0)
    if setting.excluded is not None:
        own = setting.excluded[tile.rows]
        rows = torch.nonzero(own >= 0).squeeze(1)
        scores[rows, own[rows]] = -torch.inf
    return positives, valid, levels


def _ranks(
    scores_of: ScoresOf, setting: Setting, items: int, dtype: torch.dtype, kernel: ModuleType
) -> tuple[Tensor, Tensor]:
    """Fill both kinds of ranks [query, positive], tile by tile."""
    exact = setting.temperature == 0  # no kernel has the hard step: exact ranks are not trained through
    tile_ranks = tile_text.tile_ranks if exact else kernel.tile_ranks
    among_all = torch.ones(setting.positives.shape, dtype=dtype, device=setting.positives.device)
    among_positives = torch.ones_like(among_all)
    for tile in _tiles(setting, items, dtype.itemsize):
        scores = scores_of(tile)
        _, valid, levels = _levels(scores, setting, tile)
        of_all, of_positives = tile_ranks(scores, levels, valid, "hard" if exact else setting.step)
        among_all[tile.rows, : tile.width] = of_all.masked_fill_(~valid, 1)
        among_positives[tile.rows, : tile.width] = of_positives.masked_fill_(~valid, 1)
    return among_all, among_positives


def _gradients(
    scores_of: ScoresOf,
    setting: Setting,
    items: int,
    dtype: torch.dtype,
    upstream: Upstream,
    kernel: ModuleType,
) -> Iterator[tuple[_Tile, Tensor]]:
    """Yield each tile with the gradient by its divided scores [query, item]."""
    for tile in _tiles(setting, items, dtype.itemsize):
        scores = scores_of(tile)
        positives, valid, levels = _levels(scores, setting, tile)
        of_all, of_positives = (None if part is None else part[tile.rows, : tile.width] for part in upstream)
        yield (
            tile,
            kernel.tile_gradient(scores, levels, valid, positives, of_all, of_positives, setting.step),
        )

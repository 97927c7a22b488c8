"""Ranks and gradients of products on the CPU: blocks of queries by items, no matrix of similarities.

Forward: the product of a block, one compiled pass over it, next block. Backward: blocks whose windows held few
scores are done from these scores alone; the others have their product made again, turned into the gradient in
place, and multiplied with the rows of both sides. Memory: one block a thread, the noted scores, and the gradient of
the rows once a thread.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metricgrad.relax.kernels import BLOCK, NOTED_SHARE, Windows, sparse
from metricgrad.relax.kernels.blocks import rank_block, slope_block
from metricgrad.relax.kernels.prepared import (
    Prepared,
    ends,
    on_parts,
    prepare,
    ranks_among_all,
    ranks_among_positives,
    slopes_among_positives,
    weights_of,
)
from metricgrad.relax.kernels.threads import parts, run_on_threads, torch_on_one_thread
from metricgrad.relax.setting import Setting

__all__ = ["gradients_of_products", "ranks_of_products"]

SUMS_LIMIT = 128 * 2**20
"""Bytes of rank sums from which on blocks are not mirrored, because every thread would need a copy."""


class _Problem:
    """Queries and items, and how they are cut into blocks.

    A square problem (every item is a query) with unequal classes is put in the order of its counts: the passes go
    over as many columns of positives as the longest list in a piece, and so the short lists are not padded.
    """

    def __init__(self, queries: Tensor, items: Tensor, setting: Setting, threads: int) -> None:
        self.square = items is queries
        blocks = -(-len(queries) // BLOCK)
        self.threads = min(threads, max(1, blocks))
        self.mirrored = self.square and 16 * setting.positives.numel() * self.threads <= SUMS_LIMIT
        self.order = None
        if self.mirrored and len(setting.counts) and int(setting.counts.min()) != int(setting.counts.max()):
            self.order = torch.sort(setting.counts, descending=True, stable=True).indices
            setting, queries = _reordered(setting, self.order), queries[self.order]
        self.queries = queries.contiguous()
        self.items = self.queries if self.square else items.contiguous()
        levels = np.zeros(setting.positives.shape, self.queries.numpy().dtype)
        positives, counts = setting.positives.contiguous().numpy(), setting.counts.contiguous().numpy()
        on_parts(
            lambda start, stop: sparse.levels_of(
                self.queries.numpy(), self.items.numpy(), positives, counts, levels, start, stop
            ),
            len(queries),
            self.threads,
        )
        self.lists = prepare(setting, levels, len(items), self.threads)

    def blocks(self) -> list["_Block"]:
        """Cut the problem into blocks; those of one row of blocks follow each other."""
        queries, items = len(self.queries), len(self.items)
        return [
            _Block(
                slice(row, min(row + BLOCK, queries)),
                slice(column, min(column + BLOCK, items)),
                self.mirrored and column > row,
            )
            for row in range(0, queries, BLOCK)
            for column in range(row if self.mirrored else 0, items, BLOCK)
        ]

    def share(self, thread: int) -> list[tuple[int, "_Block"]]:
        """Return a thread's numbered blocks: in turn where every thread has sums of its own, else rows of blocks."""
        blocks = list(enumerate(self.blocks()))
        if self.mirrored:
            return blocks[thread :: self.threads]
        return [each for each in blocks if each[1].rows.start // BLOCK % self.threads == thread]

    def product(self, block: "_Block", memory: Tensor) -> Tensor:
        """Return the similarities [query, item] of a block in the thread's memory."""
        rows, columns = self.queries[block.rows], self.items[block.columns]
        scores = memory[: len(rows) * len(columns)].view(len(rows), len(columns))
        return torch.mm(rows, columns.T, out=scores)

    def restored(self, rows: Tensor) -> Tensor:
        """Return rows in the order in which the queries came."""
        if self.order is None:
            return rows
        result = torch.empty_like(rows)
        result[self.order] = rows
        return result


def _reordered(setting: Setting, order: Tensor) -> Setting:
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    excluded = setting.excluded
    if excluded is not None:
        excluded = excluded[order]
        excluded = torch.where(excluded >= 0, place[excluded.clamp(min=0)], -1)
    return setting._replace(
        positives=place[setting.positives[order]], counts=setting.counts[order], excluded=excluded
    )


class _Sums:
    """Sums of steps or slopes by positive: one copy for all threads, or one each where blocks are mirrored."""

    def __init__(self, problem: _Problem) -> None:
        lists = problem.lists
        copies = problem.threads if problem.mirrored else 1
        self.mirrored = problem.mirrored
        self.rows, self.taken = (np.zeros((copies, *lists.levels.shape)) for _ in range(2))
        self.columns = np.zeros((copies, *lists.columns.shape) if self.mirrored else (1, 0, 0))

    def of(self, thread: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what a thread adds to: [query, positive] and [positive, query]."""
        copy = thread if self.mirrored else 0
        return self.rows[copy], self.columns[copy]

    def taken_by(self, thread: int) -> np.ndarray:
        """Return the gradient [query, positive] that a thread takes out of its blocks."""
        return self.taken[thread if self.mirrored else 0]

    def total(self) -> np.ndarray:
        """Return [query, positive]."""
        return self.rows.sum(0) + (self.columns.sum(0).T if self.mirrored else 0)


class _Block(NamedTuple):
    rows: slice
    columns: slice
    mirrored: bool


def ranks_of_products(
    queries: Tensor, items: Tensor, setting: Setting, windows: Windows
) -> tuple[Tensor, Tensor]:
    """Return the ranks [query, positive] among all items and among the positives.

    Args:
        queries: [query, dim] finite, float32 or float64.
        items: [item, dim] the same type; the very tensor `queries` for a square problem.
        setting: the lists of positives and the step.
        windows: receives the scores inside windows, as far as there is room; none where there is no row in `table`.

    Returns:
        Two tensors in the type of the rows; 1 beyond the count.
    """
    with torch_on_one_thread() as threads:
        problem = _Problem(queries, items, setting, threads)
        lists = problem.lists
        low, high = ends(lists, lists.valid)
        pair, score, table = windows.pair.numpy(), windows.score.numpy(), windows.table.numpy()
        sums = _Sums(problem)
        rooms = parts(len(pair), problem.threads)

        def work(thread: int) -> None:
            free, end = rooms[thread]
            memory = torch.empty(BLOCK * BLOCK, dtype=queries.dtype)
            for number, block in problem.share(thread):
                scores = problem.product(block, memory)
                after = rank_block(
                    scores.numpy(),
                    block.rows.start,
                    block.columns.start,
                    block.mirrored,
                    lists.positives,
                    lists.counts,
                    lists.levels,
                    lists.columns,
                    lists.excluded,
                    low,
                    high,
                    lists.scale,
                    lists.laplace,
                    *sums.of(thread),
                    pair[:, 0],
                    pair[:, 1],
                    score,
                    free,
                    min(end, free + scores.numel() // NOTED_SHARE),
                )
                if after >= 0 and len(table):
                    table[number] = free, after - free
                    free = after

        run_on_threads(work, problem.threads)
        return (
            problem.restored(ranks_among_all(lists, sums.total())),
            problem.restored(ranks_among_positives(lists)),
        )


def gradients_of_products(
    queries: Tensor,
    items: Tensor,
    setting: Setting,
    windows: Windows,
    of_all: Tensor | None,
    of_positives: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the gradients by the queries and by the items, given the gradients by both ranks.

    Args:
        queries: as in the forward pass.
        items: as there.
        setting: as there.
        windows: what the forward pass noted.
        of_all: [query, positive] gradient by the ranks among all items; None for 0.
        of_positives: [query, positive] gradient by the ranks among the positives; None for 0.

    Returns:
        [query, dim] and [item, dim]; in a square problem the first is their sum, and the second is the same tensor.
    """
    with torch_on_one_thread() as threads:
        problem = _Problem(queries, items, setting, threads)
        of_all, of_positives = (
            part if part is None or problem.order is None else part[problem.order]
            for part in (of_all, of_positives)
        )
        of_levels = slopes_among_positives(problem.lists, of_positives)
        of_queries = torch.zeros_like(problem.queries)
        of_items = of_queries if problem.square else torch.zeros_like(problem.items)
        noted = _lists(np.zeros(len(queries), np.int64))
        if of_all is not None:
            weights = weights_of(of_all, problem.lists)
            of_levels += _dense(problem, windows, weights, of_queries, of_items)
            noted = _noted(problem, windows, weights, of_levels)
        _spread(problem, _positives(problem.lists, of_levels), noted, of_queries, of_items)
        of_queries = problem.restored(of_queries)
        return of_queries, of_queries if problem.square else of_items


def _dense(
    problem: _Problem, windows: Windows, weights: np.ndarray, of_queries: Tensor, of_items: Tensor
) -> np.ndarray:
    """Add the gradients of the blocks that were not noted; return what their positives gain [query, positive]."""
    lists = problem.lists
    low, _ = ends(lists, weights != 0)
    column_weights = np.ascontiguousarray(weights.T)
    active, known = np.isfinite(low), windows.table[:, 1].tolist()

    def wanted(number: int, block: _Block) -> bool:
        noted = bool(known) and known[number] >= 0
        mirror = block.mirrored and active[block.columns].any()
        return not noted and bool(active[block.rows].any() or mirror)

    shares = [
        [block for number, block in problem.share(thread) if wanted(number, block)]
        for thread in range(problem.threads)
    ]
    if not any(shares):
        return np.zeros(weights.shape)
    # a thread owns rows of queries, unless blocks are mirrored; rows of items belong to nobody
    items_of = [torch.zeros_like(problem.items) for _ in range(problem.threads)]
    queries_of = items_of if problem.mirrored else [of_queries] * problem.threads
    sums = _Sums(problem)

    def work(thread: int) -> None:
        memory = torch.empty(BLOCK * BLOCK, dtype=problem.queries.dtype)
        for block in shares[thread]:
            scores = problem.product(block, memory)
            if slope_block(
                scores.numpy(),
                block.rows.start,
                block.columns.start,
                block.mirrored,
                lists.positives,
                lists.counts,
                lists.levels,
                lists.columns,
                lists.excluded,
                low,
                lists.scale,
                lists.laplace,
                weights,
                column_weights,
                *sums.of(thread),
                sums.taken_by(thread),
            ):
                queries_of[thread][block.rows].addmm_(scores, problem.items[block.columns])
                items_of[thread][block.columns].addmm_(scores.T, problem.queries[block.rows])

    run_on_threads(work, problem.threads)
    for part in items_of:
        of_items.add_(part)
    return sums.taken.sum(0) - sums.total() * weights


class _Rows(NamedTuple):
    """Lists of other rows with a value each, one list a row.

    Attributes:
        first: [row] where its list begins.
        last: [row] where it ends.
        number: [entry] int32 the other row.
        value: [entry] float64.
    """

    first: np.ndarray
    last: np.ndarray
    number: np.ndarray
    value: np.ndarray


def _positives(lists: Prepared, of_levels: np.ndarray) -> _Rows:
    """Return the gradients by the positives' similarities as lists by query."""
    first = np.arange(len(lists.counts)) * lists.positives.shape[1]
    return _Rows(
        first, first + lists.counts, lists.positives.reshape(-1).astype(np.int32), of_levels.reshape(-1)
    )


def _noted(problem: _Problem, windows: Windows, weights: np.ndarray, of_levels: np.ndarray) -> _Rows:
    """Return the gradients by the noted scores as lists by query; their positives lose the same in `of_levels`."""
    lists, blocks = problem.lists, problem.blocks()
    pair, score = windows.pair.numpy(), windows.score.numpy()
    pieces = [
        (slice(first, first + size), blocks[number].mirrored)
        for number, (first, size) in enumerate(windows.table.tolist())
        if size > 0
    ]
    lengths = np.zeros(len(lists.counts), np.int64)
    for entries, mirrored in pieces:
        for side in (0, 1) if mirrored else (0,):
            lengths += np.bincount(pair[entries, side], minlength=len(lengths))
    rows = _lists(lengths)
    free = rows.first.copy()
    for entries, mirrored in pieces:
        sparse.fill_rows(
            pair[entries, 0], pair[entries, 1], score[entries], mirrored, free, rows.number, rows.value
        )
    on_parts(
        lambda start, stop: sparse.entry_slopes(
            rows.first,
            rows.last,
            rows.value,
            lists.counts,
            lists.levels,
            lists.scale,
            lists.laplace,
            weights,
            of_levels,
            start,
            stop,
        ),
        len(lengths),
        problem.threads,
    )
    return rows


def _lists(lengths: np.ndarray) -> _Rows:
    """Return room for lists of these lengths."""
    last = np.cumsum(lengths)
    size = int(last[-1]) if len(last) else 0
    return _Rows(last - lengths, last, np.empty(size, np.int32), np.empty(size))


def _transposed(rows: _Rows, length: int) -> _Rows:
    """Return the lists of the other side, of `length` rows."""
    lengths = np.zeros(length, np.int64)
    sparse.count_numbers(rows.first, rows.last, rows.number, lengths)
    columns = _lists(lengths)
    sparse.transpose(*rows, columns.first.copy(), columns.number, columns.value)
    return columns


def _spread(problem: _Problem, own: _Rows, noted: _Rows, of_queries: Tensor, of_items: Tensor) -> None:
    """Carry the gradients by single similarities, the positives' own and the noted ones, to the rows of both sides."""

    def gather(lists: tuple[_Rows, _Rows], source: Tensor, target: Tensor) -> None:
        first, second = (tuple(each) for each in lists)
        on_parts(
            lambda start, stop: sparse.gather_rows(
                first, second, source.numpy(), target.numpy(), start, stop
            ),
            len(target),
            problem.threads,
        )

    gather((own, noted), problem.items, of_queries)
    items = len(of_items)
    gather((_transposed(own, items), _transposed(noted, items)), problem.queries, of_items)

"""The nearest items of every query, exact: for galleries, neighbour votes and search.

Order: similarity, highest first, then the index, lowest first. faiss, where it is installed, only proposes; its
float32 scores are replaced by the exact ones of `similarity.py`, and a query for which the proposal cannot be proved
complete is searched again without it. So both engines give the same result.
"""

import importlib.util
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._checks import describe, extra, fail, require_ks
from metricgrad.metrics.progress import tell
from metricgrad.metrics.ranks import TILE
from metricgrad.metrics.similarity import Grid, on_grid

__all__ = ["NearestItems", "nearest_items"]

Engine = Literal["auto", "torch", "faiss"]

_SPARE = 16
"""Candidates beyond k that faiss is asked for, so that near-equal scores around place k can be told apart."""


class NearestItems(NamedTuple):
    """Nearest items, best first; `item` -1 and `similarity` -inf where there are fewer than k."""

    item: Int[Tensor, "query k"]
    similarity: Float[Tensor, "query k"]


def nearest_items(
    queries: Float[Tensor, "query dim"],
    references: Float[Tensor, "item dim"],
    k: int,
    *,
    exclude: Int[Tensor, "query"] | None = None,
    normalize: bool = True,
    tile: int = TILE,
    engine: Engine = "auto",
) -> NearestItems:
    """The k items most similar to each query (exact), by similarity, then by index.

    Args:
        queries: one row per query.
        references: the items.
        k: number of items, >= 1.
        exclude: index of one item per query that is passed over (the query itself); -1 for none.
        normalize: cosine; False for the dot product.
        tile: similarities held at a time (8 bytes each, a few copies).
        engine: `torch`, `faiss` or `auto` (faiss where it is installed and the references are at least 10,000).

    Returns:
        Index of the item and float64 similarity, [query, min(k, item)], best first.

    Raises:
        InputError: no floating-point matrices of one width, NaN or infinite values, k < 1, an index out of range.
        MissingExtraError: engine `faiss` without faiss.

    Edge cases:
        ties: the lower index first, copies tie exactly. Fewer than k items to choose from: item -1, similarity
        -inf in the last columns.

    Gradient: none.

    Cost:
        Time of the product `query * item * dim` in float64 and of one selection; memory of a few tiles.

    Reference:
        [johnson2021faiss] for the optional engine.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> nearest_items(points, points, 1, exclude=torch.arange(3)).item[:, 0]
        tensor([1, 0, 1])
    """
    caller = "nearest_items"
    (k,) = require_ks(caller, (k,))
    rows = on_grid(caller, "queries", queries, normalize=normalize, shared=False)
    items = on_grid(caller, "references", references, normalize=normalize, shared=True)
    if rows.rows.shape[1] != items.rows.shape[1]:
        raise fail(
            caller,
            f"queries are {describe(queries)} and references {describe(references)}",
            "one number of dimensions",
        )
    excluded = _checked_exclude(caller, exclude, rows, items)
    if engine not in ("auto", "torch", "faiss"):
        raise fail(caller, f"engine is {engine!r}", "'auto', 'torch' or 'faiss'")
    count = len(items.rows)
    k = min(k, count)
    if engine == "faiss" or (engine == "auto" and count >= 10_000 and _has_faiss()):
        index, score = _by_faiss(rows.rows, items.rows, k, excluded, tile)
    else:
        index, score = _by_tiles(rows.rows, items.rows, k, excluded, tile)
    found = score > -torch.inf
    unit = items.unit[:1] if count else items.unit.new_ones(1, 1)
    return NearestItems(torch.where(found, index, -1), score * rows.unit * unit)


def _by_tiles(rows: Tensor, items: Tensor, k: int, excluded: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """Search all items, tile by tile; return index and score, best first."""
    width = max(1, min(len(items), tile // min(128, tile)))  # items of a tile
    height = max(1, tile // width)  # queries of a tile
    found = []
    for start in range(0, max(len(rows), 1), height):
        here, left_out = rows[start : start + height], excluded[start : start + height]
        index = torch.zeros(len(here), 0, dtype=torch.int64, device=rows.device)
        score = here.new_zeros(len(here), 0)
        for first in range(0, len(items), width):
            scores = here @ items[first : first + width].T  # [height, width]
            hit = ((left_out >= first) & (left_out < first + scores.shape[1])).nonzero()[:, 0]
            scores[hit, left_out[hit] - first] = -torch.inf
            columns = _first_of_best(scores, min(k, scores.shape[1]))
            # The earlier tiles come first, and a stable sort keeps that order among equals.
            index = torch.cat([index, columns + first], 1)
            score = torch.cat([score, scores.gather(1, columns)], 1)
            index, score = _sorted(index, score, k)
        found.append((index, score))
        tell(start + len(here), len(rows))
    index, score = (torch.cat(parts) for parts in zip(*found, strict=True))
    return index, score


def _first_of_best(scores: Float[Tensor, "query item"], k: int) -> Int[Tensor, "query k"]:
    """Columns of the k best scores in ascending order; where place k is tied, the lowest columns."""
    best, columns = scores.topk(k, dim=1)
    columns = columns.sort(dim=1).values
    last = best[:, -1:]
    rows = ((scores >= last).sum(1) > k).nonzero()[:, 0]  # topk breaks ties as it likes: settle them here
    if len(rows):
        above, tied = scores[rows] > last[rows], scores[rows] == last[rows]
        room = k - above.sum(1, keepdim=True)
        chosen = above | (tied & (tied.cumsum(1) <= room))  # k of each row
        columns[rows] = chosen.nonzero()[:, 1].reshape(len(rows), k)
    return columns


def _sorted(index: Tensor, score: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best by score, equals in the order in which they stand."""
    order = score.argsort(dim=1, descending=True, stable=True)[:, :k]
    return index.gather(1, order), score.gather(1, order)


def _by_faiss(rows: Tensor, items: Tensor, k: int, excluded: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """Let faiss propose in float32, score the proposals exactly, search the doubtful queries again."""
    faiss = extra("faiss", "faiss", "nearest_items with engine='faiss'")
    search = faiss.IndexFlatIP(items.shape[1])
    search.add(np.ascontiguousarray(items.float().cpu().numpy()))
    proposed, candidates = search.search(
        np.ascontiguousarray(rows.float().cpu().numpy()), min(k + 1 + _SPARE, len(items))
    )
    candidates = torch.from_numpy(candidates).to(rows.device).sort(dim=1).values  # ties go by index
    step = max(1, tile // max(1, candidates.shape[1] * items.shape[1]))
    groups = zip(rows.split(step), candidates.split(step), strict=True)
    scores = torch.cat([torch.einsum("qd,qcd->qc", row, items[group]) for row, group in groups])
    scores = scores.masked_fill(candidates == excluded[:, None], -torch.inf)
    index, score = _sorted(candidates, scores, k)
    if candidates.shape[1] < len(items):
        # Rows have at most unit length: dim + 2 roundings of 2^-24 bound the error of a float32 score, so nothing
        # that was not proposed can exceed the lowest proposal by more than that.
        slack = (items.shape[1] + 2) * 2.0**-24
        limit = torch.from_numpy(proposed[:, -1]).to(score) + slack
        doubtful = (score[:, -1] <= limit).nonzero()[:, 0]
        if len(doubtful):
            index[doubtful], score[doubtful] = _by_tiles(rows[doubtful], items, k, excluded[doubtful], tile)
    return index, score


def _has_faiss() -> bool:
    """Whether faiss can be imported; the search stays exact without it."""
    return importlib.util.find_spec("faiss") is not None


def _checked_exclude(caller: str, exclude: Tensor | None, rows: Grid, items: Grid) -> Tensor:
    """Return the index that each query passes over, -1 for none."""
    queries, count = len(rows.rows), len(items.rows)
    if exclude is None:
        return torch.full((queries,), -1, device=rows.rows.device)
    if exclude.shape != (queries,) or exclude.is_floating_point() or exclude.dtype == torch.bool:
        raise fail(caller, f"exclude is {describe(exclude)}", f"{queries} whole numbers, one a query")
    if not bool(((exclude >= -1) & (exclude < count)).all()):
        raise fail(caller, "exclude has an index out of range", f"-1 (none) to {count - 1}")
    return exclude.to(rows.rows.device, torch.int64)

"""The nearest items of every query, exact: for galleries, neighbour votes and search.

Order: similarity, highest first, then the index, lowest first. A rounded product (of ours, or faiss where it is
installed) only proposes; its scores are replaced by the exact ones of `similarity.py`, and a query for which the
proposal cannot be proved complete is searched again by these. So both engines give the same result.
"""

import importlib.util
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from metricgrad._checks import describe, extra, fail, require_ks
from metricgrad.metrics.block_nearest import best_by_blocks, best_candidates
from metricgrad.metrics.progress import tell
from metricgrad.metrics.ranks import TILE
from metricgrad.metrics.rows import Embeddings, Later, blocks, float32_error, read_rows
from metricgrad.metrics.similarity import Similarities

__all__ = ["NearestItems", "exactly_nearest", "nearest_items"]

Engine = Literal["auto", "torch", "faiss"]

_SPARE = {"torch": 3, "blocks": 16, "faiss": 16}
"""Candidates beyond k + 1 that are asked for, so that near-equal scores around place k can be told apart: in float64
hardly any but copies are near, in float32 (that of blocks, and faiss) many."""


class NearestItems(NamedTuple):
    """Nearest items, best first; `item` -1 and `similarity` -inf where there are fewer than k."""

    item: Int[Tensor, "query k"]
    similarity: Float[Tensor, "query k"]


def nearest_items(
    queries: Embeddings,
    references: Embeddings,
    k: int,
    *,
    exclude: Int[Tensor, "query"] | None = None,
    normalize: bool = True,
    tile: int = TILE,
    engine: Engine = "auto",
) -> NearestItems:
    """The k items most similar to each query (exact), by similarity, then by index.

    Args:
        queries: one row per query; a tensor, or an array of NumPy, also a memory map.
        references: the items, likewise.
        k: number of items, >= 1.
        exclude: index of one item per query that is passed over (the query itself); -1 for none.
        normalize: cosine; False for the dot product.
        tile: similarities held at a time (8 bytes each, a few copies).
        engine: `torch`, `faiss` or `auto`: faiss where it is installed, for 10,000 references and more, unless these
            are so many that they are read in blocks.

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
        Time of the product `query * item * dim` in float64 and of one selection; memory of a few tiles. Queries with
        more near-equal items than the selection has room for cost some 6 times as much.

    Reference:
        [johnson2021faiss] for the optional engine.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> nearest_items(points, points, 1, exclude=torch.arange(3)).item[:, 0]
        tensor([1, 0, 1])
    """
    return exactly_nearest(
        queries, references, k, exclude=exclude, normalize=normalize, tile=tile, engine=engine
    )[0]


def exactly_nearest(
    queries: Embeddings,
    references: Embeddings,
    k: int,
    *,
    exclude: Int[Tensor, "query"] | None = None,
    normalize: bool = True,
    tile: int = TILE,
    engine: Engine = "auto",
) -> tuple[NearestItems, Shaped[Tensor, "query k"]]:
    """As `nearest_items`, and the exact scores that the order goes by: they tell what float64 does not."""
    caller = "nearest_items"
    (k,) = require_ks(caller, (k,))
    rows = read_rows(caller, "queries", queries, normalize=normalize)
    items = rows
    if references is not queries:
        items = read_rows(caller, "references", references, normalize=normalize)
    if rows.exact.shape[1] != items.exact.shape[1]:
        raise fail(
            caller,
            f"queries are {describe(queries)} and references {describe(references)}",
            "one number of dimensions",
        )
    similarities = Similarities(rows, items)
    excluded = _checked_exclude(caller, exclude, similarities)
    if engine not in ("auto", "torch", "faiss"):
        raise fail(caller, f"engine is {engine!r}", "'auto', 'torch' or 'faiss'")
    count = len(items.exact)
    k = min(k, count)
    in_blocks = isinstance(similarities.items, Later) and float32_error(rows.exact.shape[1]) < torch.inf
    if engine == "auto":
        engine = "faiss" if count >= 10_000 and not in_blocks and _has_faiss() else "torch"
    if k == 0:
        nothing = torch.zeros(len(similarities.queries), 0, dtype=torch.float64, device=excluded.device)
        return NearestItems(nothing.long(), nothing), nothing
    if engine == "torch" and in_blocks:
        candidates, limit = best_by_blocks(similarities, min(k + 1 + _SPARE["blocks"], count), excluded)
        candidates = best_candidates(similarities, candidates, k, excluded)
    else:
        propose = _by_faiss if engine == "faiss" else _by_tiles
        candidates, limit = propose(similarities, min(k + 1 + _SPARE[engine], count), excluded, tile)
    index, score = _settled(similarities, candidates, limit, k, excluded, tile)
    found = score > _lowest(score)
    similarity = torch.where(found, similarities.value(score), -torch.inf)
    return NearestItems(torch.where(found, index, -1), similarity), score


def _settled(
    similarities: Similarities, candidates: Tensor, limit: Tensor, k: int, excluded: Tensor, tile: int
) -> tuple[Tensor, Tensor]:
    """Return the k best of the candidates by exact similarity; search again where others may be better.

    Args:
        similarities: of all queries and items.
        candidates: items [query, candidate].
        limit: rounded similarity that no other item exceeds [query].
        k: number of items.
        excluded: the item that each query passes over.
        tile: similarities held at a time.
    """
    candidates = candidates.sort(dim=1).values  # ties go by index
    everyone = torch.arange(len(candidates), device=candidates.device)
    scores = similarities.exact_at(everyone, candidates, tile)
    scores = scores.masked_fill(candidates == excluded[:, None], _lowest(scores))
    index, score = _sorted(candidates, scores, k)
    if candidates.shape[1] < len(similarities.items):
        doubtful = (similarities.rounded(score[:, -1]) <= limit).nonzero()[:, 0]
        if len(doubtful):
            index[doubtful], score[doubtful] = _searched(similarities, doubtful, k, excluded[doubtful], tile)
    return index, score


def _searched(
    similarities: Similarities, rows: Tensor, k: int, excluded: Tensor, tile: int
) -> tuple[Tensor, Tensor]:
    """Search all items for some queries by exact similarity, tile by tile; return index and score, best first."""

    def scored(some: Tensor, columns: slice) -> Tensor:
        return similarities.exact_tile(rows[some], columns)

    return _over_tiles(scored, _first_of_best, len(rows), len(similarities.items), k, excluded, tile)


def _by_tiles(similarities: Similarities, k: int, excluded: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """Propose the k items that may be best by rounded similarity, and what no other item exceeds."""
    slack = similarities.slack
    alike = float(slack.amax()) if bool((slack == slack[0]).all()) else None

    def scored(some: Tensor, columns: slice) -> Tensor:
        scores = similarities.tile(some, columns)
        return scores if alike is not None else scores.add_(slack[columns])

    def best_of(scores: Tensor, k: int) -> Tensor:
        return scores.topk(k, dim=1).indices  # equals are told apart later

    sizes = len(similarities.queries), len(similarities.items)
    index, score = _over_tiles(scored, best_of, *sizes, k, excluded, tile)
    return index, score[:, -1] + (alike or 0.0)


def _over_tiles(
    scored: Callable[[Tensor, slice], Tensor],
    best_of: Callable[[Tensor, int], Tensor],
    queries: int,
    items: int,
    k: int,
    excluded: Tensor,
    tile: int,
) -> tuple[Tensor, Tensor]:
    """Return index and score of the k best items of each query, best first; `best_of` says which of equals."""
    width = max(1, min(items, tile // min(128, tile)))  # items of a tile
    height = max(1, tile // width)  # queries of a tile
    found = []
    for here in torch.arange(queries, device=excluded.device).split(height):
        index = score = None
        for first in range(0, items, width):
            scores = scored(here, slice(first, first + width))  # [height, width]
            left_out = excluded[here] - first
            hit = ((left_out >= 0) & (left_out < scores.shape[1])).nonzero()[:, 0]
            scores[hit, left_out[hit]] = _lowest(scores)
            columns = best_of(scores, min(k, scores.shape[1]))
            best = columns + first, scores.gather(1, columns)
            if index is not None and score is not None:
                # The earlier tiles come first, and a stable sort keeps that order among equals.
                best = torch.cat([index, best[0]], 1), torch.cat([score, best[1]], 1)
            index, score = _sorted(*best, k)
        found.append((index, score))
        tell(sum(len(part) for part, _ in found), queries)
    index, score = (torch.cat(parts) for parts in zip(*found, strict=True))
    return index, score


def _lowest(scores: Tensor) -> float | int:
    """What is below every similarity of this form."""
    return -torch.inf if scores.is_floating_point() else torch.iinfo(scores.dtype).min


def _first_of_best(scores: Shaped[Tensor, "query item"], k: int) -> Int[Tensor, "query k"]:
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


def _by_faiss(similarities: Similarities, k: int, excluded: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """Let faiss propose k items in float32; return them and what no other item exceeds."""
    faiss = extra("faiss", "faiss", "nearest_items with engine='faiss'")
    search = faiss.IndexFlatIP(similarities.items.shape[1])
    for some in blocks(len(similarities.items)):
        search.add(np.ascontiguousarray(similarities.items[some].float().cpu().numpy()))
    queries = similarities.queries[:].float().cpu().numpy()
    proposed, candidates = search.search(np.ascontiguousarray(queries), k)
    # Rows have at most unit length: dim + 2 roundings of 2^-24 bound the error of a float32 score, so nothing
    # that was not proposed can exceed the lowest proposal by more than that.
    slack = (similarities.items.shape[1] + 2) * 2.0**-24
    lowest = torch.from_numpy(proposed[:, -1]).to(excluded.device, torch.float64)
    return torch.from_numpy(candidates).to(excluded.device), lowest + slack


def _has_faiss() -> bool:
    """Whether faiss can be imported; the search stays exact without it."""
    return importlib.util.find_spec("faiss") is not None


def _checked_exclude(caller: str, exclude: Tensor | None, similarities: Similarities) -> Tensor:
    """Return the index that each query passes over, -1 for none."""
    queries, count = len(similarities.queries), len(similarities.items)
    device = similarities.queries.device
    if exclude is None:
        return torch.full((queries,), -1, device=device)
    fits = isinstance(exclude, Tensor) and exclude.shape == (queries,)
    if not fits or exclude.is_floating_point() or exclude.dtype == torch.bool:
        expected = f"a tensor of {queries} whole numbers, one a query"
        raise fail(caller, f"exclude is {describe(exclude)}", expected)
    if not bool(((exclude >= -1) & (exclude < count)).all()):
        raise fail(caller, "exclude has an index out of range", f"-1 (none) to {count - 1}")
    return exclude.to(device, torch.int64)

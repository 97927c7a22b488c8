"""The first items of every query in the order of `ties="pessimistic"`, as lists: what a file of a ranking holds."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad.metrics.nearest import exactly_nearest
from metricgrad.metrics.rows import Embeddings

__all__ = ["Listed", "pessimistic_lists"]

_ENTRIES = 2**22
"""Places of lists that are filled at a time."""
_WIDER = 4


class Listed(NamedTuple):
    """The first items of a query, best first.

    Attributes:
        items: numbers of references, int64 [place].
        similarities: float64 [place]; they do not rise.
    """

    items: np.ndarray
    similarities: np.ndarray


def pessimistic_lists(
    queries: Float[Tensor, "query dim"],
    references: Embeddings,
    depth: int,
    grades: Callable[[int, np.ndarray], np.ndarray],
    *,
    exclude: Int[Tensor, "query"] | None = None,
    normalize: bool = True,
) -> Iterator[Listed]:
    """Yield the first items of each query; of equals what is relevant comes last, the smaller grade first.

    Every relevant item that is listed stands at the rank that `judged_ranks` and `retrieval_ranks` give it.

    Args:
        queries: one row per query.
        references: the items; a tensor, or an array, also a memory map.
        depth: items of a list, >= 1; there are fewer where the items are.
        grades: (row of a query, numbers of items) -> the grade of each; above 0: relevant.
        exclude: number of one item per query that is passed over; -1 for none.
        normalize: rank by cosine; False by dot product.

    Raises:
        InputError: as `nearest_items`.

    Cost: that of `nearest_items`; once more for queries with more equals around the last place than fit.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> relevant = lambda query, items: (items == 0).astype(float)
        >>> next(pessimistic_lists(points[:1], points, 2, relevant)).items
        array([1, 0])
    """
    step = max(1, _ENTRIES // (depth + 1))
    for first in range(0, len(queries), step):
        here, k = np.arange(first, min(first + step, len(queries))), min(depth + 1, len(references))
        found: dict[int, Listed] = {}
        while len(here):
            rows = torch.from_numpy(here)
            left_out = None if exclude is None else exclude[rows]
            nearest, exact = exactly_nearest(
                queries[rows], references, k, exclude=left_out, normalize=normalize
            )
            whole, still = k == len(references), []
            tables = (part.cpu().numpy() for part in (*nearest, exact))
            for row, items, values, scores in zip(here.tolist(), *tables, strict=True):
                there = items >= 0
                some = Listed(items[there], values[there])
                listed = _first(some, scores[there], grades(row, some.items), depth, whole=whole)
                if listed is None:
                    still.append(row)
                else:
                    found[row] = listed
            here, k = np.array(still, dtype=np.int64), min(_WIDER * k, len(references))
        yield from (found[row] for row in sorted(found))


def _first(
    nearest: Listed, exact: np.ndarray, grades: np.ndarray, depth: int, *, whole: bool
) -> Listed | None:
    """The first items of some that are in the order of exact scores; None where those that are missing may be among."""
    if not whole and len(exact) > depth and exact[-1] == (edge := exact[depth - 1]):
        room = depth - int((exact > edge).sum())
        if int(((exact == edge) & (grades <= 0)).sum()) < room:
            return None
    order = np.lexsort((grades.clip(min=0), -exact))[:depth]
    return Listed(nearest.items[order], nearest.similarities[order])

"""Candidates for the nearest items where the items are too many to hold: each block is read once for many queries."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad.metrics.progress import tell
from metricgrad.metrics.rows import BLOCK, Later, blocks, float32_error
from metricgrad.metrics.similarity import Similarities

__all__ = ["best_by_blocks", "best_candidates"]

_QUERIES = 256
"""Queries of a product."""


def best_by_blocks(
    similarities: Similarities, k: int, excluded: Int[Tensor, "query"]
) -> tuple[Int[Tensor, "query k"], Float[Tensor, "query"]]:
    """Find the k items of each query that a float32 product says are best, and what no other item exceeds."""
    beyond = float32_error(similarities.items.shape[1]) + float(similarities.slack.max())
    found = []
    for here in torch.arange(len(similarities.queries)).split(BLOCK):
        index, score = _best_of(similarities, here, k, excluded[here])
        found.append((index, score.amin(1).double() + beyond))
    candidates, limit = zip(*found, strict=True)
    return torch.cat(candidates), torch.cat(limit)


def best_candidates(
    similarities: Similarities, candidates: Int[Tensor, "query few"], k: int, excluded: Int[Tensor, "query"]
) -> Int[Tensor, "query fewer"]:
    """Leave out candidates that float64 tells from the k best: the others are worth an exact similarity.

    As many remain for each query as the one with the most needs.
    """
    row = torch.arange(len(candidates)).repeat_interleave(candidates.shape[1])
    score = _later(similarities).products(similarities.queries[:], row, candidates.flatten())
    score = score.view(candidates.shape).masked_fill(candidates == excluded[:, None], -torch.inf)
    worst = score.topk(k, dim=1).values[:, -1:] - 4 * similarities.slack.max()
    most = int((score >= worst).sum(1).max()) if len(score) else k
    return candidates.gather(1, score.topk(most, dim=1, sorted=False).indices)


def _best_of(similarities: Similarities, here: Tensor, k: int, excluded: Tensor) -> tuple[Tensor, Tensor]:
    """Index and float32 score of the k best items of some queries [query, k], in no order."""
    rows, count = similarities.queries[here].float(), len(similarities.items)
    parts = [slice(first, first + _QUERIES) for first in range(0, max(len(here), 1), _QUERIES)]
    best = [
        (torch.zeros(len(rows[part]), 0, dtype=torch.int64), rows.new_zeros(len(rows[part]), 0))
        for part in parts
    ]
    for block in blocks(count):
        items = _later(similarities).in_float32(block)
        for number, part in enumerate(parts):
            scores = rows[part] @ items.T
            left_out = excluded[part] - block.start
            hit = ((left_out >= 0) & (left_out < scores.shape[1])).nonzero()[:, 0]
            scores[hit, left_out[hit]] = -torch.inf
            best[number] = _merged(*best[number], scores, block.start, k)
        tell(int(here[0]) + len(here) * block.stop // count if len(here) else 0, len(similarities.queries))
    index, score = zip(*best, strict=True)
    return torch.cat(index), torch.cat(score)


def _later(similarities: Similarities) -> Later:
    """The items, which are read in blocks."""
    assert isinstance(similarities.items, Later)
    return similarities.items


def _merged(index: Tensor, score: Tensor, scores: Tensor, first: int, k: int) -> tuple[Tensor, Tensor]:
    """The k best of those so far and of a tile that begins with item `first`."""
    if index.shape[1] < k:
        own = scores.topk(min(k, scores.shape[1]), dim=1)
        return _top(torch.cat([index, own.indices + first], 1), torch.cat([score, own.values], 1), k)
    better = (scores.amax(1) > score.amin(1)).nonzero()[:, 0]
    if len(better):
        own = scores[better].topk(min(k, scores.shape[1]), dim=1)
        index[better], score[better] = _top(
            torch.cat([index[better], own.indices + first], 1), torch.cat([score[better], own.values], 1), k
        )
    return index, score


def _top(index: Tensor, score: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best = score.topk(min(k, score.shape[1]), dim=1, sorted=False)
    return index.gather(1, best.indices), best.values

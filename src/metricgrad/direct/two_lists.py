"""The relevant and the other items of a batch of queries as two sorted lists, and what a placement of them scores.

A ranking that keeps both lists in order is the number c_i of negatives above each positive; its score is
F(c) = 1/(mN) sum_i [N p_i - A_N - 2 (c_i p_i - A_{c_i})], A_c the sum of the first c negatives.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._safe import divisor

__all__ = [
    "Ranking",
    "half_counts",
    "in_place",
    "kinds",
    "prefix_sums",
    "ranks_among",
    "score_of",
    "taken_apart",
]


class Ranking(NamedTuple):
    """A batch of queries, taken apart: positives and negatives, each descending, padded.

    Attributes:
        positives: [query, positive] float64 scores, -inf beyond m.
        negatives: [query, negative] the same.
        positive_item: [query, positive] where they stand in the row; 0 beyond m.
        negative_item: [query, negative] the same.
        m: [query, 1] float64 number of positives.
        n: [query, 1] float64 number of negatives.
    """

    positives: Tensor
    negatives: Tensor
    positive_item: Tensor
    negative_item: Tensor
    m: Tensor
    n: Tensor

    @property
    def pairs(self) -> Tensor:
        """Return m N [query, 1], 1 where there is no pair."""
        return divisor(self.m * self.n)

    @property
    def places(self) -> Tensor:
        """Return the numbers i = 1, 2, ... of the positives [1, positive]."""
        return torch.arange(1, self.positives.shape[1] + 1, dtype=torch.float64, device=self.m.device)[None]

    @property
    def real(self) -> Tensor:
        """Return which positives there are [query, positive]."""
        return self.places <= self.m


def kinds(targets: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return which items are positives, and which are negatives."""
    positive = targets.bool()
    return (positive, ~positive) if mask is None else (positive & mask, ~positive & mask)


def taken_apart(scores: Tensor, targets: Tensor, mask: Tensor | None) -> Ranking:
    """Sort a batch [query, item] and part its positives from its negatives."""
    order = scores.double().sort(dim=1, descending=True, stable=True)
    lists = []
    for kind in kinds(targets, mask):
        kind = kind.gather(1, order.indices)
        sizes = kind.sum(1, keepdim=True)
        longest = int(sizes.max()) if len(sizes) else 0
        place = torch.where(kind, kind.cumsum(1) - 1, longest)
        values = scores.new_full((len(scores), longest + 1), -torch.inf, dtype=torch.float64)
        items = torch.zeros(values.shape, dtype=torch.int64, device=scores.device)
        values.scatter_(1, place, order.values)
        items.scatter_(1, place, order.indices)
        lists.append((values[:, :longest], items[:, :longest], sizes.double()))
    (positives, positive_item, m), (negatives, negative_item, n) = lists
    return Ranking(positives, negatives, positive_item, negative_item, m, n)


def half_counts(others: Tensor, own: Tensor) -> Tensor:
    """Return for each own score [query, own] how many of the others are larger, and half of those that are equal."""
    ascending = others.flip(1).contiguous()
    larger = others.shape[1] - torch.searchsorted(ascending, own.contiguous(), right=True)
    at_least = others.shape[1] - torch.searchsorted(ascending, own.contiguous())
    counts = (larger + at_least).double() / 2
    return counts.masked_fill(own == -torch.inf, 0)


def prefix_sums(values: Tensor) -> Tensor:
    """Return A_c, the sum of the first c values, for c = 0, 1, ...; padding counts 0."""
    return torch.nn.functional.pad(values.masked_fill(values == -torch.inf, 0).cumsum(1), (1, 0))


def score_of(ranking: Ranking, above: Tensor) -> Tensor:
    """Return F [query] for counts [query, positive]; a half count takes half of the next negative."""
    sums = prefix_sums(ranking.negatives)
    whole, rest = above.floor(), above - above.floor()
    total = sums.gather(1, ranking.n.long())
    following = sums.gather(1, (whole + 1).clamp(max=ranking.negatives.shape[1]).long())
    taken = sums.gather(1, whole.long())
    taken = taken + rest * (following - taken)
    positives = ranking.positives.masked_fill(~ranking.real, 0)
    shares = ranking.n * positives - total - 2 * (above * positives - taken)
    return (shares.masked_fill(~ranking.real, 0) / ranking.pairs).sum(1)


def in_place(scores: Tensor, ranking: Ranking, above: Tensor, behind: Tensor) -> Tensor:
    """Return the counts at the items that they belong to."""
    statistic = torch.zeros(len(scores), scores.shape[1] + 1, dtype=torch.float64, device=scores.device)
    for items, counts, sizes in (
        (ranking.positive_item, above, ranking.m),
        (ranking.negative_item, behind, ranking.n),
    ):
        beyond = torch.arange(items.shape[1], device=scores.device) >= sizes
        statistic.scatter_(1, items.masked_fill(beyond, scores.shape[1]), counts.masked_fill(beyond, 0))
    return statistic[:, :-1]


def ranks_among(scores: Tensor, among: Tensor) -> Tensor:
    """Return ranks 1, 2, ... [query, item] float64 among some items, earlier items first where scores are equal."""
    order = scores.double().masked_fill(~among, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    numbers = torch.arange(1, scores.shape[1] + 1, dtype=torch.float64, device=scores.device)
    return torch.empty(scores.shape, dtype=torch.float64, device=scores.device).scatter_(
        1, order, numbers.expand(scores.shape)
    )


def numbered(targets: Tensor, mask: Tensor | None) -> Tensor:
    """Return 1 for a positive, 0 for a negative, -1 for no item."""
    numbers = targets.to(torch.int8)
    return numbers if mask is None else numbers.masked_fill(~mask, -1)


def require_relevance(caller: str, scores: Tensor, targets: Any, mask: Any) -> None:
    """Raise InputError where targets are not one 0 or 1 for every score, or the mask is not a bool of that shape."""
    if not isinstance(targets, Tensor) or targets.shape != scores.shape:
        raise fail(
            caller,
            f"targets are {describe(targets)} and scores {describe(scores)}",
            "one 0 or 1 for every score",
        )
    if mask is not None and (
        not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != scores.shape
    ):
        raise fail(caller, f"mask is {describe(mask)}", f"bool of the shape {tuple(scores.shape)}, or None")
    seen = targets if mask is None else targets.masked_fill(~mask, 0)
    if targets.dtype != torch.bool and not bool(((seen == 0) | (seen == 1)).all()):
        wrong = seen[(seen != 0) & (seen != 1)][0].item()
        raise fail(caller, f"targets hold {wrong}", "0 (not relevant) and 1 (relevant)")

"""Means over all orders of tied items, in closed form: what `ties="average"` says.

Every order of the items of a block of equals is as likely as every other. A relevant item of a block that starts behind
`above` items is then at each of the ranks above + 1 ... above + size with the same chance, and of the other relevant
items of its block a share stands before it. No sample is drawn: the values are exact.

Reference: [mcsherry2008ties].
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._safe import share
from metricgrad.metrics.ranks import TILE, TiedBlocks

__all__ = ["chance_of_hit", "expected_discount", "expected_precision", "expected_reciprocal", "share_within"]


def share_within(blocks: TiedBlocks, k: float | Float[Tensor, "query 1"]) -> Float[Tensor, "query positive"]:
    """Chance that a relevant item is within the first k."""
    return share(k - blocks.above, blocks.size).clamp(0, 1)


def chance_of_hit(
    blocks: TiedBlocks, valid: Bool[Tensor, "query positive"], k: int
) -> Float[Tensor, "query"]:
    """Chance that any relevant item is within the first k; 0 without one.

    With m places of a block of n left within k, none of its r relevant items is there with the chance
    C(n - r, m) / C(n, m) = prod_{i < r} (n - m - i) / (n - i).
    """
    above, size, relevant = _first_block(blocks, valid)
    room = (k - above).clamp(min=0)
    step = torch.arange(valid.shape[1], device=valid.device)  # [positive]
    missed = ((size - room - step) / (size - step)).clamp(min=0)
    return torch.where(above < k, 1 - torch.where(step < relevant, missed, 1.0).prod(1, keepdim=True), 0.0)[
        :, 0
    ]


def expected_precision(
    blocks: TiedBlocks, limit: float | Float[Tensor, "query 1"] = torch.inf
) -> Float[Tensor, "query positive"]:
    """Mean precision at the rank of a relevant item; 0 beyond the limit and where it was not retrieved.

    At place j of its block (j - 1)(r - 1) / (n - 1) of the other relevant items stand before it, so that with m of the
    n places within the limit and H = sum_{j <= m} 1 / (above + j) the mean is
    ((R + 1) H + (r - 1) / (n - 1) (m - (above + 1) H)) / n.
    """
    above, size, relevant_above, relevant = blocks
    inverse = _summed(blocks, lambda rank: 1 / rank, limit)
    within = torch.minimum((limit - above).clamp(min=0), size)
    others = share(relevant - 1, size - 1)
    mean = share((relevant_above + 1) * inverse + others * (within - (above + 1) * inverse), size)
    single = torch.where(within > 0, (relevant_above + 1) / (above + 1), 0.0)
    return torch.where(above.isfinite(), torch.where(size > 1, mean, single), 0.0)


def expected_discount(blocks: TiedBlocks, limit: float) -> Float[Tensor, "query positive"]:
    """Mean of 1 / log2(1 + rank) of a relevant item, 0 beyond the limit and where it was not retrieved."""
    return share(_summed(blocks, lambda rank: 1 / torch.log2(1 + rank), limit), blocks.size)


def expected_reciprocal(
    blocks: TiedBlocks, valid: Bool[Tensor, "query positive"], limit: float = torch.inf
) -> Float[Tensor, "query"]:
    """Mean of 1 / rank of the first relevant item, 0 beyond the limit; 0 without one.

    The first of r is at place j of its block of n with the chance r / (n - j + 1) times that of none before it.
    """
    above, size, relevant = _first_block(blocks, valid)
    found = torch.where(above.isfinite() & (above < limit), 1 / (1 + above), 0.0)[:, 0]
    tied = ((size > 1) & above.isfinite())[:, 0].nonzero()[:, 0]
    longest = int(size.max()) if len(size) else 0
    place = torch.arange(1, longest + 1, dtype=above.dtype, device=above.device)
    for some in tied.split(max(1, TILE // max(1, longest))):
        n, r = size[some], relevant[some]
        here = share(r, n - place + 1).clamp(max=1).where(place <= n, 0.0)  # given none before
        before = torch.cat([torch.ones_like(n), (1 - here).cumprod(1)[:, :-1]], 1)
        rank = above[some] + place
        found[some] = (before * here / rank).where(rank <= limit, 0.0).sum(1)
    return found


def _first_block(blocks: TiedBlocks, valid: Bool[Tensor, "query positive"]) -> tuple[Tensor, Tensor, Tensor]:
    """Items above the first block with a relevant item, items in it, relevant items in it [query, 1]."""
    none = torch.zeros(len(valid), 1, dtype=blocks.above.dtype, device=valid.device)
    starts = torch.cat([blocks.above.masked_fill(~valid, torch.inf), none + torch.inf], 1)
    above, first = starts.min(1, keepdim=True)
    size, relevant = (torch.cat([part, none], 1).gather(1, first) for part in (blocks.size, blocks.relevant))
    return above, size, relevant


def _summed(
    blocks: TiedBlocks,
    term: Callable[[Tensor], Tensor],
    limit: float | Float[Tensor, "query 1"] = torch.inf,
) -> Float[Tensor, "query positive"]:
    """Sum of term(rank) over the ranks of each block up to a limit; 0 where nothing was retrieved.

    A difference of two running sums; each of these is two numbers, so that the difference has all its digits.
    """
    first = torch.where(blocks.above.isfinite(), blocks.above, 0.0)
    last = torch.where(blocks.above.isfinite(), first + blocks.size, 0.0)
    terms = term(torch.arange(1, int(last.max()) + 1 if last.numel() else 1, device=last.device).double())
    total = torch.nn.functional.pad(terms.cumsum(0), (1, 0))
    rest = torch.nn.functional.pad((terms - total.diff()).cumsum(0), (1, 0))
    first, last = (end.clamp(max=limit).long() for end in (first, last))
    return (total[last] - total[first]) + (rest[last] - rest[first])

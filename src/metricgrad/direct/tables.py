"""What a placement of negatives above positives costs, metric by metric.

A ranking of m positives and N negatives is the list c_1 <= ... <= c_m of how many negatives stand above each
positive; the rank of positive i is i + c_i. The task losses here are sums over the positives,
L(c) = rest + sum_i ell_i(c_i), and every ell_i is a weight times the fall of one curve,
ell_i(c) = weight(i) * (curve(i) - curve(i + c)), so that a solver reads one contiguous list for all positives.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metricgrad._checks import fail, nearest
from metricgrad._safe import divisor, share

__all__ = ["TABLES", "Table", "table_named"]


@dataclass(frozen=True)
class Table:
    """The task loss of one metric.

    Attributes:
        weight: `(i, m, N) -> Tensor` for positives i = 1..m.
        curve: `(x, m, N, k) -> Tensor`, not increasing, at ranks x = i + c; at x = c where `of_rank` is False.
        rest: `(m, N, k) -> Tensor`, the loss of the perfect ranking.
        concave: whether every ell_i is concave in c.
        cut: whether it needs a k, and has steps in place of slopes.
        of_rank: what the curve is read at.
    """

    weight: Callable[[Tensor, Tensor, Tensor], Tensor]
    curve: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    rest: Callable[[Tensor, Tensor, float], Tensor] = lambda m, N, k: torch.zeros_like(m)
    concave: bool = False
    cut: bool = False
    of_rank: bool = True

    def share(self, i: Tensor, c: Tensor, m: Tensor, N: Tensor, k: float) -> Tensor:
        """Return ell_i(c), all arguments broadcast; c may be a fraction."""
        start = i if self.of_rank else torch.zeros_like(i)
        return self.weight(i, m, N) * (self.curve(start, m, N, k) - self.curve(start + c, m, N, k))

    def slope(self, i: Tensor, c: Tensor, m: Tensor, N: Tensor, k: float) -> Tensor:
        """Return the derivative of ell_i by the rank of positive i, its rank among positives held fixed."""
        with torch.enable_grad():
            place = ((i if self.of_rank else 0) + c).detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.curve(place, m, N, k).sum(), place)
        return -self.weight(i, m, N) * slope


def _equal_shares(i: Tensor, m: Tensor, N: Tensor) -> Tensor:
    return (1 / m).expand(torch.broadcast_shapes(i.shape, m.shape))


def _ones(i: Tensor, m: Tensor, N: Tensor) -> Tensor:
    return torch.ones_like(i)


def _first(i: Tensor, m: Tensor, N: Tensor) -> Tensor:
    return (i == 1).to(i.dtype)


def _within(x: Tensor, m: Tensor, N: Tensor, k: float) -> Tensor:
    return (x <= k).to(x.dtype)


def _discount(x: Tensor) -> Tensor:
    return math.log(2) / torch.log1p(divisor(x))


def _ideal_gain(m: Tensor, k: float) -> Tensor:
    """Return the sum of the discounts of the first min(m, k) ranks."""
    most = int(m.max()) if m.numel() else 0
    sums = _discount(torch.arange(1, most + 1, dtype=m.dtype, device=m.device)).cumsum(0)
    taken = m.clamp(max=k).long()
    return torch.where(taken > 0, torch.cat([sums.new_ones(1), sums])[taken], 1)


def _log_curve(x: Tensor, m: Tensor, N: Tensor, k: float) -> Tensor:
    return -torch.log1p(x)


TABLES = {
    "average_precision": Table(
        lambda i, m, N: i / m, lambda x, m, N, k: share(1.0, x), concave=True
    ),
    "ndcg": Table(_ones, lambda x, m, N, k: _discount(x) / _ideal_gain(m, math.inf), concave=True),
    "reciprocal_rank": Table(_first, lambda x, m, N, k: share(1.0, x), concave=True),
    "auc": Table(lambda i, m, N: torch.ones_like(i) / (m * N), lambda x, m, N, k: -x, concave=True),
    "log_recall": Table(_equal_shares, _log_curve, concave=True, of_rank=False),
    "loglog_recall": Table(
        _equal_shares, lambda x, m, N, k: _log_curve(-_log_curve(x, m, N, k), m, N, k), concave=True,
        of_rank=False,
    ),
    "ndcg_at_k": Table(
        _ones, lambda x, m, N, k: _within(x, m, N, k) * _discount(x) / _ideal_gain(m, k), cut=True
    ),
    "precision_at_k": Table(
        _ones, lambda x, m, N, k: _within(x, m, N, k) / k, lambda m, N, k: 1 - m.clamp(max=k) / k, cut=True
    ),
    "recall_at_k": Table(_equal_shares, _within, lambda m, N, k: (m - k).clamp(min=0) / m, cut=True),
    "hit_at_k": Table(_first, _within, cut=True),
}  # fmt: skip
"""By the name of the metric. The two recalls with logarithms ([rolinek2020rank]) have no largest value."""


def table_named(caller: str, metric: str, k: int | None) -> Table:
    """Return the table of a metric; InputError for an unknown name, or a k that is missing or not wanted."""
    if metric not in TABLES:
        raise fail(
            caller, f"there is no ranking loss of {metric!r}", "a known metric", nearest(metric, TABLES)
        )
    table = TABLES[metric]
    if table.cut and (not isinstance(k, int) or isinstance(k, bool) or k < 1):
        raise fail(caller, f"{metric} came with k = {k!r}", "a whole number >= 1")
    if not table.cut and k is not None:
        raise fail(caller, f"{metric} came with k = {k!r}", "none: it has no cut-off")
    return table

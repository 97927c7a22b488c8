"""Rankings of relevant and other items, decoded exactly: average precision, NDCG, recall@k and their kin.

A ranking scores F = 1/(mN) sum over pairs of +-(p_i - n_j), plus where the positive stands above the negative. For a
given pattern of positives and negatives F is largest with both in the order of their scores, so a ranking is the list
of how many negatives stand above each positive, and the loss-augmented ranking is a problem over such lists.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import describe, fail, require_finite, require_matrix
from metricgrad._safe import divisor, share
from metricgrad.direct.lifting import lift_each
from metricgrad.direct.rows import best_path
from metricgrad.direct.tables import Table, table_named
from metricgrad.direct.two_lists import (
    Ranking,
    half_counts,
    in_place,
    kinds,
    numbered,
    prefix_sums,
    ranks_among,
    require_relevance,
    score_of,
    taken_apart,
)
from metricgrad.relax.kernels import chosen

__all__ = ["Interleaving"]

Share = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""`(i, c, m, N) -> ell_i(c)`: the loss of positive i with c negatives above it, element by element."""

TABLE_BYTES = 256 * 2**20
"""Most memory for the way back through the row programme."""

_FEW_CELLS = 10**6
"""Cells (positives times negatives) up to which plain torch does a concave table row by row."""


class Interleaving:
    """Rankings under a loss of the positives' ranks: F + sign * epsilon * L is maximised exactly for both signs.

    L(c) = rest + sum_i ell_i(c_i), c_i the negatives above positive i, c_1 <= ... <= c_m. Scores and targets are
    [query, item]; a statistic holds c_i at positive i and, at a negative, the number of positives above it.

    Args:
        metric: average_precision, ndcg, reciprocal_rank, auc (1 - metric is the loss); log_recall, loglog_recall
            (mean log(1 + c), and the logarithm once more: no bound); with a k: ndcg_at_k, precision_at_k, recall_at_k,
            hit_at_k.
        k: cut-off of the last four, a whole number >= 1.
        loss: instead of a metric, your own `ell(i, c, m, N) -> Tensor`, float64, element by element over broadcast
            arguments, i from 1; it must not decrease with c.
        concave: of your own loss, whether every ell_i is concave in c: divide and conquer is then exact for +1.

    Raises:
        InputError: an unknown metric, a k that does not fit, a loss that decreases with c, or one that is declared
            concave and is not (both looked at for m, N up to 6).

    Edge cases:
        A query without positives or without negatives has no loss: it is not `defined`. Ties: the prediction counts
        half of the items that are equal; a decode may break ties any way, its value is unique. k beyond the number
        of items is used as it is.

    Gradient:
        dF/dp_i = (N - 2 c_i)/(mN), dF/dn_j = (m - 2 r_j)/(mN): sums to 0 over the items of a query.

    Cost:
        Two sorts, and: for +1 and a concave table O((m + N) log N); else O(mN) time, one bit a cell of memory. On the
        CPU compiled (numba), elsewhere plain torch.

    Differs from the paper:
        The official programme walks a table of positives and negatives placed; rows of it have the same optimum.

    Reference:
        [song2016direct] section 4; [yue2007map] for F; [mohapatra2018efficient] for the places of negatives.

    Example:
        >>> structure = Interleaving("average_precision")
        >>> scores = torch.tensor([[0.2, 0.9, 0.1]], dtype=torch.float64)
        >>> targets = torch.tensor([[1, 0, 0]])
        >>> ranking, value = structure.augment(scores, targets, epsilon=2.0, sign=-1)
        >>> ranking.tolist()  # no negative above the positive
        [[0.0, 1.0, 1.0]]
    """

    signs = frozenset({1, -1})
    exact = True

    def __init__(
        self,
        metric: str = "average_precision",
        *,
        k: int | None = None,
        loss: Share | None = None,
        concave: bool = False,
    ) -> None:
        self.k = float("inf") if k is None else float(k)
        self.table: Table | None = None
        if loss is None:
            self.metric = f"{metric.removesuffix('_at_k')}@{k}" if k is not None else metric
            self.table = table_named("Interleaving", metric, k)
            self.concave = self.table.concave
        else:
            self.metric, self.loss, self.concave = getattr(loss, "__name__", "loss"), loss, concave
            _check_shares(loss, concave)

    def defined(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Bool[Tensor, " query"]:
        """Return which queries have a positive and a negative; InputError for arguments that do not fit."""
        require_matrix("Interleaving", "scores", scores, "query, item")
        require_relevance("Interleaving", scores, targets, mask)
        require_finite("Interleaving", "scores", scores if mask is None else scores.masked_fill(~mask, 0))
        positive, negative = kinds(targets, mask)
        return positive.any(1) & negative.any(1)

    def predict(
        self, scores: Tensor, *, targets: Any = None, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "query item"], Float[Tensor, " query"]]:
        """Return the ranking by score and its F; items of equal score count half.

        The statistic counts positives and negatives, so `targets` are needed.
        """
        if targets is None:
            raise fail("Interleaving.predict", "there are no targets", "the relevance of the items")
        if chosen(scores.device) == "numba":
            from metricgrad.direct.kernels import placement  # numba is slow to import

            return placement.predicted(scores.double(), numbered(targets, mask))
        ranking = taken_apart(scores, targets, mask)
        above = half_counts(ranking.negatives, ranking.positives)
        behind = half_counts(ranking.positives, ranking.negatives)
        return in_place(scores, ranking, above, behind), score_of(ranking, above)

    def augment(
        self, scores: Tensor, targets: Any, *, epsilon: float, sign: int, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "query item"], Float[Tensor, " query"]]:
        """Return the ranking of the largest F + sign * epsilon * L, and that value."""
        if self.table is not None and chosen(scores.device) == "numba":
            return self._compiled(self.table, scores, targets, mask, [sign * epsilon])[0]
        ranking = taken_apart(scores, targets, mask)
        if sign > 0 and self.concave and ranking.positives.shape[1] * ranking.negatives.shape[1] > _FEW_CELLS:
            counts = torch.stack([self._lifted(ranking, query, epsilon) for query in range(len(scores))])
        else:
            counts = self._by_rows(ranking, sign * epsilon)
        above = counts.double().masked_fill(~ranking.real, 0)
        numbers = torch.arange(1, ranking.negatives.shape[1] + 1, device=counts.device)
        below = torch.searchsorted(
            counts.masked_fill(~ranking.real, ranking.negatives.shape[1] + 1),
            numbers.expand(len(counts), -1).contiguous(),
        )
        value = score_of(ranking, above) + sign * epsilon * self._loss(ranking, above)
        return in_place(scores, ranking, above, below.double()), value

    def augment_both(
        self, scores: Tensor, targets: Any, *, epsilon: float, mask: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return what `augment` does for +1 and for -1; the items are sorted once where the decodes are compiled."""
        if self.table is not None and chosen(scores.device) == "numba":
            upper, lower = self._compiled(self.table, scores, targets, mask, [epsilon, -epsilon])
            return upper, lower
        upper, lower = (
            self.augment(scores, targets, epsilon=epsilon, sign=sign, mask=mask) for sign in (1, -1)
        )
        return upper, lower

    def gradient(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, "query item"]:
        """Return dF/dscores of a ranking."""
        positive, negative = kinds(targets, mask)
        m, n = positive.sum(1, keepdim=True), negative.sum(1, keepdim=True)
        others = torch.where(positive, n, m) - 2 * statistic
        return share(others, m * n).masked_fill(~(positive | negative), 0)

    def task_loss(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, " query"]:
        """Return L of a ranking; between those of the possible orders where items are equal."""
        positive, negative = kinds(targets, mask)
        m = positive.sum(1, keepdim=True).double()
        above = torch.where(positive, statistic, torch.inf).sort(1).values[:, : int(m.max()) if len(m) else 0]
        n = negative.sum(1, keepdim=True).double()
        empty = above.new_empty(0)
        ranking = Ranking(above, empty, empty, empty, m, n)
        return self._loss(ranking, above.masked_fill(~ranking.real, 0))

    def moved(
        self, first: Tensor, second: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, " query"]:
        """Return the share of the pairs (positive, negative) whose order differs between two nested rankings."""
        positive, negative = kinds(targets, mask)
        pairs = positive.sum(1).double() * negative.sum(1)
        return share((first - second).masked_fill(~positive, 0).abs().sum(1), pairs)

    def ideal(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "query item"], Float[Tensor, " query"]]:
        """Return the perfect ranking and its F."""
        ranking = taken_apart(scores, targets, mask)
        above = torch.zeros_like(ranking.positives)
        behind = ranking.m.expand(ranking.negatives.shape)
        return in_place(scores, ranking, above, behind), score_of(ranking, above)

    def blackbox(
        self, scores: Tensor, targets: Tensor, *, strength: float, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, " query"], Float[Tensor, "query item"]]:
        """Return L, and the ranks' change per `strength` when scores move along the slope of L (one more sort).

        With pi = rank / n: -(pi(s) - pi(s + strength dL/dpi)) / strength. Equal scores keep the order of the items.
        InputError for a loss with steps, or one of your own.
        """
        there = torch.logical_or(*kinds(targets, mask))
        ranks, slopes, loss = self._linear(scores, targets, mask)
        items = divisor(there.sum(1, keepdim=True))
        moved = ranks_among(scores + strength * items * slopes, there).masked_fill(~there, 0)
        return loss, (moved - ranks) / (items * strength)

    def identity(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, " query"], Float[Tensor, "query item"]]:
        """Return L and -dL/drank: no second decode. InputError as for `blackbox`."""
        _, slopes, loss = self._linear(scores, targets, mask)
        return loss, -slopes

    def _linear(self, scores: Tensor, targets: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return ranks (1 is best) and dL/drank [query, item], and L [query]; ranks among positives are constants."""
        if self.table is None or self.table.cut:
            raise fail(
                "Interleaving",
                f"{self.metric} has no slope in the ranks",
                "average_precision, ndcg, reciprocal_rank, auc, log_recall or loglog_recall",
                "Or take the update 'two', 'pos' or 'neg', which decode any loss.",
            )
        positive, negative = kinds(targets, mask)
        ranks, among = ranks_among(scores, positive | negative), ranks_among(scores, positive)
        m, n = (divisor(kind.sum(1, keepdim=True).double()) for kind in (positive, negative))
        above = (ranks - among).masked_fill(~positive, 0)
        place = torch.where(positive, among, 1)
        shares = self.table.share(place, above, m, n, self.k).masked_fill(~positive, 0)
        slopes = self.table.slope(place, above, m, n, self.k).masked_fill(~positive, 0)
        return ranks.masked_fill(~(positive | negative), 0), slopes, shares.sum(1)

    def _compiled(
        self, table: Table, scores: Tensor, targets: Any, mask: Tensor | None, strengths: list[float]
    ) -> list[tuple[Tensor, Tensor]]:
        """Decode in compiled loops, for every sign times epsilon."""
        from metricgrad.direct.kernels import placement  # numba is slow to import

        m, n = (divisor(kind.sum(1, keepdim=True).double()) for kind in kinds(targets, mask))
        places = torch.arange(1, scores.shape[1] + 1, dtype=m.dtype)[None]
        found = placement.decoded(
            scores.double(),
            numbered(targets, mask),
            table.weight(places, m, n),
            table.curve(torch.nn.functional.pad(places, (1, 0)), m, n, self.k),
            of_rank=table.of_rank,
            strengths=strengths,
            concave=table.concave and self.concave,
            table_bytes=TABLE_BYTES,
        )
        rest = table.rest(m, n, self.k)[:, 0]
        return [
            (statistic, value + strength * rest)
            for (statistic, value), strength in zip(found, strengths, strict=True)
        ]

    def _share(self, i: Tensor, c: Tensor, m: Tensor, n: Tensor) -> Tensor:
        """Return ell_i(c) element by element."""
        if self.table is None:
            return self.loss(i, c, m, n)
        return self.table.share(i, c, m, n, self.k)

    def _loss(self, ranking: Ranking, above: Tensor) -> Tensor:
        """Return L [query] for counts [query, positive]."""
        m, n = divisor(ranking.m), divisor(ranking.n)
        shares = self._share(ranking.places, above, m, n).masked_fill(~ranking.real, 0).sum(1)
        return shares if self.table is None else shares + self.table.rest(m, n, self.k)[:, 0]

    def _by_rows(self, ranking: Ranking, strength: float) -> Tensor:
        """Place by the row programme over positives, or over negatives where these are fewer."""
        m, n, pairs = ranking.m, ranking.n, ranking.pairs
        counts = torch.arange(ranking.negatives.shape[1] + 1, dtype=m.dtype, device=m.device)[None]
        sums = prefix_sums(ranking.negatives)
        if ranking.positives.shape[1] <= ranking.negatives.shape[1]:

            def gain(row: int) -> Tensor:
                score = ranking.positives[:, row, None]
                i = torch.full_like(m, row + 1)
                return 2 / pairs * (sums - counts * score) + strength * self._share(i, counts, m, n)

            return best_path(
                gain,
                m[:, 0].long(),
                n[:, 0].long(),
                longest=ranking.positives.shape[1],
                table_bytes=TABLE_BYTES,
            )
        i = ranking.places

        def mirrored(row: int) -> Tensor:
            j = torch.full_like(m, row + 1)
            score = ranking.negatives[:, row, None]
            lifts = strength * (self._share(i, j, m, n) - self._share(i, j - 1, m, n))
            lifts = (lifts - 2 / pairs * (ranking.positives - score)).masked_fill(~ranking.real, 0)
            return torch.nn.functional.pad(lifts.flip(1).cumsum(1).flip(1), (0, 1))

        places = best_path(
            mirrored,
            n[:, 0].long(),
            m[:, 0].long(),
            longest=ranking.negatives.shape[1],
            table_bytes=TABLE_BYTES,
        )
        numbers = torch.arange(ranking.positives.shape[1], device=m.device).expand(len(m), -1).contiguous()
        beyond = torch.arange(places.shape[1], device=m.device) >= n
        places = places.masked_fill(beyond, ranking.positives.shape[1] + 1)
        return torch.searchsorted(places, numbers, right=True)

    def _lifted(self, ranking: Ranking, query: int, strength: float) -> Tensor:
        """Place one query's negatives by divide and conquer."""
        m, n = ranking.m[query], ranking.n[query]
        found = torch.zeros(ranking.positives.shape[1], dtype=torch.int64, device=m.device)
        if m == 0 or n == 0:
            return found
        positives, negatives = ranking.positives[query], ranking.negatives[query]

        def gain(i: Tensor, j: Tensor) -> Tensor:
            rank, number = i.double(), j.double()
            rise = self._share(rank, number, m, n) - self._share(rank, number - 1, m, n)
            return strength * rise - 2 / (m * n) * (positives[i - 1] - negatives[j - 1])

        found[: int(m)] = lift_each(gain, int(m), int(n), m.device)
        return found


def _check_shares(loss: Share, concave: bool) -> None:
    """Look at small problems: shares must not fall with c, and must be concave where that is claimed."""
    for m in range(1, 7):
        for n in range(1, 7):
            i = torch.arange(1, m + 1, dtype=torch.float64)[:, None]
            c = torch.arange(n + 1, dtype=torch.float64)[None]
            shares = loss(i, c, torch.tensor(float(m)).double(), torch.tensor(float(n)).double())
            if not isinstance(shares, Tensor) or shares.shape != (m, n + 1):
                raise fail(
                    "Interleaving",
                    f"the loss gave {describe(shares)} for i {tuple(i.shape)} and c {tuple(c.shape)}",
                    f"a tensor of shape {(m, n + 1)}",
                )
            rises = shares.diff(dim=1)
            if bool((rises < -1e-12).any()):
                raise fail("Interleaving", f"the loss falls with c (m = {m}, N = {n})", "one that does not")
            if concave and bool((rises.diff(dim=1) > 1e-12).any()):
                raise fail(
                    "Interleaving",
                    f"concave=True, but the loss is not concave in c (m = {m}, N = {n})",
                    "concave=False",
                    "Divide and conquer would return a worse ranking without any warning.",
                )

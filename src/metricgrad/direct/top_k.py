"""The set of the k best items, decoded exactly: precision, recall and hit at k, and the break-even point.

Problem: what counts is who is within the first k, not in which order. Idea: only the number of positives in the set
matters to the loss, and for each number the best set is known: the top positives and the top negatives. Cheaper than
`Interleaving`, whose outputs are whole rankings. Does not help where the order within the k matters.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import fail, nearest, require_finite, require_matrix
from metricgrad._safe import ratio, share
from metricgrad.direct.two_lists import Ranking, in_place, kinds, prefix_sums, require_relevance, taken_apart

__all__ = ["TopK"]


def _of_set(a: Tensor, size: Tensor, positives: Tensor) -> Tensor:
    return 1 - share(a, size)


def _of_positives(a: Tensor, size: Tensor, positives: Tensor) -> Tensor:
    return 1 - ratio(a, positives, otherwise=1)


def _of_any(a: Tensor, size: Tensor, positives: Tensor) -> Tensor:
    return (a == 0).double()


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "precision_at_k": _of_set,
    "recall_at_k": _of_positives,
    "hit_at_k": _of_any,
    "precision_recall_break_even": _of_positives,
}
"""By the name of the metric: `(positives in the set, size of the set, positives) -> L`, element by element."""


class TopK:
    """Sets of k' = min(k, items) items: F + sign * epsilon * L is maximised exactly for both signs.

    F = the sum of the scores in the set; with a positives in it, of P: L = 1 - a/k' (precision_at_k), 1 - a/P
    (recall_at_k), [a = 0] (hit_at_k); precision_recall_break_even is both of the first with k' = P. Scores, targets (0
    or 1) and mask (bool) are [query, item]. A statistic is the membership of every item.

    Args:
        metric: precision_at_k, recall_at_k, hit_at_k or precision_recall_break_even.
        k: size of the set, a whole number >= 1; none for the last metric.

    Raises:
        InputError: an unknown metric, a k that is missing, not wanted or < 1.

    Edge cases:
        The prediction shares the places at the boundary among the items that tie for them; its loss is the mean over
        the tied sets. A query without items has no loss; one without positives has none in recall_at_k and
        precision_recall_break_even (L is 0), and a constant 1 in the others. With k > items the set is everything and
        there is no gradient; precision_at_k then divides by the items, where `Interleaving` divides by k.

    Gradient:
        dF/dscores = the membership: sums to 0 over the items of an update.

    Cost:
        One sort of the items.

    Reference:
        [joachims2005multivariate] section 4; [song2016direct]; [vlastelica2020blackbox] for `blackbox`.

    Example:
        >>> structure = TopK("recall_at_k", k=1)
        >>> scores = torch.tensor([[0.9, 0.7, 0.1]], dtype=torch.float64)
        >>> structure.augment(scores, torch.tensor([[0, 1, 0]]), epsilon=0.5, sign=-1)
        (tensor([[0., 1., 0.]], dtype=torch.float64), tensor([0.7000], dtype=torch.float64))
    """

    signs = frozenset({1, -1})
    exact = True

    def __init__(self, metric: str, *, k: int | None = None) -> None:
        if metric not in LOSSES:
            raise fail("TopK", f"there is no loss of {metric!r}", "a known metric", nearest(metric, LOSSES))
        if metric == "precision_recall_break_even":
            if k is not None:
                raise fail(
                    "TopK", f"{metric} came with k = {k!r}", "none: the set has as many items as positives"
                )
        elif not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise fail("TopK", f"{metric} came with k = {k!r}", "a whole number >= 1")
        self.metric, self.k = metric, k
        self._loss = LOSSES[metric]

    def defined(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Bool[Tensor, " query"]:
        """Return which queries have a loss; InputError for arguments that do not fit."""
        require_matrix("TopK", "scores", scores, "query, item")
        require_relevance("TopK", scores, targets, mask)
        require_finite("TopK", "scores", scores if mask is None else scores.masked_fill(~mask, 0))
        positive, negative = kinds(targets, mask)
        return (positive if self._loss is _of_positives else positive | negative).any(1)

    def predict(
        self, scores: Tensor, *, targets: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "query item"], Float[Tensor, " query"]]:
        """Return the items of the largest scores, tied ones in equal shares, and the sum of the scores.

        The size of the set is the number of positives in precision_recall_break_even: it needs `targets`.
        """
        there = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
        scores = scores.double().masked_fill(~there, -torch.inf)
        if self.k is not None:
            size = there.sum(1, keepdim=True).clamp(max=self.k)
        elif targets is not None:
            size = kinds(targets, mask)[0].sum(1, keepdim=True)
        else:
            raise fail("TopK.predict", f"{self.metric} came without targets", "the relevance of the items")
        ordered = torch.nn.functional.pad(scores.sort(1, descending=True).values, (0, 1), value=-torch.inf)
        boundary = ordered.gather(1, (size - 1).clamp(min=0))
        inside, tied = (scores > boundary) & there, (scores == boundary) & there
        left = size - inside.sum(1, keepdim=True)
        statistic = inside.double() + share(left, tied.sum(1, keepdim=True).double()) * tied
        return statistic, (statistic * scores.masked_fill(~there, 0)).sum(1)

    def augment(
        self, scores: Tensor, targets: Tensor, *, epsilon: float, sign: int, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "query item"], Float[Tensor, " query"]]:
        """Return the set of the largest F + sign * epsilon * L, and that value."""
        ranking = taken_apart(scores, targets, mask)
        m, n = ranking.m, ranking.n
        size = self._size(m, n)
        a = torch.arange(ranking.positives.shape[1] + 1, dtype=m.dtype, device=m.device).expand(len(m), -1)
        b = size - a
        possible = (a <= m) & (b >= 0) & (b <= n)
        score = _sum_of(ranking.positives, a) + _sum_of(ranking.negatives, b)
        values = (score + sign * epsilon * self._loss(a, size, m)).masked_fill(~possible, -torch.inf)
        value, best = values.max(1, keepdim=True)  # `best` is the number a itself
        return _set_of(scores, ranking, best, size - best), value[:, 0]

    def gradient(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, "query item"]:
        """Return dF/dscores, which is the membership."""
        return statistic

    def task_loss(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, " query"]:
        """Return L of a set, the mean over the tied sets where members are shared."""
        positive, negative = kinds(targets, mask)
        if self._loss is _of_any:
            return _share_without(statistic, positive)
        m, n = (kind.sum(1).double() for kind in (positive, negative))
        return self._loss((statistic * positive).sum(1), self._size(m, n), m)

    def ideal(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "query item"], Float[Tensor, " query"]]:
        """Return the best of the sets with as many positives as fit in, and its F."""
        ranking = taken_apart(scores, targets, mask)
        a = torch.minimum(ranking.m, self._size(ranking.m, ranking.n))
        b = self._size(ranking.m, ranking.n) - a
        return _set_of(scores, ranking, a, b), (
            _sum_of(ranking.positives, a) + _sum_of(ranking.negatives, b)
        )[:, 0]

    def blackbox(
        self, scores: Tensor, targets: Tensor, *, strength: float, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, " query"], Float[Tensor, "query item"]]:
        """Return L of the prediction, and what the prediction loses per `strength` when scores move against L.

        (y(s) - y(s - strength * dL/dy)) / strength: the loss is linear in y, so this is the update "neg". InputError
        for hit_at_k, which is not linear.
        """
        if self._loss is _of_any:
            raise fail(
                "TopK.blackbox",
                "hit_at_k is not linear in the membership",
                "precision_at_k, recall_at_k or precision_recall_break_even",
                "Or take the update 'two', 'pos' or 'neg', which decode it too.",
            )
        positive, negative = kinds(targets, mask)
        m, n = (kind.sum(1, keepdim=True).double() for kind in (positive, negative))
        none, size = torch.zeros_like(m), self._size(m, n)
        slope = self._loss(none + 1, size, m) - self._loss(none, size, m)
        prediction, _ = self.predict(scores, targets=targets, mask=mask)
        moved, _ = self.predict(scores.double() - strength * slope * positive, targets=targets, mask=mask)
        return self.task_loss(prediction, targets, mask=mask), (prediction - moved) / strength

    def _size(self, m: Tensor, n: Tensor) -> Tensor:
        """Return k' for m positives and n others."""
        return m if self.k is None else (m + n).clamp(max=self.k)


def _sum_of(values: Tensor, count: Tensor) -> Tensor:
    """Return the sum of the first `count` of descending values, element by element."""
    sums = prefix_sums(values)
    return sums.gather(1, count.clamp(0, values.shape[1]).long())


def _set_of(scores: Tensor, ranking: Ranking, a: Tensor, b: Tensor) -> Tensor:
    """Return the membership of the a best positives and the b best others."""
    places = torch.arange(scores.shape[1], device=scores.device)[None]
    above, behind = (
        (places[:, : part.shape[1]] < count).double()
        for part, count in ((ranking.positives, a), (ranking.negatives, b))
    )
    return in_place(scores, ranking, above, behind)


def _share_without(statistic: Tensor, positive: Tensor) -> Tensor:
    """Return the share of the tied sets that hold no positive.

    r of the t tied items are drawn: C(t - tied positives, r) / C(t, r).
    """
    tied = (statistic > 0) & (statistic < 1)
    t, others = tied.sum(1).double(), (tied & ~positive).sum(1).double()
    r = (statistic * tied).sum(1).round()
    logarithms = [
        torch.lgamma(all_of + 1) - torch.lgamma((all_of - r).clamp(min=0) + 1) for all_of in (others, t)
    ]
    share = torch.where(r <= others, (logarithms[0] - logarithms[1]).exp(), 0)
    return torch.where((positive & (statistic == 1)).any(1), 0, share)

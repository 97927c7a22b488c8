"""Sets of items under a loss of counts, decoded exactly: F-beta, IoU, error rates, or a function of one's own."""

import itertools
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import describe, fail, nearest, positive_number, require_finite, require_matrix
from metricgrad.direct.counts import COUNTS, Loss
from metricgrad.direct.two_lists import kinds, numbered, require_relevance
from metricgrad.relax.kernels import chosen

__all__ = ["Contingency", "best_counts"]

BLOCK_CELLS = 2**20
"""Cells of the table of counts that plain torch holds at once: about 40 MB with what the loss needs on the way."""

SIZES = (0, 1, 2, 3, 5, 8, 64)
"""Numbers of positives and of negatives that a user's loss is looked at for."""


class Contingency:
    """Sets of items under a loss of true and false positives: F + sign * epsilon * L is maximised for both signs.

    F(y) = sum_i y_i s_i, y in {0, 1}: an item is in the set where its score is positive. L = loss(tp, fp, P, N).
    Scores and targets are [unit, item]: a mask, an image, a label, or a whole batch as one unit. A statistic is the
    membership of every item.

    Args:
        metric: f_beta, dice, iou, error_rate or balanced_error (1 - F-beta, 1 - Dice and 1 - IoU are the losses;
            Dice is f_beta with beta 1).
        beta: weight of recall in f_beta, > 0.
        loss: instead of a metric, your own `(true_positives, false_positives, positives, negatives) -> loss`,
            float64, element by element over broadcast arguments.
        monotone: of your own loss, whether what one more negative adds to it does not fall with the number of
            positives. The best number of negatives then does not fall with it for +1, and does not rise for -1, so
            that divide and conquer is exact.

    Raises:
        InputError: an unknown metric, a beta <= 0 or one for dice, a loss of your own that is not a finite number
            everywhere, or one that is declared monotone and is not (both looked at for P, N up to 8, and for 64).

    Edge cases:
        0/0 means metric 1: no positives and none taken has loss 0, no positives and some taken loss 1. Units without
        positives or without negatives are fine; one without items has no loss. A score of 0 is half in the set. In
        balanced_error a kind that is missing is left out of the mean.

    Gradient:
        dF/ds = y.

    Cost:
        Two sorts, and O((P + N) log P) for the built-in metrics but f_beta with beta < 1, which needs O(P N) as your
        own loss does. On the CPU the built-in ones are compiled (numba).

    Reference:
        [joachims2005multivariate] section 4; [song2016direct].

    Example:
        >>> structure = Contingency("iou")
        >>> scores = torch.tensor([[0.5, -0.2, -3.0]], dtype=torch.float64)
        >>> targets = torch.tensor([[1, 1, 0]])
        >>> structure.augment(scores, targets, epsilon=1.0, sign=-1)[0].tolist()  # the second one joins
        [[1.0, 1.0, 0.0]]
    """

    signs = frozenset({1, -1})
    exact = True

    def __init__(
        self, metric: str = "f_beta", *, beta: float = 1.0, loss: Loss | None = None, monotone: bool = False
    ) -> None:
        self.beta = positive_number("Contingency", "beta", beta)
        self.own = loss
        if loss is not None:
            self.metric, self.monotone = getattr(loss, "__name__", "loss"), monotone
            _check_loss(loss, monotone)
            return
        if metric not in COUNTS:
            raise fail(
                "Contingency",
                f"there is no loss of counts {metric!r}",
                "a known metric",
                nearest(metric, COUNTS),
            )
        if metric == "dice" and self.beta != 1:
            raise fail("Contingency", f"dice came with beta = {beta!r}", "none", "Take f_beta.")
        self.metric, self.code = metric, COUNTS[metric].code
        self.monotone = metric != "f_beta" or self.beta >= 1

    def defined(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Bool[Tensor, " unit"]:
        """Return which units have an item; InputError for arguments that do not fit."""
        require_matrix("Contingency", "scores", scores, "unit, item")
        require_relevance("Contingency", scores, targets, mask)
        require_finite("Contingency", "scores", scores if mask is None else scores.masked_fill(~mask, 0))
        there = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
        return there.any(1)

    def predict(
        self, scores: Tensor, *, targets: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "unit item"], Float[Tensor, " unit"]]:
        """Return the items of positive score, those of score 0 half, and the sum of the positive scores."""
        scores = scores.double() if mask is None else scores.double().masked_fill(~mask, 0)
        taken = (scores > 0).double() + (scores == 0).double() / 2
        taken = taken if mask is None else taken.masked_fill(~mask, 0)
        return taken, scores.clamp(min=0).sum(1)

    def augment(
        self, scores: Tensor, targets: Tensor, *, epsilon: float, sign: int, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "unit item"], Float[Tensor, " unit"]]:
        """Return the set of the largest F + sign * epsilon * L, and that value."""
        strength, numbers = sign * epsilon, numbered(targets, mask)
        if self.own is None and chosen(scores.device) == "numba":
            from metricgrad.direct.kernels import counts  # numba is slow to import

            return counts.decoded(
                scores.double(),
                numbers,
                code=self.code,
                beta=self.beta,
                strength=strength,
                monotone=self.monotone,
            )
        statistic = torch.zeros(scores.shape, dtype=torch.float64, device=scores.device)
        values = statistic.new_zeros(len(scores))
        for unit in range(len(scores)):
            lists = []
            for kind in (1, 0):
                items = (numbers[unit] == kind).nonzero()[:, 0]
                order = scores[unit, items].double().sort(descending=True)
                lists.append((order.values, items[order.indices]))
            (positives, positive_items), (negatives, negative_items) = lists
            a, b, values[unit] = best_counts(self, positives, negatives, epsilon=epsilon, sign=sign)
            statistic[unit, positive_items[:a]] = 1
            statistic[unit, negative_items[:b]] = 1
        return statistic, values

    def gradient(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, "unit item"]:
        """Return dF/dscores, which is the membership."""
        return statistic

    def task_loss(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, " unit"]:
        """Return L of a set; half members count half."""
        positive, negative = kinds(targets, mask)
        a, b = ((statistic * kind).sum(1) for kind in (positive, negative))
        return self.loss(a, b, positive.sum(1).double(), negative.sum(1).double())

    def ideal(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "unit item"], Float[Tensor, " unit"]]:
        """Return the positives as the set, and its F."""
        statistic = kinds(targets, mask)[0].double()
        return statistic, (statistic * scores.double().masked_fill(statistic == 0, 0)).sum(1)

    def loss(self, a: Tensor, b: Tensor, P: Tensor, N: Tensor) -> Tensor:
        """Return L for a of P positives and b of N negatives, element by element."""
        if self.own is not None:
            return self.own(a, b, P, N)
        return COUNTS[self.metric].loss(a, b, P, N, self.beta)


def best_counts(
    structure: Contingency, positives: Tensor, negatives: Tensor, *, epsilon: float, sign: int
) -> tuple[int, int, float]:
    """Return how many of the positives and negatives the best set takes, and max F + sign * epsilon * L.

    Args:
        structure: the loss.
        positives: [positive] float64 scores, descending.
        negatives: [negative] the same.
        epsilon: > 0.
        sign: +1 or -1.
    """
    taken, also = (torch.nn.functional.pad(part.cumsum(0), (1, 0)) for part in (positives, negatives))
    search = _by_halves if structure.monotone else _by_table
    return search(structure, taken, also, sign * epsilon)


def _by_table(structure: Contingency, taken: Tensor, also: Tensor, strength: float) -> tuple[int, int, float]:
    """Look at every pair of counts, a block of rows at a time."""
    P, N = taken.new_tensor(float(len(taken) - 1)), taken.new_tensor(float(len(also) - 1))
    b = torch.arange(len(also), dtype=taken.dtype, device=taken.device)[None]
    best = (0, 0, -torch.inf)
    rows = max(1, BLOCK_CELLS // len(also))
    for first in range(0, len(taken), rows):
        a = torch.arange(first, min(first + rows, len(taken)), dtype=taken.dtype, device=taken.device)
        a = a[:, None]
        values = taken[first : first + rows, None] + also + strength * structure.loss(a, b, P, N)
        value, place = values.flatten().max(0)
        if value.item() > best[2]:
            best = (first + int(place) // len(also), int(place) % len(also), value.item())
    return best


def _by_halves(
    structure: Contingency, taken: Tensor, also: Tensor, strength: float
) -> tuple[int, int, float]:
    """Find the best b of every a, the middle ones first, each among those that its known neighbours leave."""
    count = len(taken)
    P, N = taken.new_tensor(float(count - 1)), taken.new_tensor(float(len(also) - 1))
    ends = [0, len(also) - 1] if strength > 0 else [len(also) - 1, 0]
    best_b = torch.tensor([ends[0], *[0] * count, ends[1]], device=taken.device)  # a is number a + 1 here
    known, best = torch.tensor([0, count + 1], device=taken.device), (0, 0, -torch.inf)
    while len(known) < count + 2:
        before, after = known[:-1], known[1:]
        wide = after - before > 1
        before, after = before[wide], after[wide]
        middle = (before + after) // 2
        low, high = torch.minimum(best_b[before], best_b[after]), torch.maximum(best_b[before], best_b[after])
        lengths = high - low + 1
        starts = lengths.cumsum(0) - lengths
        owner = torch.repeat_interleave(torch.arange(len(middle), device=taken.device), lengths)
        b = low[owner] + torch.arange(len(owner), device=taken.device) - starts[owner]
        values = also[b] + strength * structure.loss((middle[owner] - 1).double(), b.double(), P, N)
        top = (
            torch.full_like(taken[:1], -torch.inf)
            .expand(len(middle))
            .scatter_reduce(0, owner, values, "amax")
        )
        first = torch.where(values == top[owner], b, len(also))
        best_b[middle] = torch.full_like(middle, len(also)).scatter_reduce(0, owner, first, "amin")
        value, place = (taken[middle - 1] + top).max(0)
        if value.item() > best[2]:
            best = (int(middle[place]) - 1, int(best_b[middle[place]]), value.item())
        known = torch.cat([known, middle]).sort().values
    return best


def _check_loss(loss: Loss, monotone: bool) -> None:
    """Raise InputError where a user's loss is not a number, or is not monotone though declared so."""
    for P, N in itertools.product(SIZES, repeat=2):
        if P + N == 0:
            continue
        a, b = (torch.arange(size + 1, dtype=torch.float64) for size in (P, N))
        table: Any = loss(a[:, None], b[None], *torch.tensor([P, N], dtype=torch.float64))
        if not isinstance(table, Tensor) or table.ndim != 2 or not _fits(table, (P + 1, N + 1)):
            raise fail(
                "Contingency",
                f"the loss of counts {(P + 1, 1)} and {(1, N + 1)} is {describe(table)}",
                "a tensor of the broadcast shape, computed element by element",
            )
        table = table.double().expand(P + 1, N + 1)
        if not bool(table.isfinite().all()):
            at = (~table.isfinite()).nonzero()[0].tolist()
            raise fail(
                "Contingency",
                f"the loss of {at[0]} of {P} positives and {at[1]} of {N} negatives is "
                f"{table[at[0], at[1]].item()}",
                "a finite number",
                "Say what 0/0 shall mean, with torch.where.",
            )
        if monotone:
            _check_monotone(table)


def _fits(table: Tensor, shape: tuple[int, int]) -> bool:
    return all(size in (1, whole) for size, whole in zip(table.shape, shape, strict=True))


def _check_monotone(table: Tensor) -> None:
    """Raise InputError where one more negative adds less to the loss [a, b] when there is one more positive."""
    added = table.diff(dim=1)
    falls = added.diff(dim=0) < -1e-12 * max(1.0, table.abs().max().item())
    if bool(falls.any()):
        a, b = falls.nonzero()[0].tolist()
        raise fail(
            "Contingency",
            f"monotone=True, but of {len(table) - 1} positives and {table.shape[1] - 1} negatives, "
            f"negative {b + 1} adds {added[a, b]:.6g} to the loss of {a} positives and {added[a + 1, b]:.6g} to that "
            f"of {a + 1}",
            "an addition that does not fall",
            "Leave monotone=False: the whole table is then looked at.",
        )

"""One class of many under a table of costs: the smallest structure.

Problem: the cost of a decision (an error rate, a confusion that is dear) has no gradient. Idea: compare the class that
scores best with the one that scores best once a little of its cost is added. Helps where costs differ between classes
or where cross-entropy spends itself on hopeless samples. Its update "hinge" is the multi-class hinge loss.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import describe, fail, require_finite, require_matrix
from metricgrad.direct.candidates import Candidates, require_choices

__all__ = ["Multiclass"]

_CHOICE = Candidates()


class Multiclass:
    """Classes under a table of costs: F + sign * epsilon * L is maximised exactly for both signs.

    F(y) = s_y, L(y) = cost[target, y]. Scores are [sample, class], targets int [sample]; mask is False at classes that
    a sample cannot have [sample, class]. A statistic holds 1 at the class.

    Args:
        cost: [class, class], what a sample of the first class costs when it is given the second one: finite, of any
            sign; None for 0 on the diagonal and 1 elsewhere, whose loss is the error rate.

    Raises:
        InputError: a cost that is not square or not finite.

    Edge cases:
        The prediction shares 1 equally among tied classes, and its loss is the mean of theirs. One class: no gradient.
        A sample without any class has no loss.

    Gradient:
        dF/dscores = the statistic: sums to 0 over the classes of an update.

    Cost:
        O(class) for each sample.

    Reference:
        [mcallester2010direct]; [vlastelica2020blackbox] for `blackbox`; [crammer2001multiclass] for the hinge.

    Example:
        >>> scores = torch.tensor([[1.0, 0.8, 0.0]], dtype=torch.float64)
        >>> structure = Multiclass()
        >>> structure.augment(scores, torch.tensor([1]), epsilon=0.5, sign=-1)[0].tolist()
        [[0.0, 1.0, 0.0]]
    """

    signs = frozenset({1, -1})
    exact = True
    noise = "gumbel"

    def __init__(self, cost: Float[Tensor, "class class"] | None = None) -> None:
        self.cost = (
            None if cost is None else require_matrix("Multiclass", "cost", cost, "class, class").double()
        )
        if self.cost is not None:
            if self.cost.shape[0] != self.cost.shape[1]:
                raise fail("Multiclass", f"cost is {describe(cost)}", "as many rows as columns")
            require_finite("Multiclass", "cost", self.cost)

    def defined(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Bool[Tensor, " sample"]:
        """Return which samples have a class; InputError for arguments that do not fit."""
        require_choices("Multiclass", scores, mask, "sample, class")
        samples, classes = scores.shape
        if self.cost is not None and len(self.cost) != classes:
            raise fail(
                "Multiclass",
                f"scores {describe(scores)} came with costs of {len(self.cost)} classes",
                "a cost for every pair of classes",
            )
        _check_labels(targets, samples, classes)
        if mask is None:
            return torch.ones(samples, dtype=torch.bool, device=scores.device)
        defined = mask.any(1)
        missing = defined & ~mask.gather(1, targets.long()[:, None])[:, 0]
        if bool(missing.any()):
            first = int(missing.nonzero()[0])
            raise fail(
                "Multiclass",
                f"the target {int(targets[first])} of sample {first} is masked",
                "a target among the classes of its sample",
            )
        return defined

    def predict(
        self, scores: Tensor, *, targets: Any = None, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "sample class"], Float[Tensor, " sample"]]:
        """Return the class of the largest score, tied ones in equal shares, and that score."""
        return _CHOICE.predict(scores, mask=mask)

    def augment(
        self, scores: Tensor, targets: Tensor, *, epsilon: float, sign: int, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "sample class"], Float[Tensor, " sample"]]:
        """Return the class of the largest F + sign * epsilon * L, and that value."""
        return _CHOICE.augment(scores, self._costs(scores, targets), epsilon=epsilon, sign=sign, mask=mask)

    def gradient(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, "sample class"]:
        """Return dF/dscores, which is the statistic."""
        return statistic

    def task_loss(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, " sample"]:
        """Return the cost of the class, the mean of the tied ones."""
        return _CHOICE.task_loss(statistic, self._costs(statistic, targets), mask=mask)

    def ideal(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "sample class"], Float[Tensor, " sample"]]:
        """Return the target as the class, and its score."""
        there = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
        statistic = torch.zeros_like(scores, dtype=torch.float64).scatter_(1, targets.long()[:, None], 1)
        return statistic.masked_fill(~there, 0), _CHOICE.task_loss(statistic, scores, mask=mask)

    def blackbox(
        self, scores: Tensor, targets: Tensor, *, strength: float, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, " sample"], Float[Tensor, "sample class"]]:
        """Return L of the prediction, and what the prediction loses per `strength` when scores move against L.

        (y(s) - y(s - strength * cost[target])) / strength: the loss is linear in y, so this is the update "neg".
        """
        prediction, _ = self.predict(scores, mask=mask)
        moved, _ = self.predict(scores.double() - strength * self._costs(scores, targets), mask=mask)
        return self.task_loss(prediction, targets, mask=mask), (prediction - moved) / strength

    def _costs(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return what every class costs every sample."""
        if self.cost is not None:
            return self.cost.to(scores.device)[targets.long()]
        classes = torch.arange(scores.shape[1], device=scores.device)
        return (classes != targets.long()[:, None]).double()


def _check_labels(targets: Any, samples: int, classes: int) -> None:
    whole = isinstance(targets, Tensor) and not targets.is_floating_point() and targets.dtype != torch.bool
    if not whole or targets.shape != (samples,):
        raise fail(
            "Multiclass",
            f"targets are {describe(targets)} for {samples} samples",
            "a class number (integer) for every sample",
        )
    outside = (targets < 0) | (targets >= classes)
    if bool(outside.any()):
        raise fail(
            "Multiclass",
            f"targets hold {int(targets[outside][0])}",
            f"class numbers from 0 to {classes - 1}",
        )

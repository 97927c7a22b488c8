"""The terms of a loss mixture: the training loss of groups of items, each group a term with a weight of its own."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._labels import number_labels
from metricgrad.blackbox import continuing_weights, default_clip, default_radius, first_candidates
from metricgrad.methods.few_numbers import FewNumbers, Items
from metricgrad.methods.weighed_loss import WeighedLoss

__all__ = ["Terms", "batches_of", "radius_for", "terms_of"]

MOST_CLASSES, GROUPS, RANKED_GROUPS = 16, 8, 4
SMALLEST = 1e-8
LARGEST = 3.0
"""Of the a of a term; the smallest is its negative."""
AT_ONCE = 1024
"""Items of a batch where losses are measured at the start."""


class Terms(NamedTuple):
    """Terms of the training loss: of groups of items, and, where items are ranked, of all items last.

    Attributes:
        group: of every item [item].
        counts: items of every term [term].
        losses: mean loss of every term at the start [term], not below 1e-8.
        ranked: whether the loss of an item depends on the others of its batch: a group is then of whole classes, which
            are ranked among themselves.
    """

    group: Int[Tensor, " item"]
    counts: Float[Tensor, " term"]
    losses: Float[Tensor, " term"]
    ranked: bool

    def mixed(
        self,
        mixture: Float[Tensor, " term"],
        loss: WeighedLoss,
        outputs: Tensor,
        items: Items,
        rows: Int[Tensor, " row"],
    ) -> Float[Tensor, ""]:
        """Return sum_k w_k L_k / L_k(start) of a batch.

        Args:
            mixture: w.
            loss: the training loss.
            outputs: of the network for the items.
            items: of the batch.
            rows: their numbers.
        """
        group = self.group[rows]
        if not self.ranked:
            return loss.mean(outputs, items, self.weights(mixture)[rows], group)
        weights = mixture.to(self.losses) / self.losses
        parts = [weights[-1] * loss.mean(outputs, items)]
        for one in group.unique():
            here = (group == one).nonzero().flatten()
            some = items.of(here)
            if len(some.targets.unique()) > 1:  # else nothing is ranked
                parts.append(weights[one] * loss.mean(outputs[here], some))
        return torch.stack(parts).sum()

    def weights(self, mixture: Float[Tensor, " term"]) -> Float[Tensor, " item"]:
        """Return the weight of every item: the mean of weight times loss is sum_k w_k L_k / L_k(start)."""
        of_group = mixture.to(self.losses) * len(self.group) / (self.counts * self.losses)
        return of_group[self.group]

    def continuing(self) -> Float[Tensor, " term"]:
        """Return the a of plain training."""
        if not self.ranked:
            return continuing_weights(self.counts, self.losses)
        a = torch.full((len(self.losses),), -LARGEST, dtype=torch.float64)
        a[-1] = LARGEST
        return a

    @property
    def clip(self) -> float:
        """The largest a of a term: plain training lies within."""
        return LARGEST if self.ranked else default_clip(self.counts, self.losses)

    def first(self) -> list[Float[Tensor, " term"]]:
        """Return the first candidates: plain training, inverse frequency where terms are groups, each term alone."""
        if not self.ranked:
            return list(first_candidates(self.counts, self.losses, clip=self.clip).values())
        alone = torch.full((len(self.losses),) * 2, -LARGEST, dtype=torch.float64)
        return list(alone.fill_diagonal_(LARGEST).flip(0))


def terms_of(caller: str, loss: WeighedLoss, numbers: FewNumbers, fit: Items) -> Terms:
    """Group the items of fit: by class from 3 to 16 classes, else by size of class and by the loss at the start.

    Where items are ranked four groups of classes whose embeddings lie near each other.

    Args:
        caller: for messages.
        loss: the training loss, which has begun.
        numbers: the network.
        fit: its items.

    Raises:
        InputError: the loss of an item, or of a group, is not finite.
    """
    with torch.no_grad():
        outputs = numbers.outputs(numbers.zero(), fit)
    if loss.ranked:
        return _of_ranked(caller, loss, outputs, fit)
    start = torch.zeros(len(fit), device=fit.given.device)
    for rows in torch.arange(len(fit), device=fit.given.device).split(AT_ONCE):
        start[rows] = loss.of_items(outputs[rows], fit.of(rows)).to(start)
    _require_finite(caller, start)
    group = _groups(_labels(fit.targets), start)
    counts = group.bincount().to(start)
    means = torch.zeros_like(counts).index_add(0, group, start) / counts
    return Terms(group, counts, means.clamp(min=SMALLEST), ranked=False)


def _of_ranked(caller: str, loss: WeighedLoss, outputs: Tensor, fit: Items) -> Terms:
    """Cut the classes into groups of equal size along the direction in which their means differ most."""
    labels = number_labels(caller, {"targets": fit.targets}, device=outputs.device).codes[0]
    counts = labels.bincount().to(outputs.dtype).unsqueeze(1)
    means = torch.zeros(len(counts), outputs.shape[1], dtype=outputs.dtype, device=outputs.device)
    means = means.index_add(0, labels, outputs) / counts
    along = torch.linalg.svd(means - means.mean(0), full_matrices=False)[0][:, 0]
    groups = max(1, min(RANKED_GROUPS, len(means) // 2))
    group = (along.argsort(stable=True).argsort(stable=True) * groups // len(means))[labels]
    parts = [(group == one).nonzero().flatten() for one in range(groups)]
    parts.append(torch.arange(len(fit), device=outputs.device))
    losses = torch.stack([loss.at(outputs[rows[:AT_ONCE]], fit.of(rows[:AT_ONCE])) for rows in parts])
    _require_finite(caller, losses)
    sizes = torch.tensor([len(rows) for rows in parts], device=outputs.device).to(losses)
    return Terms(group, sizes, losses.clamp(min=SMALLEST), ranked=True)


def _require_finite(caller: str, losses: Tensor) -> None:
    if not bool(losses.isfinite().all()):
        raise fail(caller, "the training loss is not finite at the start", "finite losses")


def _groups(labels: Tensor | None, start: Tensor) -> Int[Tensor, " item"]:
    """Number the groups of items from 0 on."""
    classes = 0 if labels is None else int(labels.max()) + 1
    if labels is not None and 2 < classes <= MOST_CLASSES:
        return labels
    side = torch.zeros_like(start, dtype=torch.long) if labels is None else _side(labels, classes)
    count = 2 if classes == 2 else GROUPS // (int(side.max()) + 1)
    group = side * count
    for one in side.unique():  # within a side, as many parts of equal size by how hard the items are
        rows = (side == one).nonzero().flatten()
        place = start[rows].argsort(stable=True).argsort(stable=True)
        group[rows] += place * count // len(rows)
    return group.unique(return_inverse=True)[1]


def radius_for(targets: Any) -> float:
    """Return a trust region in which a bias can move by the log of the ratio of the classes; 1 where there are none."""
    labels = _labels(targets)
    return 1.0 if labels is None else default_radius(labels.bincount())


def batches_of(
    items: Items, *, size: int, ranked: bool, generator: torch.Generator
) -> list[Int[Tensor, " row"]]:
    """Return row numbers of all items in batches: shuffled, or, where items are ranked, whole classes together."""
    order = torch.randperm(len(items), generator=generator)
    if ranked:
        labels = number_labels("fit", {"targets": items.targets}, device="cpu").codes[0]
        of_class = torch.randperm(int(labels.max()) + 1, generator=generator)[labels]
        order = order[of_class[order].argsort(stable=True)]
    return list(order.to(items.given.device).split(size))


def _labels(targets: Any) -> Tensor | None:
    """Return the class numbers of targets; None where they are no classes."""
    if not isinstance(targets, Tensor) or targets.ndim != 1 or targets.is_floating_point():
        return None
    return targets.unique(return_inverse=True)[1]


def _side(labels: Tensor, classes: int) -> Tensor:
    """Return 0 for items of the smaller half of the classes and 1 for the others; 0 for all where none is smaller."""
    counts = labels.bincount(minlength=classes)
    if classes > 2 and bool((counts == counts[0]).all()):
        return torch.zeros_like(labels)
    return (counts.argsort(stable=True).argsort(stable=True) >= classes / 2).long()[labels]

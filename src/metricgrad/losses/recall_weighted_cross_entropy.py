"""Recall-weighted cross-entropy: every class counts as much as it currently does badly, by recall or another measure.

For means over classes (balanced accuracy, mean IoU, macro F1) of imbalanced classes. Weighted by recall, mean recall
goes up and precision and IoU usually do not. It has nothing to do with recall among the k nearest neighbours.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float, Float64, Integer
from torch import Tensor, nn

from metricgrad._checks import Number, describe, fail, finite_number, positive_number
from metricgrad._safe import ratio
from metricgrad.losses.class_scores import (
    PerClass,
    checked_targets,
    counted_samples,
    log_probability_of_target,
    numbers_of_classes,
    widened,
)
from metricgrad.losses.soft_table import of_saved_size

__all__ = ["RecallWeightedCrossEntropyLoss", "recall_weighted_cross_entropy_loss"]

STANDS_FOR = ("balanced_accuracy", "balanced_error")
"""Metrics that it is a surrogate of."""

SPACE = {
    "per_class": ("recall", "iou", "f_1"),
    "floor": (0.0, 0.1),
    "momentum": (0.0, 0.9, 0.97),
}
"""Values that tries draw from."""

PerClassMetric = (
    Literal["recall", "precision", "iou", "f_1"] | Callable[[Tensor, Tensor, Tensor], Float[Tensor, " class"]]
)
"""A name, or (true positives, false positives, false negatives) [class] -> values from 0 to 1 [class]."""
Reduction = Literal["mean", "weighted_mean"]
Counts = Literal["plain", "released"]

_FORMULAS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "recall": lambda tp, fp, fn: ratio(tp, tp + fn, otherwise=0.0),
    "precision": lambda tp, fp, fn: ratio(tp, tp + fp, otherwise=0.0),
    "iou": lambda tp, fp, fn: ratio(tp, tp + fp + fn, otherwise=0.0),
    "f_1": lambda tp, fp, fn: ratio(2 * tp, 2 * tp + fp + fn, otherwise=0.0),
}


def recall_weighted_cross_entropy_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    per_class: PerClassMetric = "recall",
    floor: Number = 0.0,
    reduction: Reduction = "mean",
    counts: Counts = "plain",
    false_positive_term: bool = False,
    class_weights: PerClass | None = None,
) -> Float[Tensor, " sample"]:
    """Return w_y times cross-entropy per sample, w_c = max(1 - measure of class c in the batch, floor) (surrogate).

    The measure is that of the classes with the largest logits. With recall the mean over M samples is
    1/M sum_c FN_c (mean cross-entropy of class c), FN_c the samples of class c that are taken for another one.

    Args:
        logits: unnormalised class scores; pixels as samples.
        targets: class numbers y from 0; -100 for a sample to ignore.
        per_class: the measure: `recall`, `precision` (0 for a class that is never predicted), `iou`, `f_1`, or a
            function of (true positives, false positives, false negatives), each [class], with values from 0 to 1.
        floor: >= 0; smallest weight. A small one keeps a gradient for classes without an error.
        reduction: what the mean over the samples that are not ignored is: `mean`, or `weighted_mean`, the sum over the
            sum of the samples' weights.
        counts: `plain`; `released` as the published code, for recall and `mean`: a class without an error has weight
            1/N_c, and the mean is over the ignored samples, too.
        false_positive_term: add -v_k log(1 - p_k) for a sample that is taken for class k, v_k = 1 - precision of k.
        class_weights: w, given; then nothing is measured. For weights of a whole epoch, call
            `RecallWeightedCrossEntropyLoss` on the outputs of all samples and pass its `weights`.

    Returns:
        One value per sample, >= 0, lower is better: its mean over the samples that are not ignored is the loss.

    Raises:
        InputError: unknown words; `released` with another measure or reduction; floor < 0; a function that gives other
            than one number from 0 to 1 per class; other shapes; a target that is no class.

    Edge cases:
        Equal largest logits: the first class. An ignored sample has 0 and zero gradient and is not counted: average
        with `mean_valid(loss, targets != -100)`. All right: 0 with zero gradient, if there is no floor. All wrong:
        cross-entropy. A batch without samples gives an empty loss. NaN stays NaN.

    Gradient:
        Exact: weights are counts, without a gradient. float32 for half precision.

    Cost:
        O(sample class), as cross-entropy.

    Differs from the paper:
        The paper has recall alone. Its code is `counts="released"`, but for its failures: it breaks where all samples
        are right, where errors are of one class only, and at labels to ignore. The false positive term is ours, after a
        variant in that code. `RecallWeightedCrossEntropyLoss` remembers weights from batch to batch.

    Reference:
        [tian2022recall]

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
        >>> recall_weighted_cross_entropy_loss(logits, torch.tensor([0, 0, 1, 1]))
        tensor([0.0000, 0.0000, 0.0635, 1.0635])
    """
    caller = "recall_weighted_cross_entropy_loss"
    _check(caller, per_class, reduction, counts)
    targets = checked_targets(caller, logits, targets)
    counted = counted_samples(targets)
    table = _table(logits, targets)
    if class_weights is None:
        weights = _weights(caller, table, per_class, floor, counts)
    else:
        weights = numbers_of_classes(caller, "class_weights", class_weights, logits)
    log_p = log_probability_of_target(caller, logits, targets)
    of_samples = weights[targets.where(counted, 0)] * counted  # [sample]
    if reduction == "weighted_mean":
        of_samples = of_samples * ratio(counted.sum().double(), of_samples.sum(), otherwise=0.0)
    if counts == "released":
        of_samples = of_samples * counted.sum() / max(1, len(counted))
    losses = -log_p * of_samples.to(log_p.dtype)
    return losses + _of_wrong_classes(logits, targets, table) if false_positive_term else losses


class RecallWeightedCrossEntropyLoss(nn.Module):
    """`recall_weighted_cross_entropy_loss` with weights that remember the batches before (surrogate).

    Args:
        per_class: see there, as the following.
        momentum: in 0 to below 1; w becomes momentum times w + (1 - momentum) times that of the batch. A class that the
            batch lacks keeps its weight, and the first batch with it sets it. 0 is the batch alone, as in the paper;
            for small batches 0.9.
        floor: smallest weight.
        reduction: `mean` or `weighted_mean`.
        counts: `plain` or `released`.
        false_positive_term: its weights are those of the batch.

    Attributes:
        weights: w [class], float64; of no class before the first batch.
        seen: which classes have had a sample.

    Raises:
        InputError: as there; momentum outside 0 to 1; another number of classes than before.

    Edge cases:
        Weights are buffers, so that `state_dict` holds them. In eval mode nothing is remembered.

    Example:
        >>> criterion = RecallWeightedCrossEntropyLoss(momentum=0.5)
        >>> targets = torch.tensor([0, 0, 1])
        >>> losses = [
        ...     criterion(logits, targets) for logits in (torch.eye(2)[[0, 1, 1]], torch.eye(2)[[0, 0, 1]])
        ... ]
        >>> criterion.weights
        tensor([0.2500, 0.0000], dtype=torch.float64)
    """

    weights: Tensor
    seen: Tensor

    def __init__(
        self,
        *,
        per_class: PerClassMetric = "recall",
        momentum: Number = 0.0,
        floor: Number = 0.0,
        reduction: Reduction = "mean",
        counts: Counts = "plain",
        false_positive_term: bool = False,
    ) -> None:
        super().__init__()
        caller = "RecallWeightedCrossEntropyLoss"
        _check(caller, per_class, reduction, counts)
        self.momentum = finite_number(caller, "momentum", momentum)
        if not 0 <= self.momentum < 1:
            raise fail(caller, f"momentum is {momentum!r}", "a number from 0 to below 1")
        self.per_class: PerClassMetric = per_class
        self.floor = positive_number(caller, "floor", floor, zero=True)
        self.reduction: Reduction = reduction
        self.counts: Counts = counts
        self.false_positive_term = false_positive_term
        self.register_buffer("weights", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(0, dtype=torch.bool))
        self.register_load_state_dict_pre_hook(of_saved_size)

    def forward(
        self, logits: Float[Tensor, "sample class"], targets: Integer[Tensor, " sample"]
    ) -> Float[Tensor, " sample"]:
        """Return the loss of every sample, and remember the weights."""
        return recall_weighted_cross_entropy_loss(
            logits,
            targets,
            per_class=self.per_class,
            reduction=self.reduction,
            counts=self.counts,
            false_positive_term=self.false_positive_term,
            class_weights=self._running(logits, targets),
        )

    def _running(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the weights with this batch in them."""
        caller = "RecallWeightedCrossEntropyLoss"
        table = _table(logits, checked_targets(caller, logits, targets))
        new = _weights(caller, table, self.per_class, self.floor, self.counts)
        if not len(self.weights):
            self.weights, self.seen = torch.zeros_like(new), torch.zeros_like(new).bool()
        if self.weights.shape != new.shape:
            raise fail(caller, f"logits of {len(new)} classes after {len(self.weights)}", "as many")
        tp, _, fn = table
        present = tp + fn > 0
        mixed = torch.where(self.seen, self.momentum * self.weights + (1 - self.momentum) * new, new)
        running = torch.where(present | ~self.seen, mixed, self.weights)
        if self.training:
            self.weights, self.seen = running, self.seen | present
        return running


RUNNING = RecallWeightedCrossEntropyLoss
"""What `tune` trains with."""


def _check(caller: str, per_class: PerClassMetric, reduction: str, counts: str) -> None:
    if not callable(per_class) and per_class not in _FORMULAS:
        raise fail(caller, f"per_class is {per_class!r}", f"one of {', '.join(_FORMULAS)}, or a function")
    if reduction not in get_args(Reduction):
        raise fail(caller, f"reduction is {reduction!r}", "'mean' or 'weighted_mean'")
    if counts not in get_args(Counts):
        raise fail(caller, f"counts is {counts!r}", "'plain' or 'released'")
    if counts == "released" and (per_class != "recall" or reduction != "mean"):
        raise fail(caller, f"counts is 'released' with {per_class!r} and {reduction!r}", "recall and 'mean'")


def _table(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return true positives, false positives and false negatives of every class, as float64."""
    classes, counted = logits.shape[1], counted_samples(targets)
    true, decided = targets[counted], logits.detach()[counted].argmax(1) if classes else targets[:0]
    right = true[true == decided].bincount(minlength=classes)
    every = true.bincount(minlength=classes)
    return right.double(), (decided.bincount(minlength=classes) - right).double(), (every - right).double()


def _weights(
    caller: str,
    table: tuple[Tensor, Tensor, Tensor],
    per_class: PerClassMetric,
    floor: Number,
    counts: str,
) -> Float64[Tensor, " class"]:
    """Return max(1 - measure, floor) of every class."""
    least = positive_number(caller, "floor", floor, zero=True)
    tp, _, fn = table
    if counts == "released":  # both counters start from one
        return (fn.clamp_min(1) / (tp + fn).clamp_min(1)).clamp_min(least)
    with torch.no_grad():
        measured = (per_class if callable(per_class) else _FORMULAS[per_class])(*table)
    if not isinstance(measured, Tensor) or measured.shape != tp.shape:
        raise fail(caller, f"per_class gave {describe(measured)}", f"one number per class [{len(tp)}]")
    present = measured[tp + fn > 0]
    if not bool(((present >= 0) & (present <= 1)).all()):
        raise fail(caller, f"per_class gave {present.tolist()}"[:120], "numbers from 0 to 1")
    # what it gives for a class without a sample is used nowhere
    return torch.where(tp + fn > 0, 1 - measured.double(), 1.0).clamp_min(least)


def _of_wrong_classes(
    logits: Tensor, targets: Tensor, table: tuple[Tensor, Tensor, Tensor]
) -> Float[Tensor, " sample"]:
    """Return -v_k log(1 - p_k) for every sample that is taken for another class k than its own; else 0."""
    counted = counted_samples(targets)
    known = widened(logits).masked_fill(~counted.unsqueeze(1), 0)
    if not known.numel():
        return known.sum(1)
    decided = known.argmax(1)
    wrong = counted & (decided != targets)
    precision = _FORMULAS["precision"](*table)
    taken = torch.arange(known.shape[1], device=known.device) == decided.unsqueeze(1)
    others = known.masked_fill(taken & wrong.unsqueeze(1), -torch.inf).logsumexp(1)
    values = (1 - precision).to(known.dtype)[decided] * (known.logsumexp(1) - others)
    return values.masked_fill(~wrong, 0)

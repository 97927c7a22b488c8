"""Soft counts per label: 1 - F, IoU, ... of true and false positives that are counted with soft decisions.

For outputs of one label (binary) or of several at once (multi-label), each judged by its own counts. Where one class
per sample is predicted and the metric reads the whole confusion table, use `soft_confusion_loss`. If only the threshold
is wrong, move the threshold: that needs no training.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from metricgrad._checks import Number, describe, fail, finite_number, positive_number
from metricgrad._safe import or_one, ratio
from metricgrad.losses.class_scores import (
    checked_targets,
    counted_samples,
    warn_of_probabilities,
    widened,
)

__all__ = ["soft_counts_loss"]

STANDS_FOR = (
    "f_beta",
    "jaccard",
    "mean_iou",
    "multilabel_f_beta",
    "multilabel_jaccard",
    "multilabel_precision",
    "multilabel_recall",
    "precision",
    "recall",
    "specificity",
)
"""Metrics that it is a surrogate of."""

SPACE = {"temperature": (0.25, 0.5, 1.0, 2.0), "formula": ("f_1", "iou")}
"""Values that tries draw from."""

Average = Literal["macro", "micro"]
Absent = Literal["skip", "zero"]
Decision = Literal["logit", "probability"]
Formula = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class _Decided(NamedTuple):
    """Soft decisions [sample, label]: how much of each is a yes, how much a no, and which are true."""

    yes: Tensor
    no: Tensor
    true: Tensor
    counted: Tensor


def soft_counts_loss(
    label_logits: Float[Tensor, "sample ..."],
    targets: Shaped[Tensor, "sample ..."],
    *,
    formula: str | Formula = "f_1",
    average: Average = "macro",
    absent: Absent = "skip",
    temperature: Number = 1.0,
    threshold: Number = 0.0,
    decision: Decision = "logit",
    scale: Number = 20.0,
) -> Float[Tensor, ""]:
    """Return 1 - M(tp, fp, fn, tn) with counts of soft decisions s of a batch (surrogate).

        tp = sum s y    fp = sum s (1 - y)    fn = sum (1 - s) y    tn = sum (1 - s) (1 - y)
        s = sigmoid((logit - threshold) / temperature), or softmax(logits / temperature) of one class per sample

    Args:
        label_logits: [sample] of one label, [sample, label] of several, or [sample, class] of one class per sample.
        targets: 0 or 1 of the same shape, or class numbers [sample]; -100 for what to ignore.
        formula: M: `f_<beta>` (`f_1`, `f_0.5`), `iou`, `precision`, `recall`, `accuracy`, `balanced_accuracy` (of
            recall and specificity), `g_mean` (their geometric mean), `matthews`, or a function of the four counts
            [label].
        average: `macro`, the mean over labels of M; `micro`, M of the counts of all labels together.
        absent: what `macro` does with a label that has no positive in the batch: `skip` it, or count M as `zero`
            makes it. A single label is never skipped.
        temperature: > 0, of the soft decision. As it goes to 0 the loss becomes the exact metric and its gradient 0.
        threshold: where the decision is made, in units of logits: log(t / (1 - t)) for the probability t.
        decision: `probability` is s = sigmoid(scale (p - threshold)) with p = sigmoid(logit) and a threshold in units
            of probability, of labels only.
        scale: > 0, steepness of the decision `probability`. Too flat a one counts sure negatives as half positive.

    Returns:
        A scalar, lower is better; in [0, 1], with `matthews` in [0, 2].

    Raises:
        InputError: temperature <= 0; an unknown word; other shapes or targets; one class per sample with a formula
            that needs the whole table, a threshold, or decisions by probability.

    Warns:
        UserWarning: logits that look like probabilities; a `scale` too small for decisions.

    Edge cases:
        0/0 is 0. A single label without a positive: F is 0 and so is the gradient, so false positives go unpunished:
        keep some cross-entropy (`proxy_weight`). All labels absent and skipped, or no sample: 0, attached to the graph.
        NaN stays NaN.

    Gradient:
        Exact; float32 for half precision, counts in float64.

    Cost:
        O(sample label).

    Differs from the paper:
        [benedict2022sigmoidf1] squashes twice by default, which is `decision="probability", scale=1`; here a logit is
        squashed once. [han2024anyloss] is the decision `probability`, of one label.

    Reference:
        [benedict2022sigmoidf1], [han2024anyloss]

    Example:
        >>> logits = torch.tensor([2.0, -0.5, 0.3, -1.5, 0.8, -3.0])
        >>> soft_counts_loss(logits, torch.tensor([1, 1, 0, 0, 1, 0]))
        tensor(0.3226)
    """
    caller = "soft_counts_loss"
    for name, value, known in (
        ("average", average, Average),
        ("absent", absent, Absent),
        ("decision", decision, Decision),
    ):
        if value not in get_args(known):
            raise fail(caller, f"{name} is {value!r}", " or ".join(map(repr, get_args(known))))
    warmth = positive_number(caller, "temperature", temperature)
    cut = finite_number(caller, "threshold", threshold)
    of_classes = isinstance(targets, Tensor) and label_logits.ndim == 2 and targets.ndim == 1
    value = _formula(caller, formula, of_classes=of_classes)
    if decision == "logit":
        warn_of_probabilities(caller, label_logits)
    if of_classes:
        if cut or decision != "logit":
            raise fail(caller, "one class per sample with a threshold", "labels 0 or 1, each with its logit")
        decided = _of_classes(caller, label_logits, targets, warmth)
    else:
        _check_labels(caller, label_logits, targets)
        steep = positive_number(caller, "scale", scale) if decision == "probability" else None
        decided = _of_labels(caller, label_logits, targets, warmth, cut, steep)
    counts, present = _counts(decided), (decided.true & decided.counted).any(0)
    if average == "micro":
        counts, present = counts.sum(1, keepdim=True), present.any(0, keepdim=True)
    wanted = present if absent == "skip" and average == "macro" and label_logits.ndim == 2 else present | True
    if not bool(decided.counted.any()) or not bool(wanted.any()):
        return decided.yes.flatten()[:0].sum()
    return (1 - value(*counts[:, wanted]).mean()).to(decided.yes.dtype)


def _formula(caller: str, formula: str | Formula, *, of_classes: bool) -> Formula:
    """Return a formula by its name."""
    if not isinstance(formula, str):
        return formula
    named = re.fullmatch(r"f_(\d+(?:\.\d+)?)", formula)
    if named:
        beta = positive_number(caller, "beta of the formula", float(named[1]))
        return lambda tp, fp, fn, tn: ratio(
            (1 + beta**2) * tp, (1 + beta**2) * tp + beta**2 * fn + fp, otherwise=0.0
        )
    if formula not in _FORMULAS:
        raise fail(
            caller,
            f"formula is {formula!r}",
            f"f_<beta>, {', '.join(_FORMULAS)}, or a function of the counts",
        )
    if of_classes and formula in ("balanced_accuracy", "g_mean", "matthews"):
        raise fail(
            caller,
            f"{formula} of one class per sample",
            "a formula of one class's counts",
            "soft_confusion_loss takes metrics of the whole table.",
        )
    return _FORMULAS[formula]


def _matthews(tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return torch.where(product <= 0, 0.0, (tp * tn - fp * fn) / or_one(product).sqrt())


def _recall(tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
    return ratio(tp, tp + fn, otherwise=0.0)


def _specificity(tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
    return ratio(tn, tn + fp, otherwise=0.0)


_FORMULAS: Mapping[str, Formula] = {
    "iou": lambda tp, fp, fn, tn: ratio(tp, tp + fp + fn, otherwise=0.0),
    "precision": lambda tp, fp, fn, tn: ratio(tp, tp + fp, otherwise=0.0),
    "recall": _recall,
    "accuracy": lambda tp, fp, fn, tn: ratio(tp + tn, tp + fp + fn + tn, otherwise=0.0),
    "balanced_accuracy": lambda *counts: (_recall(*counts) + _specificity(*counts)) / 2,
    "g_mean": lambda *counts: (_recall(*counts) * _specificity(*counts)).clamp_min(1e-12).sqrt(),
    "matthews": _matthews,
}
"""By name, of the counts of one label."""


def _check_labels(caller: str, logits: Tensor, targets: Tensor) -> None:
    """Raise InputError unless there is a target 0 or 1 for every logit."""
    if not isinstance(targets, Tensor) or targets.shape != logits.shape or logits.ndim not in (1, 2):
        came = f"targets are {describe(targets)} for logits {describe(logits)}"
        raise fail(
            caller, came, "one target per logit, [sample] or [sample, label], or class numbers [sample]"
        )
    if not bool(((targets == 0) | (targets == 1) | ~counted_samples(targets)).all()):
        raise fail(caller, "a target is neither 0 nor 1", "0, 1, or -100 for what to ignore")


def _of_labels(
    caller: str, logits: Tensor, targets: Tensor, temperature: float, threshold: float, scale: float | None
) -> _Decided:
    """Decisions of labels: by the logit, or by the probability where there is a scale."""
    if logits.ndim == 1:
        logits, targets = logits.unsqueeze(1), targets.unsqueeze(1)
    counted = counted_samples(targets)
    known = widened(logits).masked_fill(~counted, 0)  # what is ignored may hold anything, NaN included
    if scale is None:
        argument = (known - threshold) / temperature
    else:
        argument = scale * (known.sigmoid() - threshold)
        ends = torch.tensor([-threshold, 1 - threshold]).mul(scale).sigmoid().tolist()
        if ends[0] > 0.05 or ends[1] < 0.95:
            warnings.warn(
                f"{caller}: with scale {scale:g} and threshold {threshold:g} the probability 0 counts as a positive of "
                f"{ends[0]:.2f} and the probability 1 as one of {ends[1]:.2f}; expected at most 0.05 and at least "
                "0.95. Use a larger scale, or decision='logit'.",
                stacklevel=3,
            )
    return _Decided(argument.sigmoid(), (-argument).sigmoid(), targets == 1, counted)


def _of_classes(caller: str, logits: Tensor, targets: Tensor, temperature: float) -> _Decided:
    """Decisions of one class per sample: each class against the rest."""
    targets = checked_targets(caller, logits, targets)
    counted = counted_samples(targets).unsqueeze(1)
    log_p = (widened(logits).masked_fill(~counted, 0) / temperature).log_softmax(1)
    true = targets.unsqueeze(1) == torch.arange(logits.shape[1], device=logits.device)
    return _Decided(log_p.exp(), -torch.expm1(log_p), true, counted.expand_as(true))


def _counts(decided: _Decided) -> Float[Tensor, "4 label"]:
    """Return tp, fp, fn, tn of every label as float64."""
    yes, no = (part.double().masked_fill(~decided.counted, 0) for part in (decided.yes, decided.no))
    parts = (yes * decided.true, yes * ~decided.true, no * decided.true, no * ~decided.true)
    return torch.stack([part.sum(0) for part in parts])

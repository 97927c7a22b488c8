"""What of a network's outputs a rule can decide, and decisions in the form in which a metric takes them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import caller, fail, require_finite
from metricgrad._columns import are_probabilities, one_column
from metricgrad._structures import no_tensor
from metricgrad._types import Metric
from metricgrad.decision import CutPoints
from metricgrad.decision.cut_points import nearest_class
from metricgrad.decision.rule import Rule
from metricgrad.decision.scores import Inputs
from metricgrad.metrics import label_tables
from metricgrad.metrics.records import of_classes, of_labels, of_pixels
from metricgrad.tune.decided_pixels import are_pixels, marked_pixels, pixel_scores
from metricgrad.tune.outputs import Outputs

__all__ = [
    "as_outputs",
    "decidable_scores",
    "decided_by",
    "decided_plainly",
    "judges",
    "kind_of",
    "levels_in",
    "marked_of",
    "names_classes",
    "numbered_of",
    "pool_of",
    "scores_of",
]


def pool_of(found: Outputs) -> tuple[Tensor, Tensor] | None:
    """Class scores and the numbers of the classes, on the CPU; None where outputs or targets are something else."""
    numbered = numbered_of(found)
    return None if numbered is None or len(_without_column(*numbered)) else numbered


def names_classes(found: Outputs) -> bool:
    """Whether outputs are scores [sample, class] and targets the number of one of these classes.

    Raises:
        InputError: a target is a whole number, and no class of the outputs; the outputs are several parts under names.
    """
    if isinstance(found.outputs, Mapping):
        raise no_tensor(caller(), found.outputs, "scores [sample, class]", "Return a tensor of them.")
    numbered = numbered_of(found)
    if numbered is None or numbered[0].ndim != 2:
        return False
    wrong, classes = _without_column(*numbered), numbered[0].shape[1]
    if len(wrong):
        came = f"a target of select is {int(wrong[0])}, and the network gives scores of {classes} classes"
        raise fail(caller(), came, f"numbers from 0 to {classes - 1}")
    return True


def numbered_of(found: Outputs) -> tuple[Tensor, Tensor] | None:
    """Scores and a whole number for each of them, on the CPU; None where outputs or targets are something else."""
    scores, targets = scores_of(found.outputs), found.targets
    if scores is None or not isinstance(targets, Tensor):
        return None
    targets = one_column(targets.detach()).cpu()
    whole = targets.shape == scores.shape[:1] and bool((targets == targets.long()).all())
    return (scores, targets.long()) if whole else None


def levels_in(targets: Any) -> int:
    """How many ordered classes targets name, one whole number from 0 per sample; 0 where they are something else."""
    numbers = one_column(targets.detach()) if isinstance(targets, Tensor) else None
    if numbers is None or numbers.ndim != 1 or not len(numbers):
        return 0
    whole = bool(((numbers == numbers.long()) & (numbers >= 0)).all())
    return int(numbers.max()) + 1 if whole else 0


def marked_of(found: Outputs) -> tuple[Tensor, Tensor] | None:
    """Scores and 0 or 1 for each [sample, label], on the CPU; None where outputs or targets are something else."""
    scores, targets = scores_of(found.outputs), found.targets
    if scores is None or not isinstance(targets, Tensor) or targets.shape != scores.shape or scores.ndim != 2:
        return None
    marks = targets.detach().cpu()
    return (scores, marks.long()) if bool(((marks == 0) | (marks == 1)).all()) else None


def kind_of(scores: Tensor, cut: float | None, *, labels: bool = False) -> Inputs | None:
    """What scores are; None where they are compared with 0.5 and are no probabilities.

    Logits of an early network may lie within [0, 1] by chance: of classes, what they are is not guessed from that.

    Args:
        scores: of classes, of class 1, or of labels.
        cut: the threshold of the metric, where it has one.
        labels: whether they are scores of labels: without a threshold they are read as the metric reads them.
    """
    if labels:
        within = label_tables.are_probabilities(scores)
        if cut is None:
            return "probabilities" if within else "logits"
    elif scores.ndim == 2:
        return "probabilities" if are_probabilities(scores) else "logits"
    elif cut is None:
        return "auto"
    else:
        within = bool(((scores >= 0) & (scores <= 1)).all())
    return "logits" if cut == 0 else "probabilities" if within else None


def decided_plainly(scores: Tensor, levels: int) -> Tensor:
    """The nearest of so many ordered classes for one real number per sample; InputError for NaN."""
    return nearest_class(require_finite("decision", "outputs", scores), levels)


def judges(metric: Metric, decided: Tensor) -> bool:
    """Whether a metric is one of what was decided: classes [item], labels [item, label], or pixels [image, *place]."""
    if metric.reads == "pixels":
        return of_pixels(metric) is not None
    return (of_classes(metric) if decided.ndim == 1 else of_labels(metric)) is not None


def _without_column(scores: Tensor, targets: Tensor) -> Tensor:
    """The targets for which there is no score."""
    classes = 2 if scores.ndim == 1 else scores.shape[1]
    return targets[(targets < 0) | (targets >= classes)]


def scores_of(outputs: Any) -> Tensor | None:
    """Class scores [sample, class], or one score of class 1 per sample [sample], on the CPU; None for anything else."""
    if not isinstance(outputs, Tensor):
        return None
    scores = one_column(outputs.detach()).cpu()
    if (
        not outputs.is_floating_point()
        or scores.ndim not in (1, 2)
        or (scores.ndim == 2 and scores.shape[1] < 2)
    ):
        return None
    return scores


def decidable_scores(outputs: Any) -> Tensor | None:
    """What `decided_by` takes of outputs: as `scores_of`, or the scores of pixels as they are."""
    return outputs if are_pixels(outputs) else scores_of(outputs)


def decided_by(rule: Rule, scores: Tensor) -> Tensor:
    """What a rule decides for every row of scores: a class [item], or 0 and 1 [item, label]; of pixels [image, *place].

    Raises:
        InputError: another number of classes than the rule was fitted to; NaN or infinite scores.
    """
    pixels = pixel_scores("decision rule", scores, rule.classes)
    if pixels is not None:
        rows, shape = pixels
        return decided_by(rule, rows).reshape(shape)
    columns, wanted = 2 if scores.ndim == 1 else scores.shape[1], rule.classes
    if isinstance(rule, CutPoints):
        columns, wanted = scores[:1].numel(), 1
    if columns != wanted:
        raise fail("decision rule", f"outputs are scores of {columns} classes", f"{wanted}, as it was fitted")
    require_finite("decision rule", "outputs", scores)
    with torch.no_grad():
        return rule(scores)


def as_outputs(metric: Metric, found: Outputs) -> Tensor:
    """Decided classes, or labels, in the form in which a metric that reads them takes outputs.

    Class numbers for ours, and 0 and 1 for labels; of pixels scores of 0 and 1 [image, class, *place]; scores on either
    side of a threshold for one that compares with it; for a record of anybody else scores of 0 and 1, [sample, class]
    or one per sample as those of the network, which it is known to take.
    """
    decided, threshold = found.decided, metric.settings.get("threshold")
    assert decided is not None
    if threshold is not None:
        return torch.where(decided == 1, threshold + 1.0, threshold - 1.0)
    if metric.reads == "pixels":
        return marked_pixels(decided, found.outputs)
    if metric.function is not None or decided.ndim == 2:
        return decided
    if one_column(found.outputs).ndim == 1:
        return decided.float()
    return nn.functional.one_hot(decided, found.outputs.shape[1]).float()

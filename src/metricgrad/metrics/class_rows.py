"""What is kept of every sample for a metric of classifiers: its prediction or score beside its target, checked."""

from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._columns import one_column, order_of_class_1, whole_codes
from metricgrad._labels import whole_labels
from metricgrad.errors import InputError

__all__ = [
    "Average",
    "Outputs",
    "Scores",
    "Targets",
    "averaged_rows",
    "class_ids",
    "error_rows",
    "more_than_two",
    "prediction_rows",
    "right_rows",
    "score_rows",
]

Average = Literal["binary", "micro", "macro", "weighted"]
Outputs = Shaped[Tensor, "sample class"] | Shaped[Tensor, "sample"]
Scores = Shaped[Tensor, "sample"] | Shaped[Tensor, "sample column"] | Shaped[Tensor, "sample 1 1"]
Targets = Shaped[Tensor, "sample"] | Shaped[Tensor, "sample 1"]


def class_ids(
    caller: str, outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> tuple[Shaped[Tensor, "sample"], Shaped[Tensor, "sample"]]:
    """Check and return predicted and target class ids, on the CPU."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        raise fail(caller, f"outputs are {describe(outputs)}, targets are {describe(targets)}", "two tensors")
    given, outputs, truths = outputs, one_column(outputs), one_column(targets)
    if outputs.is_floating_point() and bool(torch.isnan(outputs).any()):
        row = int(torch.isnan(outputs).flatten(1).any(1).nonzero()[0])
        raise fail(caller, f"outputs have NaN, first in row {row}", "numbers")
    if threshold is not None:
        predictions = _above(caller, outputs, threshold)
    elif outputs.ndim == 2 and outputs.shape[1] > 0:
        predictions = outputs.to(torch.uint8 if outputs.dtype == torch.bool else outputs.dtype).argmax(1)
    elif outputs.ndim == 1 and not outputs.is_floating_point():
        predictions = outputs
    else:
        raise fail(
            caller,
            f"outputs are {describe(given)}",
            "class scores [sample, class] or whole predicted class ids [sample]",
            "One score of class 1 per sample needs its threshold: threshold=0 for a logit, 0.5 for a probability "
            f"(by name: {caller}:threshold=0).",
        )
    if truths.shape != predictions.shape:
        remedy = (
            "Several labels per sample are what multilabel_f_beta and hamming_loss take; pixels, mean_iou."
        )
        raise fail(
            caller,
            f"targets are {describe(targets)}",
            f"{len(predictions)} whole class ids [sample]",
            remedy if truths.ndim > 1 else "",
        )
    if truths.is_floating_point():  # as a loss of logits wants them: whole numbers all the same
        truths = truths.detach().cpu().double().numpy()
    return predictions.cpu(), whole_labels(caller, "targets", truths).cpu()


def _above(caller: str, outputs: Tensor, threshold: float) -> Int[Tensor, "sample"]:
    """Return 1 for every score above the threshold, else 0."""
    if isinstance(threshold, bool | str) or threshold != threshold:
        raise fail(caller, f"threshold is {threshold!r}", "a number")
    if outputs.ndim != 1 or not outputs.is_floating_point():
        raise fail(
            caller,
            f"threshold is {threshold} and outputs are {describe(outputs)}",
            "one score of class 1 per sample, [sample] or [sample, 1]",
            "Class scores and class ids have no threshold: leave it out.",
        )
    return (outputs > threshold).long()


def prediction_rows(
    caller: str, outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> Float[Tensor, "sample 2"]:
    """Check and return (predicted class, target class) of every sample: ids, or codes of ids beyond float64."""
    return torch.stack(whole_codes(*class_ids(caller, outputs, targets, threshold=threshold)), 1)


def right_rows(
    caller: str, outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> Float[Tensor, "sample"]:
    """1 for every sample whose predicted class is the target, else 0."""
    guess, target = prediction_rows(caller, outputs, targets, threshold=threshold).unbind(1)
    return (guess == target).double()


def error_rows(
    caller: str, outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> Float[Tensor, "sample"]:
    """1 for every sample whose predicted class is not the target, else 0."""
    return 1 - right_rows(caller, outputs, targets, threshold=threshold)


def averaged_rows(
    caller: str,
    outputs: Outputs,
    targets: Targets,
    *,
    average: str | None = None,
    positive_class: int | None = None,
    threshold: float | None = None,
) -> Float[Tensor, "sample 2"]:
    """Check and return (predicted, target) of every sample: classes, or for `binary` whether it is the positive one."""
    if positive_class is not None and type(positive_class) is not int:
        raise fail(caller, f"positive_class is {positive_class!r}", "the id of a class, a whole number")
    predictions, truths = class_ids(caller, outputs, targets, threshold=threshold)
    if average not in (None, "binary"):
        return torch.stack(whole_codes(predictions, truths), 1)
    if average is None and positive_class is None:
        columns = outputs.shape[1] if outputs.ndim == 2 else 0
        classes = sorted({*predictions.unique().tolist(), *truths.unique().tolist()})
        if max(columns, len(classes)) > 2 or (len(classes) == 2 and 1 not in classes):
            shown = f"{columns} columns" if columns > 2 else f"the classes {', '.join(map(str, classes[:6]))}"
            raise more_than_two(caller, f"there are {shown}")
    positive = 1 if positive_class is None else positive_class
    return torch.stack([predictions == positive, truths == positive], 1).double()


def more_than_two(caller: str, came: str) -> InputError:
    """The error of a metric of two classes that is not told which class is the positive one."""
    return fail(
        caller,
        came,
        "two classes, one of them class 1",
        "Of more say how they are averaged (average=macro, weighted or micro; macro_f1), or which class is "
        "meant (positive_class).",
    )


def score_rows(caller: str, outputs: Shaped[Tensor, "..."], targets: Targets) -> Float[Tensor, "sample 2"]:
    """Check and return (score, target) of every sample; scores are numbers of the same order."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        raise fail(caller, f"outputs are {describe(outputs)}, targets are {describe(targets)}", "two tensors")
    scores, marks = order_of_class_1(outputs), one_column(targets.detach()).double().cpu()
    if scores is None or marks.shape != scores.shape:
        raise fail(
            caller,
            f"outputs are {describe(outputs)} and targets are {describe(targets)}",
            "one score and one target per sample (or two columns of scores)",
        )
    if bool(torch.isnan(scores).any()):
        raise fail(
            caller, f"scores have NaN, first in row {int(torch.isnan(scores).nonzero()[0])}", "numbers"
        )
    if not bool(((marks == 0) | (marks == 1)).all()):
        raise fail(caller, f"targets have the values {marks.unique().tolist()[:5]}", "0 and 1")
    return torch.stack([scores, marks], 1)

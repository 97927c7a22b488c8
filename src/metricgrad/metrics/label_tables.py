"""Several labels per sample: what is kept of each sample, and the 2 x 2 table of every label that metrics are made of.

The table of a label is its confusion table [true, predicted], tables of all labels are [*batch, label, 2, 2]. A metric
of one label is a formula of `class_formulas`; `averaged` makes a metric of all labels of it:

* `macro` is the mean over the labels of the formula, so that each label can be decided by itself;
* `micro` is the formula of the sum of the tables;
* `weighted` is the mean weighted by how often each label is there;
* `samples`, the mean over samples of the formula of the table of each sample, is no function of the tables of labels.

The record of a metric that is a function of the tables holds it as `Metric.of_label_tables`: [*batch, label, 2, 2] ->
float64 [*batch], differentiable, real-valued tables are fine, NaN where undefined. `metric.settings.get("average",
"macro") == "macro"` says that the value is the mean over the labels of the values for each label's table alone
([*batch, 1, 2, 2]), as it is for the Hamming loss too.

Decisions are numbers 0 and 1 or bool [sample, label]. Scores become decisions here: above `threshold` where one is
given. Without one, numbers within [0, 1] are probabilities, cut at 0.5, and any others are logits, cut at 0.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Float64, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail, finite_number
from metricgrad._safe import ratio
from metricgrad.metrics.confusion import Confusion, Times
from metricgrad.metrics.of_rows import OfCounts

__all__ = ["Average", "Tables", "are_probabilities", "averaged", "label_rows", "of_labels", "require_average"]

Average = Literal["macro", "micro", "weighted", "samples"]
Tables = Float[Tensor, "*batch label 2 2"]

_ROOM = 1e-3
"""How far rounding may bring a probability beyond 0 or 1."""


def label_rows(
    caller: str,
    outputs: Shaped[Tensor, "sample label"],
    targets: Shaped[Tensor, "sample label"],
    *,
    threshold: float | None = None,
) -> Float64[Tensor, "sample column"]:
    """Check and return which labels are predicted and which are there, 0 or 1: twice as many columns as labels."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        raise fail(caller, f"outputs are {describe(outputs)}, targets are {describe(targets)}", "two tensors")
    marks, given = targets.detach().cpu().double(), outputs.detach().cpu()
    if given.ndim != 2 or marks.shape != given.shape or given.is_complex():
        raise fail(
            caller,
            f"outputs are {describe(outputs)} and targets are {describe(targets)}",
            "scores or decisions [sample, label] and marks 0 and 1 of that shape",
            "Of one class per sample ask for a metric without multilabel in its name."
            if marks.ndim == 1
            else "",
        )
    if not bool(((marks == 0) | (marks == 1)).all()):
        raise fail(caller, f"targets have the values {marks.unique().tolist()[:5]}", "0 and 1")
    return torch.cat([_decisions(caller, given, threshold).double(), marks], 1)


def _decisions(caller: str, given: Tensor, threshold: float | None) -> Bool[Tensor, "sample label"]:
    """Whether each label is predicted."""
    if not given.is_floating_point():
        if threshold is not None or not bool(((given == 0) | (given == 1)).all()):
            came = f"outputs are whole numbers {given.unique().tolist()[:5]}"
            expected = "decisions 0 and 1, which have no threshold" if threshold is not None else "0 and 1"
            raise fail(caller, came, expected)
        return given == 1
    if bool(given.isnan().any()):
        row = int(given.isnan().any(1).nonzero()[0])
        raise fail(caller, f"outputs have NaN, first in row {row}", "numbers")
    if threshold is not None:
        return given > finite_number(caller, "threshold", threshold)
    return given > (0.5 if are_probabilities(given) else 0.0)


def are_probabilities(scores: Shaped[Tensor, "sample label"]) -> bool:
    """Whether scores of labels are read as probabilities: all lie within [0, 1], but for rounding."""
    return bool(((scores >= -_ROOM) & (scores <= 1 + _ROOM)).all())


def require_average(caller: str, average: str) -> None:
    """Raise InputError for an average that there is not."""
    if average not in get_args(Average):
        raise fail(caller, f"average is {average!r}", f"one of {', '.join(get_args(Average))}")


def averaged(
    formula: Callable[[Confusion], Tensor], tables: Tables, average: str
) -> Float64[Tensor, "*batch"]:
    """A metric of all labels from the formula of one: macro, micro or weighted.

    Example:
        >>> from metricgrad.metrics.class_formulas import accuracy
        >>> tables = torch.tensor([[[3.0, 1.0], [0.0, 0.0]], [[2.0, 0.0], [0.0, 2.0]]])
        >>> averaged(accuracy, tables, "macro"), averaged(accuracy, tables, "weighted")
        (tensor(0.8750, dtype=torch.float64), tensor(1., dtype=torch.float64))
    """
    if average == "micro":
        return formula(Confusion.of_table(tables.sum(-3)))
    each = formula(Confusion.of_table(tables))  # [*batch, label]
    if average == "macro":
        return each.mean(-1)
    present = tables.double()[..., 1, :].sum(-1)
    return ratio((each * present).sum(-1), present.sum(-1), otherwise=float("nan"))


def of_labels(
    formula: Callable[[Confusion], Tensor], rows: Float[Tensor, "sample column"], average: str
) -> OfCounts:
    """Summary of rows as `label_rows` makes them, by the formula of one label."""
    predicted, present = rows.tensor_split(2, dim=1)
    both = predicted * present
    if average == "samples":
        many = rows.new_full((len(rows),), both.shape[1])
        values = formula(Confusion.of_table(_tables(both.sum(1), predicted.sum(1), present.sum(1), many)))
        return lambda times: ratio(times @ values, times.sum(-1), otherwise=float("nan"))

    def of_counts(times: Times) -> Tensor:
        counts = [times @ part for part in (both, predicted, present)]  # [*resample, label] each
        tables = _tables(counts[0], counts[1], counts[2], times.sum(-1, keepdim=True))
        return averaged(formula, tables, average)

    return of_counts


def _tables(both: Tensor, predicted: Tensor, present: Tensor, all_of_them: Tensor) -> Tables:
    """Tables [true, predicted] from counts: of both, of predictions, of labels that are there, of everything."""
    absent = all_of_them - present
    false = predicted - both
    cells = torch.stack([absent - false, false, present - both, both], -1)
    return cells.unflatten(-1, (2, 2))

"""Exact metrics of classifiers: each is one number for a set of samples.

The error family takes class scores [sample, class], of which the largest decides, or predicted class ids [sample].
The binary ranking metrics take one score per sample. All return a float64 scalar tensor without gradient.

The error family is written as a function of (prediction, target) rows and the ranking family as one of
(score, target) rows: `records.py` keeps these rows as the statistics, so that the bootstrap can draw samples and
summarise them again.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail, positive_number

__all__ = [
    "accuracy",
    "balanced_error",
    "binary_average_precision",
    "error_rate",
    "f_beta",
    "roc_auc",
]

Average = Literal["binary", "micro", "macro"]
Outputs = Shaped[Tensor, "sample class"] | Shaped[Tensor, "sample"]


def accuracy(outputs: Outputs, targets: Shaped[Tensor, "sample"]) -> Float[Tensor, ""]:
    """Share of the samples whose predicted class is the target (exact).

    Args:
        outputs: class scores (the largest decides, the first of equals) or predicted class ids.
        targets: class ids.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores.

    Edge cases:
        ties: the lowest class id. No sample: NaN.

    Gradient: none.

    Cost: O(sample * class).

    Example:
        >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    return 1 - share_of_errors(prediction_rows("accuracy", outputs, targets))


def error_rate(outputs: Outputs, targets: Shaped[Tensor, "sample"]) -> Float[Tensor, ""]:
    """Share of the samples whose predicted class is not the target (exact).

    Args:
        outputs: class scores (the largest decides, the first of equals) or predicted class ids.
        targets: class ids.

    Returns:
        float64 scalar in [0, 1], lower is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores.

    Edge cases:
        ties: the lowest class id. No sample: NaN.

    Gradient: none.

    Cost: O(sample * class).

    Example:
        >>> error_rate(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    return share_of_errors(prediction_rows("error_rate", outputs, targets))


def balanced_error(outputs: Outputs, targets: Shaped[Tensor, "sample"]) -> Float[Tensor, ""]:
    """Mean over the classes of the share of their samples that is predicted wrongly (exact).

        mean_c #{i: y_i = c, prediction_i != c} / #{i: y_i = c}     over the classes among the targets

    Args:
        outputs: class scores (the largest decides, the first of equals) or predicted class ids.
        targets: class ids.

    Returns:
        float64 scalar in [0, 1], lower is better; 1 - scikit-learn's `balanced_accuracy_score`.

    Raises:
        InputError: shapes or types that do not fit, NaN scores.

    Edge cases:
        ties: the lowest class id. A class without a sample is left out. No sample: NaN.

    Gradient: none.

    Cost: O(sample * class).

    Example:
        >>> balanced_error(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]))
        tensor(0.2500, dtype=torch.float64)
    """
    return balanced_error_of_rows(prediction_rows("balanced_error", outputs, targets))


def f_beta(
    outputs: Outputs,
    targets: Shaped[Tensor, "sample"],
    *,
    beta: float = 1.0,
    average: Average = "binary",
    positive_class: int = 1,
) -> Float[Tensor, ""]:
    """F-measure: weighted harmonic mean of precision and recall (exact).

        F = (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp)

    Args:
        outputs: class scores (the largest decides, the first of equals) or predicted class ids.
        targets: class ids.
        beta: weight of recall against precision, > 0.
        average: `binary` is the F of `positive_class`; `macro` the mean of the F of every class that occurs among
            targets or predictions; `micro` adds the counts of all classes (for one label per sample: accuracy).
        positive_class: id of the class that `binary` looks at.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, beta <= 0, an unknown average.

    Edge cases:
        ties: the lowest class id. `binary` without a positive, present or predicted: 1, as nothing is wrong
        (scikit-learn: 0 and a warning). No sample: NaN.

    Gradient: none; `losses.f_beta_loss` has one.

    Cost: O(sample * class).

    Reference:
        [vanrijsbergen1979retrieval]

    Example:
        >>> f_beta(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1]))
        tensor(0.5000, dtype=torch.float64)
    """
    rows = prediction_rows("f_beta", outputs, targets)
    return f_beta_of_rows(rows, beta=beta, average=average, positive_class=positive_class)


def binary_average_precision(
    outputs: Shaped[Tensor, "sample"] | Shaped[Tensor, "sample column"], targets: Shaped[Tensor, "sample"]
) -> Float[Tensor, ""]:
    """Average precision of one score per sample (exact), as scikit-learn defines it.

        sum_t (recall_t - recall_{t-1}) precision_t      t runs over the distinct scores, highest first

    Samples of equal score cross the threshold together: that is how it differs from `average_precision`, which
    orders them by a rule.

    Args:
        outputs: score of the positive class; with two columns the second minus the first.
        targets: 0 or 1 (or bool).

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, targets other than 0 and 1.

    Edge cases:
        ties: one threshold. No positive, or no sample: NaN (scikit-learn: 0 and a warning).

    Gradient: none.

    Cost: O(sample * log(sample)).

    Reference:
        [manning2008retrieval]

    Example:
        >>> binary_average_precision(torch.tensor([0.9, 0.4, 0.35, 0.8]), torch.tensor([1, 0, 1, 0]))
        tensor(0.7500, dtype=torch.float64)
    """
    return average_precision_of_rows(score_rows("binary_average_precision", outputs, targets))


def roc_auc(
    outputs: Shaped[Tensor, "sample"] | Shaped[Tensor, "sample column"], targets: Shaped[Tensor, "sample"]
) -> Float[Tensor, ""]:
    """Area under the ROC curve: share of (positive, negative) pairs in the right order (exact).

        mean over pairs of [s_positive > s_negative] + [s_positive = s_negative] / 2

    Args:
        outputs: score of the positive class; with two columns the second minus the first.
        targets: 0 or 1 (or bool).

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, targets other than 0 and 1.

    Edge cases:
        ties: a tied pair counts 1/2 (mid-ranks). One class only, or no sample: NaN.

    Gradient: none.

    Cost: O(sample * log(sample)).

    Reference:
        [hanley1982auc]

    Example:
        >>> roc_auc(torch.tensor([0.9, 0.4, 0.35, 0.8]), torch.tensor([1, 0, 1, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    return roc_auc_of_rows(score_rows("roc_auc", outputs, targets))


def prediction_rows(
    caller: str, outputs: Outputs, targets: Shaped[Tensor, "sample"]
) -> Float[Tensor, "sample 2"]:
    """Check and return (predicted class id, target class id) of every sample."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        raise fail(caller, f"outputs are {describe(outputs)}, targets are {describe(targets)}", "two tensors")
    if outputs.ndim == 2 and outputs.shape[1] > 0:
        if outputs.is_floating_point() and bool(torch.isnan(outputs).any()):
            row = int(torch.isnan(outputs).any(1).nonzero()[0])
            raise fail(caller, f"outputs have NaN, first in row {row}", "numbers")
        predictions = outputs.to(torch.uint8 if outputs.dtype == torch.bool else outputs.dtype).argmax(1)
    elif outputs.ndim == 1 and not outputs.is_floating_point():
        predictions = outputs
    else:
        raise fail(
            caller,
            f"outputs are {describe(outputs)}",
            "class scores [sample, class] or whole predicted class ids [sample]",
            "Compare a binary score with its threshold first: (scores > threshold).long().",
        )
    if targets.shape != predictions.shape or targets.is_floating_point():
        raise fail(caller, f"targets are {describe(targets)}", f"{len(predictions)} whole class ids [sample]")
    return torch.stack([predictions.double().cpu(), targets.double().cpu()], 1)


def score_rows(
    caller: str, outputs: Shaped[Tensor, "..."], targets: Shaped[Tensor, "sample"]
) -> Float[Tensor, "sample 2"]:
    """Check and return (score, target) of every sample."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        raise fail(caller, f"outputs are {describe(outputs)}, targets are {describe(targets)}", "two tensors")
    scores = outputs.detach().double().cpu()
    if scores.ndim == 2 and scores.shape[1] in (1, 2):
        scores = scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]
    if scores.ndim != 1 or targets.shape != scores.shape:
        raise fail(
            caller,
            f"outputs are {describe(outputs)} and targets are {describe(targets)}",
            "one score and one target per sample (or two columns of scores)",
        )
    if bool(torch.isnan(scores).any()):
        raise fail(
            caller, f"scores have NaN, first in row {int(torch.isnan(scores).nonzero()[0])}", "numbers"
        )
    marks = targets.detach().double().cpu()
    if not bool(((marks == 0) | (marks == 1)).all()):
        raise fail(caller, f"targets have the values {marks.unique().tolist()[:5]}", "0 and 1")
    return torch.stack([scores, marks], 1)


def share_of_errors(rows: Float[Tensor, "sample 2"]) -> Float[Tensor, ""]:
    """Share of rows whose prediction is not the target; NaN for none."""
    return (rows[:, 0] != rows[:, 1]).double().mean()


def balanced_error_of_rows(rows: Float[Tensor, "sample 2"]) -> Float[Tensor, ""]:
    """Mean over the target classes of their share of errors."""
    classes, index = rows[:, 1].unique(return_inverse=True)
    wrong = torch.bincount(index, (rows[:, 0] != rows[:, 1]).double(), minlength=len(classes))
    return (wrong.double() / torch.bincount(index, minlength=len(classes))).mean()


def f_beta_of_rows(
    rows: Float[Tensor, "sample 2"],
    *,
    beta: float = 1.0,
    average: Average = "binary",
    positive_class: int = 1,
) -> Float[Tensor, ""]:
    """F-measure of (prediction, target) rows."""
    weight = positive_number("f_beta", "beta", beta) ** 2
    if average not in get_args(Average):
        raise fail("f_beta", f"average is {average!r}", f"one of {', '.join(get_args(Average))}")
    if len(rows) == 0:
        return rows.new_full((), torch.nan)
    if average == "binary":
        predicted, present = (rows == positive_class).unbind(1)
        right, predictions, positives = ((predicted & present).sum(), predicted.sum(), present.sum())
        if int(predictions + positives) == 0:
            return rows.new_ones(())
    else:
        classes, index = rows.unique(return_inverse=True)
        right = torch.bincount(index[:, 0][index[:, 0] == index[:, 1]], minlength=len(classes))
        predictions, positives = (
            torch.bincount(column, minlength=len(classes)) for column in index.unbind(1)
        )
        if average == "micro":
            right, predictions, positives = right.sum(), predictions.sum(), positives.sum()
    # (1 + beta^2) tp + beta^2 fn + fp = beta^2 positives + predictions
    return ((1 + weight) * right.double() / (weight * positives.double() + predictions)).mean()


def average_precision_of_rows(rows: Float[Tensor, "sample 2"]) -> Float[Tensor, ""]:
    """Average precision of (score, target) rows, equal scores as one threshold."""
    positive, last = _thresholds(rows)
    found = positive.cumsum(0)[last]  # [threshold]
    precision = found / (last + 1)
    gained = torch.diff(found, prepend=found.new_zeros(1))
    return (gained * precision).sum() / positive.sum()


def roc_auc_of_rows(rows: Float[Tensor, "sample 2"]) -> Float[Tensor, ""]:
    """Area under the ROC curve of (score, target) rows: trapezoids between the thresholds."""
    positive, last = _thresholds(rows)
    found = positive.cumsum(0)[last]  # true positives at each threshold
    passed = (last + 1) - found  # false positives
    start = found.new_zeros(1)
    height = (torch.cat([start, found[:-1]]) + found) / 2
    pairs = positive.sum() * (len(rows) - positive.sum())
    return (torch.diff(passed, prepend=start) * height).sum() / pairs


def _thresholds(rows: Float[Tensor, "sample 2"]) -> tuple[Tensor, Int[Tensor, "threshold"]]:
    """Return the targets, highest score first, and the last place of every group of equal scores."""
    scores, order = rows[:, 0].sort(descending=True)
    ends = torch.ones_like(scores, dtype=torch.bool)
    ends[:-1] = scores[:-1] != scores[1:]
    return rows[:, 1][order], ends.nonzero()[:, 0]

"""Exact metrics of classifiers: each is one number for a set of samples.

The error family takes class scores [sample, class], of which the largest decides, or predicted class ids [sample], or
one score of class 1 with the threshold that it is compared with. The binary ranking metrics take one score per
sample. A single column [sample, 1] is read as [sample]. All return a float64 scalar tensor without gradient.

The error family is written as a function of (prediction, target) rows and the ranking family as one of
(score, target) rows that is told how often each row comes: `records.py` keeps these rows as the statistics, so that
the bootstrap can draw samples and summarise all resamples at once.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail, positive_number
from metricgrad._columns import one_column, order_of_class_1, whole_codes
from metricgrad._labels import whole_labels
from metricgrad.metrics.of_rows import OfCounts, of_all

__all__ = [
    "accuracy",
    "balanced_error",
    "binary_average_precision",
    "error_rate",
    "f_beta",
    "roc_auc",
]

Times = Float[Tensor, "*resample sample"]

Average = Literal["binary", "micro", "macro", "weighted"]
Outputs = Shaped[Tensor, "sample class"] | Shaped[Tensor, "sample"]
Scores = Shaped[Tensor, "sample"] | Shaped[Tensor, "sample column"] | Shaped[Tensor, "sample 1 1"]
Targets = Shaped[Tensor, "sample"] | Shaped[Tensor, "sample 1"]


def accuracy(outputs: Outputs, targets: Targets, *, threshold: float | None = None) -> Float[Tensor, ""]:
    """Share of the samples whose predicted class is the target (exact).

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold.

    Edge cases:
        ties: the lowest class id. No sample: NaN.

    Gradient: none.

    Cost: O(sample * class).

    Example:
        >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    return 1 - share_of_errors(prediction_rows("accuracy", outputs, targets, threshold=threshold))


def error_rate(outputs: Outputs, targets: Targets, *, threshold: float | None = None) -> Float[Tensor, ""]:
    """Share of the samples whose predicted class is not the target (exact).

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], lower is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold.

    Edge cases:
        ties: the lowest class id. No sample: NaN.

    Gradient: none.

    Cost: O(sample * class).

    Example:
        >>> error_rate(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    return share_of_errors(prediction_rows("error_rate", outputs, targets, threshold=threshold))


def balanced_error(
    outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> Float[Tensor, ""]:
    """Mean over the classes of the share of their samples that is predicted wrongly (exact).

        mean_c #{i: y_i = c, prediction_i != c} / #{i: y_i = c}     over the classes among the targets

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], lower is better; 1 - scikit-learn's `balanced_accuracy_score`.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold.

    Edge cases:
        ties: the lowest class id. A class without a sample is left out. No sample: NaN.

    Gradient: none.

    Cost: O(sample * class).

    Example:
        >>> balanced_error(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]))
        tensor(0.2500, dtype=torch.float64)
    """
    return of_all(
        balanced_error_of_rows, prediction_rows("balanced_error", outputs, targets, threshold=threshold)
    )


def f_beta(
    outputs: Outputs,
    targets: Targets,
    *,
    beta: float = 1.0,
    average: Average | None = None,
    positive_class: int | None = None,
    threshold: float | None = None,
) -> Float[Tensor, ""]:
    """F-measure: weighted harmonic mean of precision and recall (exact).

        F = (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp)

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        beta: weight of recall against precision, > 0.
        average: `binary` is the F of `positive_class`; `macro` the mean of the F of every class that occurs among
            targets or predictions; `weighted` the same mean, each class as often as it occurs among the targets;
            `micro` adds the counts of all classes (for one label per sample: accuracy). None is `binary`, for samples
            of two classes only.
        positive_class: id of the class that `binary` looks at; None is class 1.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold, beta <= 0,
            an unknown average, more than two classes without `average` or `positive_class`, two classes without
            class 1 among them.

    Edge cases:
        ties: the lowest class id. `binary` without a positive, present or predicted: 1, as nothing is wrong
        (scikit-learn: 0 and a warning). A class that is only predicted has F 0, and no weight in `weighted`. No
        sample: NaN. Of more than two classes scikit-learn refuses `binary` even where it is asked for.

    Gradient: none; the method `direct:f_beta` has one.

    Cost: O(sample * class).

    Reference:
        [vanrijsbergen1979retrieval]

    Example:
        >>> f_beta(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1]))
        tensor(0.5000, dtype=torch.float64)
    """
    rows = f_beta_rows(
        "f_beta", outputs, targets, average=average, positive_class=positive_class, threshold=threshold
    )
    return of_all(partial(f_beta_of_rows, beta=beta, average=average), rows)


def binary_average_precision(outputs: Scores, targets: Targets) -> Float[Tensor, ""]:
    """Average precision of one score per sample (exact), as scikit-learn defines it.

        sum_t (recall_t - recall_{t-1}) precision_t      t runs over the distinct scores, highest first

    Samples of equal score cross the threshold together: that is how it differs from `average_precision`, which
    orders them by a rule.

    Args:
        outputs: score of the positive class; of two columns the second minus the first, or of probabilities the
            second.
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
    return of_all(average_precision_of_rows, score_rows("binary_average_precision", outputs, targets))


def roc_auc(outputs: Scores, targets: Targets) -> Float[Tensor, ""]:
    """Area under the ROC curve: share of (positive, negative) pairs in the right order (exact).

        mean over pairs of [s_positive > s_negative] + [s_positive = s_negative] / 2

    Args:
        outputs: score of the positive class; of two columns the second minus the first, or of probabilities the
            second.
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
    return of_all(roc_auc_of_rows, score_rows("roc_auc", outputs, targets))


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
            "One score of class 1 per sample needs its threshold: threshold=0 for a logit, 0.5 for a probability.",
        )
    if truths.shape != predictions.shape:
        raise fail(caller, f"targets are {describe(targets)}", f"{len(predictions)} whole class ids [sample]")
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


def f_beta_rows(
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
            raise fail(
                caller,
                f"there are {shown}",
                "two classes, one of them class 1",
                "Of more say how they are averaged (average=macro, weighted or micro; macro_f1), or which class is "
                "meant (positive_class).",
            )
    positive = 1 if positive_class is None else positive_class
    return torch.stack([predictions == positive, truths == positive], 1).double()


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


def share_of_errors(rows: Float[Tensor, "sample 2"]) -> Float[Tensor, ""]:
    """Share of rows whose prediction is not the target; NaN for none."""
    return (rows[:, 0] != rows[:, 1]).double().mean()


def balanced_error_of_rows(rows: Float[Tensor, "sample 2"]) -> OfCounts:
    """Mean over the target classes of their share of errors."""
    classes, index = rows[:, 1].unique(return_inverse=True)
    wrong = rows[:, 0] != rows[:, 1]

    def of_counts(times: Times) -> Tensor:
        present = _tally(index, times, len(classes))
        return _mean_of(_tally(index, times * wrong, len(classes)) / present, present > 0)

    return of_counts


def f_beta_of_rows(
    rows: Float[Tensor, "sample 2"], *, beta: float = 1.0, average: Average | None = None
) -> OfCounts:
    """F-measure of (predicted, target) rows, as `f_beta_rows` makes them."""
    weight = positive_number("f_beta", "beta", beta) ** 2
    if average is not None and average not in get_args(Average):
        raise fail("f_beta", f"average is {average!r}", f"one of {', '.join(get_args(Average))}")
    if average in (None, "binary"):
        return partial(_f_of_one_class, torch.cat([rows, rows.prod(1, keepdim=True)], 1), weight)
    classes, index = rows.unique(return_inverse=True)
    hit = (index[:, 0] == index[:, 1]).nonzero()[:, 0]

    def of_counts(times: Times) -> Tensor:
        predictions, positives = (_tally(column, times, len(classes)) for column in index.unbind(1))
        right = _tally(index[hit, 0], times.index_select(-1, hit), len(classes))
        if average == "micro":
            right, predictions, positives = (
                part.sum(-1, keepdim=True) for part in (right, predictions, positives)
            )
        # (1 + beta^2) tp + beta^2 fn + fp = beta^2 positives + predictions
        each = (1 + weight) * right / (weight * positives + predictions)
        if average == "weighted":
            return (each.nan_to_num(0.0) * positives).sum(-1) / positives.sum(-1)
        return _mean_of(each, predictions + positives > 0)

    return of_counts


def _f_of_one_class(counted: Float[Tensor, "sample 3"], weight: float, times: Times) -> Tensor:
    """F-measure of columns (predicted, present, both); 1 where nothing is predicted or present, NaN of no sample."""
    predictions, positives, right = (times @ counted).unbind(-1)
    found = (1 + weight) * right / (weight * positives + predictions)
    return torch.where((predictions + positives == 0) & (times.sum(-1) > 0), 1.0, found)


def average_precision_of_rows(rows: Float[Tensor, "sample 2"]) -> OfCounts:
    """Average precision of (score, target) rows, equal scores as one threshold."""
    thresholds = _thresholds(rows)

    def of_counts(times: Times) -> Tensor:
        found, passed = thresholds(times)
        precision = found / (found + passed).clamp_min(1)
        gained = torch.diff(found, prepend=torch.zeros_like(found[..., :1]))
        return (gained * precision).sum(-1) / found[..., -1:].sum(-1)

    return of_counts


def roc_auc_of_rows(rows: Float[Tensor, "sample 2"]) -> OfCounts:
    """Area under the ROC curve of (score, target) rows: pairs in the right order, tied ones half."""
    order = rows[:, 1].sort(descending=True, stable=True).indices  # positives first among equal scores
    order = order[rows[order, 0].sort(descending=True, stable=True).indices]
    positive = rows[order, 1]
    group = rows[order, 0].unique_consecutive(return_inverse=True)[1]
    present = torch.stack([torch.bincount(group, part) for part in (positive, 1 - positive)])
    tied = (
        (present > 0).all(0)[group].nonzero()[:, 0]
    )  # samples with another of the other class at their score
    group = group[tied].unique_consecutive(return_inverse=True)[1]
    groups = int(group[-1]) + 1 if len(tied) else 0

    def of_counts(times: Times) -> Tensor:
        times = times.index_select(-1, order)
        found = times * positive
        others = times - found
        both = (_tally(group, part.index_select(-1, tied), groups) for part in (found, others))
        ties = torch.mul(*both).sum(-1)
        pairs = found.sum(-1) * others.sum(-1)
        return ((found.cumsum(-1) * others).sum(-1) - ties / 2) / pairs

    return of_counts


def _thresholds(rows: Float[Tensor, "sample 2"]) -> Callable[[Times], tuple[Tensor, Tensor]]:
    """Sort once; return times -> true and false positives at each distinct score, highest first."""
    scores, order = rows[:, 0].sort(descending=True)
    positive = rows[:, 1][order]
    ends = torch.ones_like(scores, dtype=torch.bool)
    ends[:-1] = scores[:-1] != scores[1:]
    last = None if bool(ends.all()) else ends.nonzero()[:, 0]

    def counted(times: Times) -> tuple[Tensor, Tensor]:
        all_of_them = times.index_select(-1, order)
        found = (all_of_them * positive).cumsum(-1)
        passed = all_of_them.cumsum(-1) - found
        return (found, passed) if last is None else (found[..., last], passed[..., last])

    return counted


def _tally(
    index: Int[Tensor, "sample"], times: Float[Tensor, "*resample sample"], classes: int
) -> Float[Tensor, "*resample class"]:
    """How often each class comes."""
    return times.new_zeros(*times.shape[:-1], classes).index_add_(-1, index, times)


def _mean_of(
    values: Float[Tensor, "*resample class"], present: Bool[Tensor, "*resample class"]
) -> Float[Tensor, "*resample"]:
    """Mean over the classes that are present."""
    return torch.where(present, values, 0.0).sum(-1) / present.sum(-1)

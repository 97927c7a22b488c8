"""Exact metrics of classifiers: each is one number for a set of samples.

The error family takes class scores [sample, class], of which the largest decides, or predicted class ids [sample], or
one score of class 1 with the threshold that it is compared with. The binary ranking metrics take one score per
sample. A single column [sample, 1] is read as [sample]. All return a float64 scalar tensor without gradient.

The error family is written as a function of (prediction, target) rows and the ranking family as one of
(score, target) rows that is told how often each row comes: `records.py` keeps these rows as the statistics, so that
the bootstrap can draw samples and summarise all resamples at once.
"""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from metricgrad.metrics import class_formulas as formulas
from metricgrad.metrics.class_metric import averages, decided, decided_value
from metricgrad.metrics.class_rows import (
    Average,
    Outputs,
    Scores,
    Targets,
    error_rows,
    right_rows,
    score_rows,
)
from metricgrad.metrics.class_summaries import average_precision_of_rows, roc_auc_of_rows
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.of_rows import of_all

__all__ = [
    "accuracy",
    "balanced_error",
    "binary_average_precision",
    "error_rate",
    "f_beta",
    "roc_auc",
]


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
        >>> import torch
        >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    return 1 - error_rows("accuracy", outputs, targets, threshold=threshold).mean()


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
        >>> import torch
        >>> error_rate(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    return error_rows("error_rate", outputs, targets, threshold=threshold).mean()


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
        >>> import torch
        >>> balanced_error(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]))
        tensor(0.2500, dtype=torch.float64)
    """
    return decided_value("balanced_error", formulas.balanced_error, outputs, targets, threshold=threshold)


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
        >>> import torch
        >>> f_beta(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1]))
        tensor(0.5000, dtype=torch.float64)
    """
    settings = {"beta": beta, "average": average, "positive_class": positive_class}
    return decided_value("f_beta", formulas.f_beta, outputs, targets, threshold=threshold, **settings)


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
        >>> import torch
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
        >>> import torch
        >>> roc_auc(torch.tensor([0.9, 0.4, 0.35, 0.8]), torch.tensor([1, 0, 1, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    return of_all(roc_auc_of_rows, score_rows("roc_auc", outputs, targets))


_ranking = partial(Facts, reads="scores")

FACTS = (
    decided(
        accuracy,
        formulas.accuracy,
        rows=partial(right_rows, "accuracy"),
        of_rows=None,
        per_sample=True,
        aliases={"accuracy_score": {}},
    ),
    decided(balanced_error, formulas.balanced_error, higher_is_better=False),
    _ranking(
        binary_average_precision,
        rows=partial(score_rows, "binary_average_precision"),
        of_rows=average_precision_of_rows,
        aliases={"average_precision_score": {}},
    ),
    decided(
        error_rate,
        formulas.error_rate,
        rows=partial(error_rows, "error_rate"),
        of_rows=None,
        per_sample=True,
        higher_is_better=False,
        aliases={"zero_one_loss": {}},
    ),
    decided(
        f_beta,
        formulas.f_beta,
        aliases={
            "f1": {"beta": 1.0},
            "f1_score": {"beta": 1.0},
            "fbeta_score": {},
            **averages("f1", beta=1.0),
            "macro_f1": {"beta": 1.0, "average": "macro"},
            "micro_f1": {"beta": 1.0, "average": "micro"},
            "weighted_f1": {"beta": 1.0, "average": "weighted"},
        },
    ),
    _ranking(
        roc_auc,
        rows=partial(score_rows, "roc_auc"),
        of_rows=roc_auc_of_rows,
        aliases={"auc": {}, "roc_auc_score": {}},
    ),
)

"""Shares of single classes, of one class or averaged: precision, recall, specificity and Jaccard index.

Each is a function of what is taken for a class and what is of it. Where a class is neither present nor predicted
nothing is wrong, and its share is 1; another share of nothing is 0.
"""

from jaxtyping import Float
from torch import Tensor

from metricgrad.metrics import class_formulas as formulas
from metricgrad.metrics.class_metric import averages, decided, decided_value
from metricgrad.metrics.class_rows import Average, Outputs, Targets

__all__ = ["jaccard", "precision", "recall", "specificity"]


def jaccard(
    outputs: Outputs,
    targets: Targets,
    *,
    average: Average | None = None,
    positive_class: int | None = None,
    threshold: float | None = None,
) -> Float[Tensor, ""]:
    """Samples rightly taken for a class, among those taken for it or of it (exact).

        tp / (tp + fp + fn)

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        average: `binary` is the value of `positive_class`; `macro` the mean over the classes that occur among targets
            or predictions; `weighted` the same mean, each class as often as it occurs among the targets; `micro` adds
            the counts of these classes. None is `binary`, for samples of two classes only.
        positive_class: id of the class that `binary` looks at; None is class 1.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold, an unknown
            average, more than two classes without `average` or `positive_class`, two classes without class 1 among
            them.

    Edge cases:
        ties: the lowest class id. A class that is only predicted, or only present, counts 0. `binary` without a
        positive, present or predicted: 1, as nothing is wrong (scikit-learn: 0 and a warning). No sample: NaN.

    Gradient: none; the formula, `Metric.of_table`, has one in the table.

    Cost: O(sample * class).

    Reference:
        [jaccard1912distribution]

    Example:
        >>> import torch
        >>> jaccard(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    settings = {"average": average, "positive_class": positive_class}
    return decided_value("jaccard", formulas.jaccard, outputs, targets, threshold=threshold, **settings)


def precision(
    outputs: Outputs,
    targets: Targets,
    *,
    average: Average | None = None,
    positive_class: int | None = None,
    threshold: float | None = None,
) -> Float[Tensor, ""]:
    """Share of the samples taken for a class that are of it (exact): of decided classes, not precision@k.

        tp / (tp + fp)

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        average: `binary` is the value of `positive_class`; `macro` the mean over the classes that occur among targets
            or predictions; `weighted` the same mean, each class as often as it occurs among the targets; `micro` adds
            the counts of these classes (for one label per sample: accuracy). None is `binary`, for samples of two
            classes only.
        positive_class: id of the class that `binary` looks at; None is class 1.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold, an unknown
            average, more than two classes without `average` or `positive_class`, two classes without class 1 among
            them.

    Edge cases:
        ties: the lowest class id. A class that is present and never predicted counts 0. `binary` without a positive,
        present or predicted: 1, as nothing is wrong (scikit-learn: 0 and a warning). No sample: NaN.

    Gradient: none; the formula, `Metric.of_table`, has one in the table.

    Cost: O(sample * class).

    Reference:
        [manning2008retrieval]

    Example:
        >>> import torch
        >>> precision(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0]))
        tensor(0.5000, dtype=torch.float64)
    """
    settings = {"average": average, "positive_class": positive_class}
    return decided_value("precision", formulas.precision, outputs, targets, threshold=threshold, **settings)


def recall(
    outputs: Outputs,
    targets: Targets,
    *,
    average: Average | None = None,
    positive_class: int | None = None,
    threshold: float | None = None,
) -> Float[Tensor, ""]:
    """Share of the samples of a class that are taken for it (exact): of decided classes, not recall@k.

        tp / (tp + fn)

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        average: `binary` is the value of `positive_class`; `macro` the mean over the classes that occur among targets
            or predictions; `weighted` the same mean, each class as often as it occurs among the targets; `micro` adds
            the counts of these classes (for one label per sample: accuracy). None is `binary`, for samples of two
            classes only.
        positive_class: id of the class that `binary` looks at; None is class 1.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold, an unknown
            average, more than two classes without `average` or `positive_class`, two classes without class 1 among
            them.

    Edge cases:
        ties: the lowest class id. A class that is predicted and never present counts 0; `balanced_accuracy` leaves
        it out. `binary` without a positive, present or predicted: 1, as nothing is wrong (scikit-learn: 0 and a
        warning). No sample: NaN.

    Gradient: none; the formula, `Metric.of_table`, has one in the table.

    Cost: O(sample * class).

    Reference:
        [manning2008retrieval]

    Example:
        >>> import torch
        >>> recall(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0]))
        tensor(1., dtype=torch.float64)
    """
    settings = {"average": average, "positive_class": positive_class}
    return decided_value("recall", formulas.recall, outputs, targets, threshold=threshold, **settings)


def specificity(
    outputs: Outputs,
    targets: Targets,
    *,
    average: Average | None = None,
    positive_class: int | None = None,
    threshold: float | None = None,
) -> Float[Tensor, ""]:
    """Share of the samples of other classes that are not taken for a class (exact): the recall of the rest.

        tn / (tn + fp)

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        average: `binary` is the value of `positive_class`; `macro` the mean over the classes that occur among targets
            or predictions; `weighted` the same mean, each class as often as it occurs among the targets; `micro` adds
            the counts of these classes. None is `binary`, for samples of two classes only.
        positive_class: id of the class that `binary` looks at; None is class 1.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold, an unknown
            average, more than two classes without `average` or `positive_class`, two classes without class 1 among
            them.

    Edge cases:
        ties: the lowest class id. Of two classes it is the recall of the other one. Where all samples are of the class:
        1 if all are taken for it, else 0. No sample: NaN.

    Gradient: none; the formula, `Metric.of_table`, has one in the table.

    Cost: O(sample * class).

    Reference:
        [yerushalmy1947statistical]

    Example:
        >>> import torch
        >>> specificity(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0]))
        tensor(0.6667, dtype=torch.float64)
    """
    settings = {"average": average, "positive_class": positive_class}
    return decided_value(
        "specificity", formulas.specificity, outputs, targets, threshold=threshold, **settings
    )


FACTS = (
    decided(jaccard, formulas.jaccard, aliases={**averages("jaccard"), "jaccard_score": {}}),
    decided(precision, formulas.precision, aliases={**averages("precision"), "precision_score": {}}),
    decided(recall, formulas.recall, aliases={**averages("recall"), "recall_score": {}}),
    decided(specificity, formulas.specificity, aliases=averages("specificity")),
)

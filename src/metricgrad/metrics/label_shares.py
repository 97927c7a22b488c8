"""Exact metrics of several labels per sample that are shares of what is predicted, of what is there, or of both.

They take decisions 0 and 1 [sample, label], or scores of them: `label_tables` says how these are decided. All return a
float64 scalar tensor without gradient.
"""

from jaxtyping import Float64, Shaped
from torch import Tensor

from metricgrad.metrics import class_formulas
from metricgrad.metrics.label_metric import facts_of_labels, label_value
from metricgrad.metrics.label_tables import Average

__all__ = ["multilabel_jaccard", "multilabel_precision", "multilabel_recall"]

Outputs = Shaped[Tensor, "sample label"]
Targets = Shaped[Tensor, "sample label"]


def multilabel_jaccard(
    outputs: Outputs, targets: Targets, *, average: Average = "macro", threshold: float | None = None
) -> Float64[Tensor, ""]:
    """Jaccard index of several labels per sample: what is right among what is predicted or there (exact).

        J = tp / (tp + fp + fn)

    Args:
        outputs: decisions 0 and 1, probabilities or logits.
        targets: 1 where the label is there, else 0 (or bool).
        average: `macro` is the mean over labels, `weighted` counts each as often as it is there, `micro` adds the
            counts of all labels, `samples` is the mean over samples of the value of their labels.
        threshold: above it a label is predicted; None: 0.5 where all outputs lie within [0, 1], else 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN, targets other than 0 and 1, an unknown average.

    Edge cases:
        A label (a sample) that is neither there nor predicted: 1, as nothing is wrong (scikit-learn's
        `zero_division=1`). No sample: NaN. `weighted` where no label is ever there: NaN.

    Gradient: none.

    Cost: O(sample * label).

    Reference:
        [zhang2014multilabel]

    Example:
        >>> import torch
        >>> outputs, targets = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]])
        >>> multilabel_jaccard(outputs, targets)
        tensor(0.7500, dtype=torch.float64)
    """
    return label_value(
        multilabel_jaccard, class_formulas.jaccard, outputs, targets, average=average, threshold=threshold
    )


def multilabel_precision(
    outputs: Outputs, targets: Targets, *, average: Average = "macro", threshold: float | None = None
) -> Float64[Tensor, ""]:
    """Precision of several labels per sample: what is right among what is predicted (exact).

        P = tp / (tp + fp)

    Args:
        outputs: decisions 0 and 1, probabilities or logits.
        targets: 1 where the label is there, else 0 (or bool).
        average: `macro` is the mean over labels, `weighted` counts each as often as it is there, `micro` adds the
            counts of all labels, `samples` is the mean over samples of the value of their labels.
        threshold: above it a label is predicted; None: 0.5 where all outputs lie within [0, 1], else 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN, targets other than 0 and 1, an unknown average.

    Edge cases:
        A label (a sample) neither there nor predicted: 1, as nothing is wrong. One that is there and not predicted:
        0 (scikit-learn: 0 for both, or what `zero_division` says). No sample: NaN. `weighted` where no label is ever
        there: NaN.

    Gradient: none.

    Cost: O(sample * label).

    Reference:
        [zhang2014multilabel]

    Example:
        >>> import torch
        >>> outputs, targets = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]])
        >>> multilabel_precision(outputs, targets)
        tensor(0.7500, dtype=torch.float64)
    """
    return label_value(
        multilabel_precision, class_formulas.precision, outputs, targets, average=average, threshold=threshold
    )


def multilabel_recall(
    outputs: Outputs, targets: Targets, *, average: Average = "macro", threshold: float | None = None
) -> Float64[Tensor, ""]:
    """Recall of several labels per sample: what is right among what is there (exact).

        R = tp / (tp + fn)

    Args:
        outputs: decisions 0 and 1, probabilities or logits.
        targets: 1 where the label is there, else 0 (or bool).
        average: `macro` is the mean over labels, `weighted` counts each as often as it is there, `micro` adds the
            counts of all labels, `samples` is the mean over samples of the value of their labels.
        threshold: above it a label is predicted; None: 0.5 where all outputs lie within [0, 1], else 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN, targets other than 0 and 1, an unknown average.

    Edge cases:
        A label (a sample) neither there nor predicted: 1, as nothing is wrong. One that is predicted and not there:
        0 (scikit-learn: 0 for both, or what `zero_division` says). No sample: NaN. `weighted` where no label is ever
        there: NaN.

    Gradient: none.

    Cost: O(sample * label).

    Reference:
        [zhang2014multilabel]

    Example:
        >>> import torch
        >>> outputs, targets = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]])
        >>> multilabel_recall(outputs, targets)
        tensor(1., dtype=torch.float64)
    """
    return label_value(
        multilabel_recall, class_formulas.recall, outputs, targets, average=average, threshold=threshold
    )


FACTS = (
    facts_of_labels(multilabel_jaccard, class_formulas.jaccard, "jaccard"),
    facts_of_labels(multilabel_precision, class_formulas.precision, "precision"),
    facts_of_labels(multilabel_recall, class_formulas.recall, "recall"),
)

"""Means of the recall of the classes: every class counts the same, however rare it is."""

from jaxtyping import Float
from torch import Tensor

from metricgrad.metrics import class_formulas as formulas
from metricgrad.metrics.class_metric import decided, decided_value
from metricgrad.metrics.class_rows import Outputs, Targets

__all__ = ["balanced_accuracy", "g_mean"]


def balanced_accuracy(
    outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> Float[Tensor, ""]:
    """Mean over the classes of the share of their samples that is predicted rightly (exact).

        mean_c #{i: y_i = c, prediction_i = c} / #{i: y_i = c}     over the classes among the targets

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better; 1 - `balanced_error`.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold.

    Edge cases:
        ties: the lowest class id. A class without a sample is left out, also where it is predicted (`recall_macro`
        counts it as 0). No sample: NaN.

    Gradient: none; the formula, `Metric.of_table`, has one in the table.

    Cost: O(sample * class).

    Reference:
        [brodersen2010balanced]

    Example:
        >>> import torch
        >>> balanced_accuracy(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]))
        tensor(0.7500, dtype=torch.float64)
    """
    return decided_value(
        "balanced_accuracy", formulas.balanced_accuracy, outputs, targets, threshold=threshold
    )


def g_mean(outputs: Outputs, targets: Targets, *, threshold: float | None = None) -> Float[Tensor, ""]:
    """Geometric mean over the classes of the share of their samples that is predicted rightly (exact).

        (prod_c #{i: y_i = c, prediction_i = c} / #{i: y_i = c})^(1 / classes)     over the classes among the targets

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better; 0 as soon as one class is never found.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold.

    Edge cases:
        ties: the lowest class id. A class without a sample is left out. No sample: NaN.

    Gradient: none; the formula, `Metric.of_table`, has one in the table, which is 0 where the value is 0.

    Cost: O(sample * class).

    Reference:
        [kubat1997addressing]

    Example:
        >>> import torch
        >>> g_mean(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]))
        tensor(0.7071, dtype=torch.float64)
    """
    return decided_value("g_mean", formulas.g_mean, outputs, targets, threshold=threshold)


FACTS = (
    decided(balanced_accuracy, formulas.balanced_accuracy, aliases={"balanced_accuracy_score": {}}),
    decided(g_mean, formulas.g_mean),
)

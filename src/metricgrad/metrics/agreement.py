"""Agreement of predicted and true classes beyond chance: Matthews' correlation and Cohen's kappa."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from metricgrad.metrics import class_formulas as formulas
from metricgrad.metrics.class_metric import decided, decided_value
from metricgrad.metrics.class_rows import Outputs, Targets

__all__ = ["cohen_kappa", "matthews_corrcoef"]


def matthews_corrcoef(
    outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> Float[Tensor, ""]:
    """Correlation of predicted and true classes (exact): Matthews' coefficient, of two classes or of many.

        (right n - sum_c p_c t_c) / sqrt((n^2 - sum_c p_c^2) (n^2 - sum_c t_c^2))

    with n samples, p_c of them taken for class c, t_c of class c, `right` of them right.

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [-1, 1], higher is better; of more than two classes the least value lies above -1.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold.

    Edge cases:
        ties: the lowest class id. Targets or predictions of one class only: 0, also where all are right, as in
        scikit-learn. No sample: NaN.

    Gradient: none; the formula, `Metric.of_table`, has one in the table.

    Cost: O(sample * class).

    Reference:
        [matthews1975comparison]; [gorodkin2004comparing] for many classes.

    Example:
        >>> import torch
        >>> matthews_corrcoef(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0]))
        tensor(0.5774, dtype=torch.float64)
    """
    return decided_value(
        "matthews_corrcoef", formulas.matthews_corrcoef, outputs, targets, threshold=threshold
    )


def cohen_kappa(
    outputs: Outputs,
    targets: Targets,
    *,
    weights: Literal["none", "linear", "quadratic"] | None = None,
    threshold: float | None = None,
) -> Float[Tensor, ""]:
    """Agreement of predicted and true classes beyond chance (exact): Cohen's kappa, plain or weighted.

        1 - n sum_cd w_cd C_cd / sum_cd w_cd t_c p_d

    with C the table of n samples (true, predicted), t and p its margins; w_cd is 1 for c != d, |c - d| (`linear`) or
    (c - d)^2 (`quadratic`), and 0 for c = d.

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids. With weights their numbers count: classes 1 and 4 lie three apart.
        weights: `linear` or `quadratic` for classes that have an order; None or `none`: all errors count the same.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [-1, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold, unknown
            weights.

    Edge cases:
        ties: the lowest class id. All targets and all predictions are one class: 0 (scikit-learn: NaN). A class without
        a sample changes nothing; scikit-learn's weights lie one class closer across such a gap, unless it is given
        `labels`. No sample: NaN.

    Gradient: none; the formula, `Metric.of_table`, has one in the table.

    Cost: O(sample * class + class^2).

    Reference:
        [cohen1960coefficient]; [cohen1968weighted] for the weights.

    Example:
        >>> import torch
        >>> cohen_kappa(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, 2]), weights="quadratic")
        tensor(0.8000, dtype=torch.float64)
    """
    settings = {"threshold": threshold, "weights": weights}
    return decided_value("cohen_kappa", formulas.cohen_kappa, outputs, targets, **settings)


FACTS = (
    decided(
        cohen_kappa,
        formulas.cohen_kappa,
        bounds=(-1.0, 1.0),
        aliases={
            "kappa": {},
            "cohen_kappa_score": {},
            "linear_kappa": {"weights": "linear"},
            "quadratic_kappa": {"weights": "quadratic"},
            "qwk": {"weights": "quadratic"},
        },
    ),
    decided(matthews_corrcoef, formulas.matthews_corrcoef, bounds=(-1.0, 1.0), aliases={"mcc": {}}),
)

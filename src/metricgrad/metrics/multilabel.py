"""Exact metrics of several labels per sample, each of which is there or not.

They take decisions 0 and 1 [sample, label], or scores of them: `label_tables` says how these are decided and how rules
and losses reach the counts of every label. All return a float64 scalar tensor without gradient.
"""

from functools import partial

from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from metricgrad.metrics import class_formulas
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.label_metric import facts_of_labels, label_value
from metricgrad.metrics.label_tables import Average, averaged, label_rows, of_labels
from metricgrad.metrics.of_rows import OfCounts, of_all

__all__ = ["hamming_loss", "multilabel_f_beta", "subset_accuracy"]

Outputs = Shaped[Tensor, "sample label"]
Targets = Shaped[Tensor, "sample label"]


def multilabel_f_beta(
    outputs: Outputs,
    targets: Targets,
    *,
    beta: float = 1.0,
    average: Average = "macro",
    threshold: float | None = None,
) -> Float64[Tensor, ""]:
    """F-measure of several labels per sample: weighted harmonic mean of precision and recall (exact).

        F = (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp)

    Args:
        outputs: decisions 0 and 1, probabilities or logits.
        targets: 1 where the label is there, else 0 (or bool).
        beta: weight of recall against precision, > 0.
        average: `macro` is the mean of the F of every label, `weighted` counts each as often as it is there, `micro`
            adds the counts of all labels, `samples` is the mean over samples of the F of their labels.
        threshold: above it a label is predicted; None: 0.5 where all outputs lie within [0, 1], else 0.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN, targets other than 0 and 1, beta <= 0, an unknown average.

    Edge cases:
        A label (a sample) that is neither there nor predicted: 1, as nothing is wrong (scikit-learn's
        `zero_division=1`). No sample: NaN. `weighted` where no label is ever there: NaN.

    Gradient: none.

    Cost: O(sample * label).

    Reference:
        [vanrijsbergen1979retrieval]

    Example:
        >>> import torch
        >>> outputs, targets = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]])
        >>> multilabel_f_beta(outputs, targets)
        tensor(0.8333, dtype=torch.float64)
    """
    return label_value(
        multilabel_f_beta,
        class_formulas.f_beta,
        outputs,
        targets,
        average=average,
        threshold=threshold,
        beta=beta,
    )


def subset_accuracy(
    outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> Float64[Tensor, ""]:
    """Share of the samples all of whose labels are right (exact): the exact match ratio.

    Args:
        outputs: decisions 0 and 1, probabilities or logits.
        targets: 1 where the label is there, else 0 (or bool).
        threshold: above it a label is predicted; None: 0.5 where all outputs lie within [0, 1], else 0.

    Returns:
        float64 scalar in [0, 1], higher is better; scikit-learn's `accuracy_score` of such targets.

    Raises:
        InputError: shapes or types that do not fit, NaN, targets other than 0 and 1.

    Edge cases: No sample: NaN.

    Gradient: none.

    Cost: O(sample * label).

    Reference:
        [zhang2014multilabel]

    Example:
        >>> import torch
        >>> subset_accuracy(torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]]))
        tensor(0.5000, dtype=torch.float64)
    """
    return all_right_rows("subset_accuracy", outputs, targets, threshold=threshold).mean()


def all_right_rows(
    caller: str, outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> Float64[Tensor, "sample"]:
    """1 for every sample all of whose labels are right, else 0."""
    predicted, present = label_rows(caller, outputs, targets, threshold=threshold).tensor_split(2, dim=1)
    return (predicted == present).all(1).double()


def hamming_loss(
    outputs: Outputs, targets: Targets, *, threshold: float | None = None
) -> Float64[Tensor, ""]:
    """Share of the labels of all samples that are wrong (exact).

    Args:
        outputs: decisions 0 and 1, probabilities or logits.
        targets: 1 where the label is there, else 0 (or bool).
        threshold: above it a label is predicted; None: 0.5 where all outputs lie within [0, 1], else 0.

    Returns:
        float64 scalar in [0, 1], lower is better.

    Raises:
        InputError: shapes or types that do not fit, NaN, targets other than 0 and 1.

    Edge cases: No sample: NaN.

    Gradient: none.

    Cost: O(sample * label).

    Reference:
        [zhang2014multilabel]

    Example:
        >>> import torch
        >>> hamming_loss(torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]]))
        tensor(0.2500, dtype=torch.float64)
    """
    return of_all(hamming_of_labels, label_rows("hamming_loss", outputs, targets, threshold=threshold))


def hamming_of_labels(rows: Float[Tensor, "sample column"]) -> OfCounts:
    """Share of wrong labels of rows as `label_rows` makes them."""
    return of_labels(class_formulas.error_rate, rows, "macro")


_hamming = partial(averaged, class_formulas.error_rate, average="macro")

FACTS = (
    Facts(
        hamming_loss,
        reads="labels",
        rows=partial(label_rows, "hamming_loss"),
        of_rows=hamming_of_labels,
        of_label_tables=lambda settings: _hamming,
        higher_is_better=False,
    ),
    facts_of_labels(multilabel_f_beta, class_formulas.f_beta, "f1", beta=1.0),
    Facts(subset_accuracy, reads="labels", rows=partial(all_right_rows, "subset_accuracy")),
)

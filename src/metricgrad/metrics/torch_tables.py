"""torchmetrics' metrics of decided classes that have a formula of ours: the same value of every confusion table.

As for those of scikit-learn (`scikit_tables`), a metric of theirs is measured by calling it, and its formula is for
those who ask for many tables or for a gradient in one. It is given only where both agree on every table with a sample.
Where all samples are of one class and decided so, some of theirs have another value than ours, which the formula takes.
Matthews' coefficient of two classes has more such tables, and has no formula here.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from metricgrad.metrics import agreement, class_shares, classification
from metricgrad.metrics.records import classification_metric

__all__ = ["formula_of"]

Formula = Callable[[Tensor], Tensor]

_SHARES: Mapping[str, Callable[..., Tensor]] = {
    "F1Score": classification.f_beta,
    "FBetaScore": classification.f_beta,
    "JaccardIndex": class_shares.jaccard,
    "Precision": class_shares.precision,
    "Recall": class_shares.recall,
}
"""By the name without `Binary` or `Multiclass`: of one class of two, or averaged over classes."""

_USUAL: Mapping[str, Any] = {
    "top_k": 1,
    "multidim_average": "global",
    "ignore_index": None,
    "normalize": None,
    "zero_division": 0,
}
"""Settings at which they are ours; some versions and some metrics lack one."""


def formula_of(metric: Any) -> Formula | None:
    """Return a metric of torchmetrics as one of confusion tables, see `Metric.of_table`; None where there is none.

    Args:
        metric: an object of torchmetrics.
    """
    kind, settings = type(metric), vars(metric)
    usual = all(settings.get(name, value) == value for name, value in _USUAL.items())
    if not kind.__module__.startswith("torchmetrics.classification.") or not usual:
        return None
    if kind.__name__.startswith("Multiclass"):
        return _of_many(kind.__name__.removeprefix("Multiclass"), settings)
    if kind.__name__.startswith("Binary"):
        return _of_two(kind.__name__.removeprefix("Binary"), settings)
    return None


def _of_many(name: str, settings: Mapping[str, Any]) -> Formula | None:
    average = settings.get("average")
    if name == "CohenKappa":
        return _kappa(settings)
    if name == "MatthewsCorrCoef":
        return _ours(agreement.matthews_corrcoef) if settings["num_classes"] > 2 else None
    if name == "HammingDistance":
        return _ours(classification.error_rate) if average == "micro" else None
    share = class_shares.recall if name == "Accuracy" else _SHARES.get(name)
    if share is None or average not in ("macro", "micro", "weighted"):
        return None
    return _ours(share, average=average, **_beta(name, settings))


def _of_two(name: str, settings: Mapping[str, Any]) -> Formula | None:
    if name == "CohenKappa":
        return _kappa(settings)
    if name == "Accuracy":
        return _ours(classification.accuracy)
    if name == "HammingDistance":
        return _ours(classification.error_rate)
    if name not in _SHARES:
        return None
    formula = _ours(_SHARES[name], **_beta(name, settings))
    return lambda table: torch.where(_alone(table)[..., 0], 0.0, formula(table))


def _kappa(settings: Mapping[str, Any]) -> Formula:
    """Theirs is undefined where all samples are of one class and decided so."""
    weights = settings["weights"] if settings["weights"] != "none" else None
    formula = _ours(agreement.cohen_kappa, weights=weights)
    return lambda table: torch.where(_alone(table).any(-1), torch.nan, formula(table))


def _alone(table: Tensor) -> Tensor:
    """Whether all samples are of a class and decided so [*batch, class]."""
    return table.diagonal(dim1=-2, dim2=-1) == table.sum((-2, -1))[..., None]


def _ours(function: Callable[..., Tensor], **settings: Any) -> Formula:
    formula = classification_metric(function, **settings).of_table
    assert formula is not None  # no threshold is among the settings
    return formula


def _beta(name: str, settings: Mapping[str, Any]) -> dict[str, float]:
    return {"beta": settings["beta"]} if name in ("F1Score", "FBetaScore") else {}

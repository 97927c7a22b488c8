"""scikit-learn's metrics of decided classes that have a formula of ours: the same value of every confusion table.

A metric of theirs is measured by calling it, as ever. Its formula is for those who ask for many tables, or for a
gradient in one: decision rules and losses. It is given only where both agree on every table with a sample, so not for
averages over one class of two (ours is 1 where nothing is positive or predicted so), for kappa (theirs is NaN where
ours is 0) and for settings that are not known here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from metricgrad.metrics import agreement, class_recalls, class_shares, classification
from metricgrad.metrics.records import classification_metric

__all__ = ["formula_of"]

_PLAIN: Mapping[str, tuple[Callable[..., Tensor], Mapping[str, Any]]] = {
    "accuracy_score": (classification.accuracy, {"normalize": True}),
    "balanced_accuracy_score": (class_recalls.balanced_accuracy, {"adjusted": False}),
    "matthews_corrcoef": (agreement.matthews_corrcoef, {}),
    "zero_one_loss": (classification.error_rate, {"normalize": True}),
}
"""By name: ours, and the settings at which it is the same, which are the defaults."""

_AVERAGED: Mapping[str, Callable[..., Tensor]] = {
    "f1_score": classification.f_beta,
    "fbeta_score": classification.f_beta,
    "jaccard_score": class_shares.jaccard,
    "precision_score": class_shares.precision,
    "recall_score": class_shares.recall,
}


def formula_of(name: str, settings: Mapping[str, Any]) -> Callable[[Tensor], Tensor] | None:
    """Return a function of scikit-learn as one of confusion tables, see `Metric.of_table`; None where there is none.

    Args:
        name: of the function.
        settings: that are bound to it.

    Example:
        >>> import torch
        >>> formula_of("f1_score", {"average": "macro"})(torch.tensor([[2, 1], [0, 1]]))
        tensor(0.7333, dtype=torch.float64)
        >>> formula_of("f1_score", {"average": "macro", "labels": [0]}) is None
        True
    """
    if name in _PLAIN:
        function, same = _PLAIN[name]
        return classification_metric(function).of_table if settings.items() <= same.items() else None
    own = dict(settings)
    if name not in _AVERAGED or own.pop("average", "binary") not in ("macro", "micro", "weighted"):
        return None
    own.pop("pos_label", None)  # which averages do not read
    weight = {"beta": own.pop("beta")} if name == "fbeta_score" and "beta" in own else {}
    if own.pop("zero_division", "warn") not in ("warn", 0) or own:
        return None
    return classification_metric(_AVERAGED[name], average=settings["average"], **weight).of_table

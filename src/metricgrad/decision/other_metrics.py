"""The usual metrics of decided classes beside the one that a rule is fitted for: what it costs or brings there."""

from typing import Any

from torch import Tensor

from metricgrad.metrics.names import metric_by_name

__all__ = ["other_metrics"]

_ALWAYS = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "kappa")
_OF_POSITIVE = ("f1", "precision", "recall", "specificity")


def other_metrics(before: Tensor, after: Tensor, *, positive: bool) -> list[dict[str, Any]]:
    """Measure two confusion tables [true, predicted] by the usual metrics.

    Args:
        before: the first.
        after: the second.
        positive: whether class 1 is the positive one, so that its F1, precision, recall and specificity mean something.

    Example:
        >>> import torch
        >>> tables = torch.tensor([[3.0, 1.0], [1.0, 3.0]]), torch.tensor([[4.0, 0.0], [1.0, 3.0]])
        >>> other_metrics(*tables, positive=False)[0]
        {'metric': 'accuracy', 'before': 0.75, 'after': 0.875}
    """
    found = []
    for name in _ALWAYS + (_OF_POSITIVE if positive else ()):
        of_table = metric_by_name(name).of_table
        assert of_table is not None  # they are formulas of ours
        found.append({"metric": name, "before": float(of_table(before)), "after": float(of_table(after))})
    return found

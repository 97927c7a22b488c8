"""Losses of two counts: how many positives, and how many negatives, a set of items holds."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from metricgrad._safe import share
from metricgrad.metrics.class_formulas import f_of_class, jaccard_of_class

__all__ = ["COUNTS", "CountLoss", "Loss"]

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""`(true_positives, false_positives, positives, negatives) -> loss`, float64, element by element."""


@dataclass(frozen=True)
class CountLoss:
    """A loss of counts.

    Attributes:
        code: how the compiled loops know it.
        loss: `(a, b, P, N, beta) -> Tensor`, a of P positives and b of N negatives taken.
    """

    code: int
    loss: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]


def _error_rate(a: Tensor, b: Tensor, P: Tensor, N: Tensor, beta: float) -> Tensor:
    return share(P - a + b, P + N)


def _balanced_error(a: Tensor, b: Tensor, P: Tensor, N: Tensor, beta: float) -> Tensor:
    kinds = (P > 0).to(P.dtype) + (N > 0).to(P.dtype)
    return share(share(P - a, P) + share(b, N), kinds)


def _f_beta(a: Tensor, b: Tensor, P: Tensor, N: Tensor, beta: float) -> Tensor:
    return 1 - f_of_class(a, a + b, P, weight=beta**2)


def _iou(a: Tensor, b: Tensor, P: Tensor, N: Tensor, beta: float) -> Tensor:
    return 1 - jaccard_of_class(a, a + b, P)


COUNTS = {
    "error_rate": CountLoss(0, _error_rate),
    "balanced_error": CountLoss(1, _balanced_error),
    "f_beta": CountLoss(2, _f_beta),
    "dice": CountLoss(2, _f_beta),  # beta is 1
    "iou": CountLoss(3, _iou),
}
"""By the name of the metric. 0/0 means metric 1: no positives and none taken is no error."""

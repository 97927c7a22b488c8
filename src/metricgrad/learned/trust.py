"""Is the estimate to be trusted? Numbers that compare a learned surrogate with the metric on held-out pairs."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import describe, fail

__all__ = ["Agreement", "agreement", "concordance", "kendall_tau_b", "sign_agreement"]

BEST_SHARE = 0.1
"""The samples with the smallest estimates, among which a model that deceives its surrogate hides."""


@dataclass(frozen=True)
class Agreement:
    """How estimates agree with the metric on one set of pairs; NaN where a number is undefined.

    Attributes:
        mean_absolute_error: of the estimates, in units of the metric.
        of_mean: the same of predicting the mean of the metric for every pair: what an estimate must beat.
        kendall_tau: tau-b of estimate and metric; ties of the metric keep it below 1.
        concordance: share of the pairs of samples with different metric that the estimate orders rightly, minus the
            share that it orders wrongly: 1 for a perfect order, whatever the ties of the metric.
        best_decile_bias: mean of estimate minus metric over the tenth with the smallest estimates; negative where the
            surrogate praises what is not good.
    """

    mean_absolute_error: float
    of_mean: float
    kendall_tau: float
    concordance: float
    best_decile_bias: float

    def passes(self, threshold: float) -> bool:
        """Return whether the estimates order and measure well enough for a model to follow them.

        A set on which the metric is everywhere the same shows nothing, and does not pass.
        """
        return self.concordance >= threshold and self.mean_absolute_error < self.of_mean


def agreement(estimates: Float[Tensor, "sample"], errors: Float[Tensor, "sample"]) -> Agreement:
    """Compare estimates with the metric.

    Args:
        estimates: in units of the metric.
        errors: the metric; samples with NaN are left out.

    Returns:
        The numbers; all NaN without a sample.

    Cost: O(sample^2) time and memory: some thousand samples at most.

    Example:
        >>> found = agreement(torch.tensor([0.1, 1.2, 2.9]), torch.tensor([0.0, 1.0, 3.0]))
        >>> round(found.mean_absolute_error, 3), found.kendall_tau, found.passes(0.7)
        (0.133, 1.0, True)
    """
    if estimates.shape != errors.shape or estimates.ndim != 1:
        raise fail(
            "agreement",
            f"estimates are {describe(estimates)}, errors {describe(errors)}",
            "one of each a sample",
        )
    known = ~torch.isnan(errors)
    guess, truth = (values[known].double().cpu().numpy() for values in (estimates, errors))
    if len(truth) == 0:
        return Agreement(*[math.nan] * 5)
    best = np.argsort(guess, kind="stable")[: max(1, round(BEST_SHARE * len(guess)))]
    return Agreement(
        mean_absolute_error=float(np.abs(guess - truth).mean()),
        of_mean=float(np.abs(truth - truth.mean()).mean()),
        kendall_tau=kendall_tau_b(guess, truth),
        concordance=concordance(guess, truth),
        best_decile_bias=float((guess - truth)[best].mean()),
    )


def kendall_tau_b(first: np.ndarray, second: np.ndarray) -> float:
    """Return Kendall's tau-b of two sequences; NaN where one of them is constant.

    Example:
        >>> kendall_tau_b(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
        0.3333333333333333
    """
    left, right, both = _signs(first, second)
    ties = math.sqrt(float(np.abs(left).sum()) * float(np.abs(right).sum()))
    return float(both) / ties if ties else math.nan


def concordance(estimates: np.ndarray, truth: np.ndarray) -> float:
    """Return (right - wrong) / pairs over the pairs of samples whose truth differs (Somers' D); NaN without one.

    Example:
        >>> concordance(np.array([0.0, 0.1, 2.0]), np.array([0.0, 0.0, 1.0]))
        1.0
    """
    _, right, both = _signs(estimates, truth)
    pairs = float(np.abs(right).sum())
    return float(both) / pairs if pairs else math.nan


def _signs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Order of every pair of samples in both sequences, -1, 0 or 1, and the sum of their products."""
    upper = np.triu_indices(len(first), 1)
    left, right = (np.sign(values[upper[0]] - values[upper[1]]).astype(np.int8) for values in (first, second))
    return left, right, int((left * right).sum(dtype=np.int64))


def sign_agreement(
    estimates_before: Float[Tensor, "sample"],
    estimates: Float[Tensor, "sample"],
    errors_before: Float[Tensor, "sample"],
    errors: Float[Tensor, "sample"],
) -> tuple[float, int]:
    """Return the share of the samples with a changed metric whose estimate moved the same way, and their number.

    An estimate that did not move counts as disagreement. NaN where no sample's metric has changed: undefined. Below
    one half the model follows the estimate away from the metric.

    Example:
        >>> values = [torch.tensor(one) for one in ([1.0, 2.0], [0.5, 2.5], [1.0, 1.0], [0.0, 0.0])]
        >>> sign_agreement(*values)
        (0.5, 2)
    """
    moved, truth = torch.sign(estimates - estimates_before), torch.sign(errors - errors_before)
    changed = (truth != 0) & ~torch.isnan(truth)
    count = int(changed.sum())
    return (float((moved == truth)[changed].double().mean()) if count else math.nan), count

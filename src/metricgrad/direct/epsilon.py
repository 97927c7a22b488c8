"""How far a decode is perturbed: the smallest epsilon that moves the task loss by a wanted amount."""

import math
from collections.abc import Callable

from torch import Tensor

from metricgrad._types import Structure
from metricgrad.direct.brackets import Bracket

__all__ = ["displacement", "fitted_epsilon"]

FAR = 1e9
"""An epsilon, in units of the largest score, at which the task loss alone decides."""
_TURNS, _HALVINGS = 200, 20


def displacement(
    bracket: Bracket, structure: Structure, targets: object, mask: Tensor | None, scale: float
) -> float:
    """Return D, the mean over units of how far the task loss of the decodes lies apart, over `scale`."""
    upper, lower = (structure.task_loss(one, targets, mask=mask) for one in (bracket.upper, bracket.lower))
    apart = (upper - lower)[bracket.defined]
    return apart.mean().item() / scale if apart.numel() else 0.0


def fitted_epsilon(apart: Callable[[float], float], previous: float, *, target: float, far: float) -> float:
    """Return the smallest epsilon with D(epsilon) >= min(target, D(infinity) / 2); the previous one where D is 0.

    D does not decrease: it is bracketed by doubling or halving from the previous value, then halved 20 times in the
    logarithm.

    Args:
        apart: D.
        previous: where to begin, > 0.
        target: wanted D, in (0, 1).
        far: an epsilon that stands for infinity.
    """
    most = apart(far)
    if most <= 0:
        return previous
    goal = min(target, most / 2)
    high = previous
    for _ in range(_TURNS):
        if apart(high) >= goal or high >= far:
            break
        high *= 2
    low = high / 2
    for _ in range(_TURNS):
        if low < math.ulp(1.0) * previous or apart(low) < goal:
            break
        high, low = low, low / 2
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if apart(middle) >= goal else (middle, high)
    return high

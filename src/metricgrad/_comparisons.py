"""What a metric asks of its outputs: comparisons, written once as `step(d)` in place of every indicator [d > 0].

A metric `f(outputs, targets, step)` is ordinary torch arithmetic around such steps. What `step` answers decides what
comes out: the exact metric here, a smooth surrogate or a corner of an interpolation in `relax.comparisons`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from metricgrad._checks import describe, fail, nearest

__all__ = ["ComparisonMetric", "ExactStep", "Step", "differences", "name_of_metric", "require_comparisons"]

NAMES = ("rank", "cutoff")
"""What a step is for: a comparison of outputs, or of a rank or count with a cut-off."""


class Step(Protocol):
    """Answers whether differences are above 0, in numbers from 0 to 1 of the same shape."""

    def __call__(self, d: Tensor, name: str = "rank", relax: bool = True) -> Tensor:
        """Answer for every difference in `d`; `relax=False` for one that depends on answers of former steps."""
        ...


ComparisonMetric = Callable[[Any, Any, Step], Any]
"""`f(outputs, targets, step)`: one value per row [row], or one number for all rows."""


@dataclass(frozen=True)
class ExactStep:
    """The exact answer: 1 above 0, 0 below; no gradient.

    Attributes:
        zero: the answer at 0.

    Example:
        >>> ExactStep()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """

    zero: float = 0.5

    def __call__(self, d: Tensor, name: str = "rank", relax: bool = True) -> Tensor:
        """Answer for every difference; NaN stays NaN."""
        known = differences(d, name).detach()
        return torch.heaviside(known, torch.full((), self.zero, dtype=known.dtype, device=known.device))


def differences(d: Tensor, name: str) -> Tensor:
    """Return differences as floating-point numbers; InputError for anything else, and for an unknown name."""
    if not isinstance(d, Tensor) or d.is_complex():
        raise fail("step", f"the differences are {describe(d)}", "a tensor of real numbers")
    if name not in NAMES:
        raise fail("step", f"name is {name!r}", "'rank' or 'cutoff'", nearest(str(name), NAMES))
    return d if d.is_floating_point() else d.to(torch.get_default_dtype())


def require_comparisons(caller: str, metric: Any) -> None:
    """Raise InputError for what cannot be called as `f(outputs, targets, step)`."""
    if not callable(metric) or isinstance(metric, type):
        raise fail(caller, f"the metric is {describe(metric)}", "a function f(outputs, targets, step)")


def name_of_metric(metric: Any) -> str:
    """What to call a metric of comparisons."""
    name = getattr(metric, "__name__", type(metric).__name__)
    return "metric" if name == "<lambda>" else name

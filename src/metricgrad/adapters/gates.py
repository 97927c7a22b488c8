"""Which of a few groups of numbers are needed: a count, and gates that learn to close.

For the adapters of a network, some hundred numbers in groups. Not for whole networks.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import Number, Whole, fail, finite_number, positive_number, whole_number

__all__ = ["HardConcrete", "HardConcreteGate", "hard_concrete_gate", "zero_norm"]

_EDGE = 1e-6


def zero_norm(weights: Float[Tensor, "..."], tolerance: Number = 0.0) -> int:
    """Return how many numbers are larger than `tolerance` in absolute value (exact).

    Args:
        weights: any shape.
        tolerance: >= 0; with 0 only exact zeros do not count.

    Edge cases:
        No number: 0. NaN counts.

    Gradient:
        None.

    Reference:
        [adam2012zeronorm]

    Example:
        >>> zero_norm(torch.tensor([0.0, 1e-9, -2.0])), zero_norm(torch.tensor([0.0, 1e-9, -2.0]), 1e-6)
        (2, 1)
    """
    most = positive_number("zero_norm", "tolerance", tolerance, zero=True)
    return int((~(weights.abs() <= most)).sum())


class HardConcrete(NamedTuple):
    """A gate per group.

    Attributes:
        gate: drawn, in 0 to 1, with both ends included.
        steady: what is used when training is over.
        open: the probability that the drawn gate is not 0; its sum is the expected zero norm.
    """

    gate: Tensor
    steady: Tensor
    open: Tensor


def hard_concrete_gate(
    log_alpha: Float[Tensor, " group"],
    uniforms: Float[Tensor, " group"],
    *,
    temperature: Number = 2 / 3,
    low: Number = -0.1,
    high: Number = 1.1,
) -> HardConcrete:
    """Return gates that are exactly 0 or 1 with a probability, and have a gradient (estimate).

        s = sigmoid((log u - log(1 - u) + log_alpha) / temperature)    gate = clip(s (high - low) + low, 0, 1)
        steady = clip(sigmoid(log_alpha) (high - low) + low, 0, 1)
        open = sigmoid(log_alpha - temperature log(-low / high))

    Args:
        log_alpha: what is learned; large is open.
        uniforms: u, drawn uniformly in 0 to 1; held within 1e-6 of the ends.
        temperature: > 0; of the drawn gates.
        low: < 0.
        high: > 1.

    Raises:
        InputError: temperature <= 0, low >= 0, high <= 1.

    Edge cases:
        No group gives empty gates.

    Gradient:
        Exact for given u; 0 where a gate is cut at 0 or 1.

    Cost:
        O(group).

    Reference:
        [louizos2018l0]

    Example:
        >>> hard_concrete_gate(torch.tensor([12.0, -12.0]), torch.tensor([0.4, 0.1])).gate
        tensor([1., 0.])
    """
    heat = positive_number("hard_concrete_gate", "temperature", temperature)
    least, most = (
        finite_number("hard_concrete_gate", name, value) for name, value in (("low", low), ("high", high))
    )
    if least >= 0 or most <= 1:
        raise fail("hard_concrete_gate", f"low is {low!r} and high {high!r}", "low < 0 and high > 1")
    u = uniforms.clamp(_EDGE, 1 - _EDGE)
    drawn = ((u.log() - (-u).log1p() + log_alpha) / heat).sigmoid()
    return HardConcrete(
        (drawn * (most - least) + least).clamp(0, 1),
        (log_alpha.sigmoid() * (most - least) + least).clamp(0, 1),
        (log_alpha - heat * math.log(-least / most)).sigmoid(),
    )


class HardConcreteGate(nn.Module):
    """A gate per group that learns to close: multiply each group of an adapter by its gate.

    Add a small number times `expected()` to the loss. In eval mode the gates are steady, and groups with an exact 0 can
    be dropped.

    Args:
        groups: how many.
        start: of log_alpha; 2 begins nearly open.

    Attributes:
        log_alpha: what is learned.

    Edge cases:
        In train mode the gates are drawn from the global generator.

    Reference:
        [louizos2018l0]

    Example:
        >>> HardConcreteGate(3).eval()()
        tensor([0.9570, 0.9570, 0.9570], grad_fn=<ClampBackward1>)
    """

    def __init__(self, groups: Whole, start: Number = 2.0) -> None:
        super().__init__()
        count = whole_number("HardConcreteGate", "groups", groups, least=0)
        self.log_alpha = nn.Parameter(torch.full((count,), finite_number("HardConcreteGate", "start", start)))

    def forward(self) -> Float[Tensor, " group"]:
        """Return the gates, drawn in train mode."""
        if not self.training:
            return hard_concrete_gate(self.log_alpha, torch.full_like(self.log_alpha, 0.5)).steady
        return hard_concrete_gate(self.log_alpha, torch.rand_like(self.log_alpha)).gate

    def expected(self) -> Float[Tensor, ""]:
        """The expected number of open gates."""
        return hard_concrete_gate(self.log_alpha, torch.full_like(self.log_alpha, 0.5)).open.sum()

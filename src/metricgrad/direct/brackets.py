"""Two decodes and what lies between them: the values and gradients of direct loss minimisation.

With M0 = max F, M+ = max (F + epsilon L) and M- = max (F - epsilon L) over the outputs,

    l_neg = (M0 - M-)/epsilon  <=  L(prediction)  <=  l_pos = (M+ - M0)/epsilon,  l_two = (M+ - M-)/(2 epsilon).

All are continuous and piecewise linear in the scores, and their gradients are differences of the decodes' features.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metricgrad._types import Structure

__all__ = ["DECODES", "Bracket", "bracket"]


class Bracket(NamedTuple):
    """Two decodes of a batch.

    Attributes:
        upper: statistic of the decode with the larger loss.
        lower: statistic of the other.
        value: [unit] float64; 0 where there is no loss.
        gradient: like the scores, float64; 0 where there is no loss.
        defined: [unit] bool.
    """

    upper: Tensor
    lower: Tensor
    value: Tensor
    gradient: Tensor
    defined: Tensor


Decoded = tuple[Tensor, Tensor]
Decode = Callable[..., tuple[Decoded, Decoded, float]]


def _two(structure: Any, scores: Tensor, targets: Any, epsilon: float, mask: Tensor | None) -> Any:
    if hasattr(structure, "augment_both"):
        return *structure.augment_both(scores, targets, epsilon=epsilon, mask=mask), 2 * epsilon
    upper = structure.augment(scores, targets, epsilon=epsilon, sign=1, mask=mask)
    return upper, structure.augment(scores, targets, epsilon=epsilon, sign=-1, mask=mask), 2 * epsilon


def _pos(structure: Structure, scores: Tensor, targets: Any, epsilon: float, mask: Tensor | None) -> Any:
    upper = structure.augment(scores, targets, epsilon=epsilon, sign=1, mask=mask)
    return upper, structure.predict(scores, targets=targets, mask=mask), epsilon


def _neg(structure: Structure, scores: Tensor, targets: Any, epsilon: float, mask: Tensor | None) -> Any:
    upper = structure.predict(scores, targets=targets, mask=mask)
    return upper, structure.augment(scores, targets, epsilon=epsilon, sign=-1, mask=mask), epsilon


def _hinge(structure: Any, scores: Tensor, targets: Any, epsilon: float, mask: Tensor | None) -> Any:
    upper = structure.augment(scores, targets, epsilon=1.0, sign=1, mask=mask)
    return upper, structure.ideal(scores, targets, mask=mask), 1.0


def _perceptron(structure: Any, scores: Tensor, targets: Any, epsilon: float, mask: Tensor | None) -> Any:
    upper = structure.predict(scores, targets=targets, mask=mask)
    return upper, structure.ideal(scores, targets, mask=mask), 1.0


DECODES: Mapping[str, Decode] = {
    "two": _two,
    "pos": _pos,
    "neg": _neg,
    "hinge": _hinge,
    "perceptron": _perceptron,
}
"""By the name of the update: the two decodes and what their difference is divided by."""


@torch.no_grad()
def bracket(
    structure: Structure,
    update: str,
    scores: Tensor,
    targets: Any,
    *,
    epsilon: float,
    mask: Tensor | None = None,
) -> Bracket:
    """Decode a batch twice.

    Args:
        structure: defines outputs, score and task loss.
        update: a key of `DECODES`.
        scores: float64, checked (`structure.defined`).
        targets: as the structure takes them.
        epsilon: > 0; the hinge and the perceptron do not use it.
        mask: False at padding.

    Returns:
        Values and gradients of the update, and both decodes.
    """
    defined = structure.defined(scores, targets, mask=mask)
    (upper, most), (lower, least), divisor = DECODES[update](structure, scores, targets, epsilon, mask)
    apart = structure.gradient(upper, targets, mask=mask) - structure.gradient(lower, targets, mask=mask)
    alone = defined.view(-1, *[1] * (scores.ndim - 1))
    value = torch.where(defined, (most - least) / divisor, 0)
    return Bracket(upper, lower, value, torch.where(alone, apart / divisor, 0), defined)

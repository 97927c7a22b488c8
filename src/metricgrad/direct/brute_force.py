"""Every output, one by one: the structure that needs no idea, for few outputs and for tests."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import describe, fail, require_finite

__all__ = ["BruteForce"]

Outputs = Callable[[Any, tuple[int, ...]], tuple[Tensor, Tensor]]
"""`(target, shape of a unit's scores) -> features [output, *shape], losses [output]`."""

_TIE = 1e-12
"""Relative difference of scores F below which outputs tie: rounding."""


class BruteForce:
    """Any structure whose outputs can be listed: F = sum(feature * scores); both signs are exact.

    A statistic is the feature of an output; that of the prediction is the mean feature of the tied outputs.

    Args:
        outputs: `(target, shape) -> (features, losses)`: every output of a unit, its feature [output, *shape] and
            its task loss [output]. `target` is `targets[unit]`, `shape` that of the unit's scores.

    Edge cases:
        A unit without outputs has no loss. The loss of a statistic is the mean loss of the outputs whose features are
        nearest: of the one that it is, or, for a mean of features of 0 and 1, of the tied ones. Outputs of one feature
        have one loss, then: give each its own.

    Gradient:
        dF/ds = feature.

    Cost:
        O(unit x output x item), in a Python loop over units.

    Example:
        >>> pick = lambda target, shape: (
        ...     torch.eye(*shape, *shape),
        ...     (torch.arange(*shape) != target).double(),
        ... )
        >>> structure = BruteForce(pick)
        >>> scores = torch.tensor([[0.1, 0.3, 0.2]], dtype=torch.float64)
        >>> structure.augment(scores, torch.tensor([2]), epsilon=1.0, sign=-1)[0].tolist()
        [[0.0, 0.0, 1.0]]
    """

    signs = frozenset({1, -1})
    exact = True

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs

    def defined(self, scores: Tensor, targets: Any, *, mask: Tensor | None = None) -> Bool[Tensor, " unit"]:
        """Return which units have an output; InputError for scores, features or a mask that do not fit."""
        if mask is not None:
            raise fail("BruteForce", "there is a mask", "none: let `outputs` list what is there")
        if not scores.is_floating_point() or scores.ndim < 2 or len(targets) != len(scores):
            raise fail(
                "BruteForce",
                f"scores are {describe(scores)} for {len(targets)} targets",
                "[unit, item] scores",
            )
        require_finite("BruteForce", "scores", scores)
        some = []
        for unit in range(len(scores)):
            features, losses = self._listed(scores, targets, unit)
            if features.shape[1:] != scores.shape[1:] or losses.shape != features.shape[:1]:
                raise fail(
                    "BruteForce",
                    f"features are {describe(features)} and losses {describe(losses)}",
                    f"[output, {', '.join(map(str, scores.shape[1:]))}] and [output]",
                )
            some.append(len(losses) > 0)
        return torch.tensor(some, dtype=torch.bool, device=scores.device)

    def predict(
        self, scores: Tensor, *, targets: Any = None, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "unit ..."], Float[Tensor, " unit"]]:
        """Return the mean feature of the outputs of the largest F, and that F."""
        return self._best(scores, targets, 0.0, tied=True)

    def augment(
        self, scores: Tensor, targets: Any, *, epsilon: float, sign: int, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "unit ..."], Float[Tensor, " unit"]]:
        """Return the feature of the output of the largest F + sign * epsilon * L, and that value."""
        return self._best(scores, targets, sign * epsilon, tied=False)

    def gradient(
        self, statistic: Tensor, targets: Any, *, mask: Tensor | None = None
    ) -> Float[Tensor, "unit ..."]:
        """Return dF/dscores, which is the statistic."""
        return statistic

    def task_loss(
        self, statistic: Tensor, targets: Any, *, mask: Tensor | None = None
    ) -> Float[Tensor, " unit"]:
        """Return the loss of the output with this feature."""
        losses = statistic.new_zeros(len(statistic))
        for unit in range(len(statistic)):
            features, of_outputs = self._listed(statistic, targets, unit)
            if len(of_outputs):
                apart = (features - statistic[unit]).flatten(1).square().sum(1)
                losses[unit] = of_outputs[_tied(-apart)].mean()
        return losses

    def _best(self, scores: Tensor, targets: Any, strength: float, *, tied: bool) -> tuple[Tensor, Tensor]:
        statistic = torch.zeros(scores.shape, dtype=torch.float64, device=scores.device)
        values = statistic.new_zeros(len(scores))
        for unit in range(len(scores)):
            features, losses = self._listed(scores, targets, unit)
            if len(losses):
                total = features.flatten(1) @ scores[unit].double().flatten() + strength * losses
                best = total.max(0)
                values[unit] = best.values
                statistic[unit] = features[_tied(total)].mean(0) if tied else features[best.indices]
        return statistic, values

    def _listed(self, scores: Tensor, targets: Any, unit: int) -> tuple[Tensor, Tensor]:
        features, losses = self.outputs(targets[unit], tuple(scores.shape[1:]))
        return features.to(scores.device, torch.float64), losses.to(scores.device, torch.float64)


def _tied(values: Tensor) -> Tensor:
    return values >= values.max() - _TIE * values.abs().max().clamp(min=1)

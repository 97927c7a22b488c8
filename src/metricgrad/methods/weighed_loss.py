"""The training loss in the hands of a black-box method: a weight for every item, and the same loss at every call.

What a loss of the user remembers between calls is set back before each, so that all candidates meet the same loss.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._types import MethodRun
from metricgrad.methods.asking import AskingLoss
from metricgrad.methods.few_numbers import Items
from metricgrad.methods.given_loss import GivenLoss
from metricgrad.methods.named_loss import NamedLoss
from metricgrad.methods.objectives import Objective

__all__ = ["WeighedLoss"]


class WeighedLoss:
    """A loss `(outputs, targets) -> Tensor`, one value per item or their mean.

    Args:
        objective: the loss.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.given = objective if isinstance(objective, GivenLoss) else None
        self.begun: dict[str, Any] = {}

    def begin(self, run: MethodRun, *, ranked: bool) -> None:
        """Let a loss that asks for something of the run have it.

        Args:
            run: what the method was given.
            ranked: whether the loss of an item depends on the others of its batch.
        """
        self.ranked = ranked
        if self.given is not None:
            self.given.begin(run.model, next(iter(run.parameters.values())).device)
        elif isinstance(self.objective, AskingLoss | NamedLoss):
            self.objective.begin(run)
        self.begun = copy.deepcopy(self._state())

    def _state(self) -> dict[str, Any]:
        if self.given is not None:
            return self.given.state_dict()
        return self.objective.state_dict() if isinstance(self.objective, AskingLoss | NamedLoss) else {}

    def _set_back(self) -> None:
        if self.given is not None:
            self.given.load_state_dict(copy.deepcopy(self.begun))
        elif isinstance(self.objective, AskingLoss | NamedLoss):
            self.objective.load_state_dict(copy.deepcopy(self.begun))

    def mean(
        self,
        outputs: Tensor,
        items: Items,
        weights: Float[Tensor, " item"] | None = None,
        groups: Int[Tensor, " item"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the mean of weight times loss over some items.

        Args:
            outputs: of the network.
            items: with their targets.
            weights: None for 1.
            groups: the items of one group have one weight: what a loss that gives no value per item is asked for.
        """
        self._set_back()
        if weights is None:
            return self.objective(outputs, items.targets).mean()
        values = self.objective(outputs, items.targets)
        if values.shape == (len(items),):
            return (weights.to(values) * values).mean()
        assert groups is not None
        parts = []
        for group in groups.unique():
            rows = (groups == group).nonzero().flatten()
            value = self.objective(outputs[rows], items.of(rows).targets).mean()
            parts.append(value * weights[rows[0]].to(value) * len(rows) / len(items))
        return torch.stack(parts).sum()

    def of_items(self, outputs: Tensor, items: Items) -> Float[Tensor, " item"]:
        """Return the loss of every item, without a gradient; of a loss that gives a mean, item by item."""
        self._set_back()
        outputs = outputs.detach().requires_grad_()
        values = self.objective(outputs, items.targets)
        if values.shape == (len(items),):
            return values.detach()
        rows = torch.arange(len(items), device=outputs.device).split(1)
        return torch.stack(
            [self.objective(outputs[row], items.of(row).targets).detach().mean() for row in rows]
        )

    def at(self, outputs: Tensor, items: Items) -> Float[Tensor, ""]:
        """Return the mean loss of some items, without a gradient."""
        return self.mean(outputs.detach().requires_grad_(), items).detach()

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.begun if self.given is not None else {}

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        if self.given is not None:
            self.given.load_state_dict(state)
            self.begun = dict(state)

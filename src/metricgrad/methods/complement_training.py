"""Training with a complement objective in a loop of your own: two optimisers, one step each per batch."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad._user_code import embedded
from metricgrad.averages import mean_valid
from metricgrad.losses import complement_entropy_loss
from metricgrad.losses.class_scores import counted_samples
from metricgrad.methods.descent import require_finite
from metricgrad.methods.two_steps import Guard, TwoSteps, warn_of_rate

__all__ = ["ComplementObjectiveTraining"]

Objective = Callable[[Any, Any], Tensor]


class ComplementObjectiveTraining:
    """A step down the primary loss, then one down a complement loss at the new weights, batch after batch.

    Each step has its own forward pass and its own optimiser with its own state, over the same parameters. A batch thus
    costs two forward and two backward passes: compare with as many passes of the primary loss alone, which are twice
    the steps. `tune` does the same with the methods `alternating:...`.

    Args:
        primary_optimizer: steps first.
        complement_optimizer: steps second; another object. The published training gives both the same settings: SGD
            with momentum 0.9 and learning rate 0.1.
        primary_loss: `(outputs, targets) -> loss`, a scalar or one value per sample (then averaged over those that are
            not ignored); None for cross-entropy.
        complement_loss: the same of the second step; None for `complement_entropy_loss`.
        guard: True for `Guard()`, which leaves the second step out for good once the primary loss stays 20 % above its
            best moving average for 100 steps, with a warning; another `Guard`; False for none.
        decay_once: set the weight decay of the complement optimizer to 0, so that weights are not decayed twice.
        freeze_statistics_in_second_forward: let BatchNorm (and InstanceNorm) update its running statistics in the first
            pass alone. The outputs of the second pass stay what they are.

    Raises:
        InputError: one optimizer for both; a guard that is none.

    Edge cases:
        An adaptive complement optimizer whose learning rate is not below that of the primary one is warned of: it takes
        the small factor of the complement loss out again. Its rate should be the primary one divided by the number of
        classes minus one. Dropout is drawn anew in the second pass.

    Differs from the paper:
        Its code decays weights twice, updates running statistics twice, and has no guard: that is `decay_once=False`,
        `freeze_statistics_in_second_forward=False` and `guard=False`.

    Reference:
        [chen2019complement]; with `hierarchical_complement_entropy_loss` [chen2019hierarchical].

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Linear(4, 3)
        >>> one, other = (torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for _ in range(2))
        >>> training = ComplementObjectiveTraining(one, other)
        >>> inputs, targets = torch.randn(6, 4), torch.arange(6) % 3
        >>> values = [training.step(model, inputs, targets)["loss"] for _ in range(20)]
        >>> values[-1] < values[0]
        True
    """

    def __init__(
        self,
        primary_optimizer: torch.optim.Optimizer,
        complement_optimizer: torch.optim.Optimizer,
        *,
        primary_loss: Objective | None = None,
        complement_loss: Objective | None = None,
        guard: Guard | bool = True,
        decay_once: bool = True,
        freeze_statistics_in_second_forward: bool = True,
    ) -> None:
        caller = type(self).__name__
        if primary_optimizer is complement_optimizer:
            raise fail(caller, "both optimizers are one object", "two, each with its own state")
        if not isinstance(guard, Guard | bool):
            raise fail(caller, f"guard is {describe(guard)}", "True, False or a Guard")
        self.primary_optimizer, self.complement_optimizer = primary_optimizer, complement_optimizer
        self.primary_loss = nn.functional.cross_entropy if primary_loss is None else primary_loss
        self.complement_loss = complement_entropy_loss if complement_loss is None else complement_loss
        watched = Guard() if guard is True else guard or None
        self.both = TwoSteps(caller, watched, freeze_statistics=freeze_statistics_in_second_forward)
        self.taken = 0
        if decay_once:
            for group in complement_optimizer.param_groups:
                group["weight_decay"] = 0.0
        if {"eps", "betas"} & set(complement_optimizer.defaults):
            warn_of_rate(caller, _rate(primary_optimizer), _rate(complement_optimizer))

    def step(self, model: nn.Module, inputs: Any, targets: Any) -> dict[str, float]:
        """Take both steps on a batch.

        Args:
            model: the network, in train mode.
            inputs: of the batch, as the network takes them; a dict by name, a tuple by place.
            targets: of the batch, on the device of the outputs.

        Returns:
            `loss`, the primary one before its step; `second_loss`, the complement loss between the two steps;
            `second_steps`, 1.0, or 0.0 where the guard has left the second step out.

        Raises:
            Diverged: a loss is NaN or infinite; its step was not taken.
        """
        self.taken += 1
        return self.both.take(
            model,
            lambda: self._step(self.primary_optimizer, self.primary_loss, model, inputs, targets),
            lambda: self._step(self.complement_optimizer, self.complement_loss, model, inputs, targets),
        )

    def _step(
        self, optimizer: torch.optim.Optimizer, loss: Objective, model: nn.Module, inputs: Any, targets: Any
    ) -> float:
        """Take one step; returns the loss before it."""
        value = _mean(loss(embedded(model, inputs), targets), targets)
        require_finite("the loss", value.item(), self.taken)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both optimizers and of the guard, for a checkpoint."""
        return {
            "primary": self.primary_optimizer.state_dict(),
            "complement": self.complement_optimizer.state_dict(),
            "guard": self.both.state_dict(),
            "taken": self.taken,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.primary_optimizer.load_state_dict(state["primary"])
        self.complement_optimizer.load_state_dict(state["complement"])
        self.both.load_state_dict(state["guard"])
        self.taken = state["taken"]


def _rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the largest learning rate."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


def _mean(loss: Tensor, targets: Any) -> Tensor:
    """Return a scalar; of one value per sample the mean over those that are not ignored."""
    if loss.ndim == 0:
        return loss
    if isinstance(targets, Tensor) and targets.shape == loss.shape:
        return mean_valid(loss, counted_samples(targets))
    return loss.mean()

"""Steps down a loss: the part that every method holds.

All methods are this one procedure with another loss, so that the arms of a run differ in nothing else.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from metricgrad._documents import NumberField
from metricgrad._types import MethodRun
from metricgrad.errors import Diverged
from metricgrad.methods.asking import AskingLoss
from metricgrad.methods.batch_gradient import BatchGradient
from metricgrad.methods.given_loss import GivenLoss
from metricgrad.methods.mixing import Mixing
from metricgrad.methods.named_loss import NamedLoss

__all__ = ["SPACE", "Descent", "DescentSettings", "require_finite"]

SPACE: Mapping[str, tuple[Any, ...]] = {
    "learning_rate": (3e-4, 1e-3, 3e-3),
    "weight_decay": (0.01, 0.1, 1.0),
    "dropout": (0.1, 0.3, 0.5),
}
"""Values that tries draw from, for any objective; a dropout rate matters to a model that has dropout modules."""


class DescentSettings(BaseModel):
    """How the objective is followed.

    Args:
        learning_rate: of AdamW, reached after `warmup`.
        weight_decay: of AdamW (decoupled); vectors (biases, scales) are not decayed.
        pull_to_start: instead of weight decay, where it is not 0: each step draws all trained weights of the network by
            learning rate x pull_to_start of the way back to where the stage began, decoupled as the decay is. 3 to 10
            keep a head near the closed form that it began with [li2018explicit].
        schedule: `cosine` falls to 0 over the steps, `constant` stays.
        warmup: share of the steps over which the learning rate rises from 0.
        gradient_clip: largest norm of the gradient; None for no limit.
        dropout: rate for every dropout module of the model; None leaves the model's own.
        mixup: alpha of mixup: each batch is mixed with itself in another order, its share drawn from Beta(alpha,
            alpha), and the loss is that of both labels in their shares [zhang2018mixup]. 0 for batches as they are.
            For losses of one label per sample; it does not suit retrieval.
        objective: settings of the loss by its own argument names (temperature, k, ...). `simix` adds virtual rows
            to a loss of ranks: true, or its own settings (pairs_per_class, virtual_queries).
        proxy_weight: how much of the proxy loss is added to a surrogate; 0 in the control arm, whose loss it is.
        proxy: settings of the proxy loss that is added, like `objective`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: NumberField = Field(default=3e-4, gt=0)
    weight_decay: NumberField = Field(default=1e-2, ge=0)
    pull_to_start: NumberField = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: NumberField = Field(default=0.05, ge=0, lt=1)
    gradient_clip: NumberField | None = Field(default=1.0, gt=0)
    dropout: NumberField | None = Field(default=None, ge=0, lt=1)
    mixup: NumberField = Field(default=0.0, ge=0)
    objective: dict[str, Any] = Field(default_factory=dict)
    proxy_weight: NumberField = Field(default=0.0, ge=0)
    proxy: dict[str, Any] = Field(default_factory=dict)


class Descent:
    """Steps of AdamW: groups of parameters, schedule, clipping, large batches, and what is trained beside the network.

    Args:
        settings: see `DescentSettings`.
        parts: the losses within the objective. Parameters of one of the user are trained beside the network, those of
            the proxy from the start stage on; one of ours that asks for something of the run is given it. What they
            remember is kept.

    Attributes:
        parameters: of the network, those that are trained.
        trained: the same and those of the loss.
        taken: number of steps so far.
    """

    def __init__(
        self, settings: DescentSettings, *, parts: Sequence[Callable[[Any, Any], Tensor] | None] = ()
    ) -> None:
        self.settings = settings
        self.given = next((part for part in parts if isinstance(part, GivenLoss)), None)
        self.asking = [part for part in parts if isinstance(part, AskingLoss | NamedLoss)]

    def begin(self, run: MethodRun, objective: Callable[[Any, Any], Tensor] | None = None) -> None:
        """Set the dropout rates and make the optimiser of the trainable parameters.

        Args:
            run: what the method was given.
            objective: what `follow` lowers; None for a method that brings its own backward pass to `step`.
        """
        self.steps, self.taken = run.steps, 0
        self.parameters = list(run.parameters.values())
        self.trained = list(self.parameters)
        if self.given is not None:
            self.given.begin(run.model, self.parameters[0].device)
            self.trained += self.given.parameters()
        for part in self.asking:
            part.begin(run)
            self.trained += part.parameters()
        self.mixing = Mixing(self.settings.mixup, objective, run) if self.settings.mixup else None
        followed = objective if self.mixing is None else self.mixing.objective
        self.gradient = None if followed is None else BatchGradient(run, followed)
        if self.settings.dropout is not None:
            for module in run.model.modules():
                if isinstance(module, nn.modules.dropout._DropoutNd):
                    module.p = self.settings.dropout
        pulled = self.settings.pull_to_start > 0
        self.start = [value.detach().clone() for value in self.parameters] if pulled else []
        ours = [part for part in self.asking if isinstance(part, AskingLoss)]
        free = {id(value) for part in ours for value in part.parameters()}  # prototypes do not decay
        matrices = [value for value in self.trained if value.ndim >= 2 and id(value) not in free]
        vectors = [value for value in self.trained if value.ndim < 2 or id(value) in free]
        groups = [
            {"params": matrices, "weight_decay": 0.0 if pulled else self.settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=self.settings.learning_rate
        )

    def follow(self, batch: Sequence[Any]) -> float:
        """Take one step down the mean objective of a batch; returns its value before the step.

        Raises:
            Diverged: the loss or its gradient is NaN or infinite; the weights have not moved.
        """
        if self.gradient is None:
            raise RuntimeError("a descent without an objective is given its backward pass")
        mixed = batch if self.mixing is None else self.mixing.batch(batch, self.taken)
        return self.step(partial(self.gradient, *mixed, step=self.taken))

    def step(self, backward: Callable[[], Tensor]) -> float:
        """Take one step along the gradient that `backward` adds; returns the loss that it returns.

        Raises:
            Diverged: the loss or the gradient is NaN or infinite; neither weights nor optimiser have moved.
        """
        self.optimiser.zero_grad(set_to_none=True)
        value = backward().item()
        require_finite("the loss", value, self.taken + 1)
        require_finite("the norm of the gradient", self._clipped(), self.taken + 1)
        rate = self._learning_rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        for weight, start in zip(self.parameters, self.start, strict=False):
            weight.detach().lerp_(start, min(1.0, rate * self.settings.pull_to_start))
        self.optimiser.step()
        self.taken += 1
        return value

    def skip(self) -> None:
        """Count a step that is not taken: not even momentum or weight decay may move the model."""
        self.taken += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the optimiser's state, the steps taken, the measured size of a chunk and what weights are drawn to."""
        return {
            "optimiser": self.optimiser.state_dict(),
            "taken": self.taken,
            "chunks": {} if self.gradient is None else self.gradient.measured,
            "beside": self.beside(),
            **({"start": self.start} if self.start else {}),
            "remembered": [part.state_dict() for part in self.asking],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.optimiser.load_state_dict(dict(state["optimiser"]))
        self.taken = state["taken"]
        self.load_beside(state["beside"])
        for value, start in zip(self.start, state.get("start", []), strict=True):
            value.copy_(start)
        for part, remembered in zip(self.asking, state["remembered"], strict=True):
            part.load_state_dict(remembered)
        if self.gradient is not None:
            self.gradient.measured = state["chunks"]

    def seen(self) -> dict[str, float]:
        """Return what the losses of ours say of the last step."""
        return {name: value for part in self.asking for name, value in part.seen.items()}

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return {} if self.given is None else self.given.state_dict()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        if self.given is not None:
            self.given.load_state_dict(state)

    def _clipped(self) -> float:
        """Clip the gradient, where there is a limit; returns its norm before."""
        if self.settings.gradient_clip is not None:
            return float(torch.nn.utils.clip_grad_norm_(self.trained, self.settings.gradient_clip))
        gradients = [value.grad for value in self.trained if value.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    def _learning_rate(self) -> float:
        progress = self.taken / max(1, self.steps)
        rate, warmup = self.settings.learning_rate, self.settings.warmup
        if progress < warmup:
            return rate * (self.taken + 1) / max(1.0, warmup * self.steps)
        if self.settings.schedule == "constant":
            return rate
        return rate * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def require_finite(what: str, value: float, step: int) -> None:
    """Raise Diverged for a number that is NaN or infinite."""
    if not math.isfinite(value):
        raise Diverged(
            f"training: {what} is {value} at step {step}; expected a finite number. Lower the learning rate, raise the "
            "temperature or look for NaN in the inputs."
        )

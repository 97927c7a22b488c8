"""Train on a differentiable objective: a surrogate of the metric, or the proxy loss of the control arm.

Both arms of a run are this one procedure with another objective, so that they differ in nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._documents import NumberField
from metricgrad._structures import moved, tensors_of
from metricgrad._types import MethodRun, Metric
from metricgrad._user_code import called, embedded
from metricgrad.errors import Diverged
from metricgrad.methods import objectives
from metricgrad.methods.family import Family
from metricgrad.methods.given_loss import GivenLoss, require_gradient
from metricgrad.methods.grammar import MethodName
from metricgrad.methods.objectives import Objective, Proxy
from metricgrad.methods.road import Road
from metricgrad.scale import SharedBackward, StagedBackward, current
from metricgrad.scale.chunk import device_of

__all__ = ["FAMILY", "SPACE", "Surrogate", "SurrogateSettings", "road_for_loss"]

SPACE: Mapping[str, tuple[Any, ...]] = {
    "learning_rate": (3e-4, 1e-3, 3e-3),
    "weight_decay": (0.01, 0.1, 1.0),
    "dropout": (0.1, 0.3, 0.5),
}
"""Values that tries draw from, for any objective; a dropout rate matters to a model that has dropout modules."""


class SurrogateSettings(BaseModel):
    """How the objective is followed.

    Args:
        learning_rate: of AdamW, reached after `warmup`.
        weight_decay: of AdamW (decoupled); vectors (biases, scales) are not decayed.
        schedule: `cosine` falls to 0 over the steps, `constant` stays.
        warmup: share of the steps over which the learning rate rises from 0.
        gradient_clip: largest norm of the gradient; None for no limit.
        dropout: rate for every dropout module of the model; None leaves the model's own.
        objective: settings of the loss by its own argument names (temperature, k, ...). `simix` adds virtual rows
            to a loss of ranks: true, or its own settings (pairs_per_class, virtual_queries).
        proxy_weight: how much of the proxy loss is added to a surrogate; 0 in the control arm, whose loss it is.
        proxy: settings of the proxy loss that is added, like `objective`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: NumberField = Field(default=3e-4, gt=0)
    weight_decay: NumberField = Field(default=1e-2, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: NumberField = Field(default=0.05, ge=0, lt=1)
    gradient_clip: NumberField | None = Field(default=1.0, gt=0)
    dropout: NumberField | None = Field(default=None, ge=0, lt=1)
    objective: dict[str, Any] = Field(default_factory=dict)
    proxy_weight: NumberField = Field(default=0.0, ge=0)
    proxy: dict[str, Any] = Field(default_factory=dict)


class Surrogate:
    """One optimiser step on the mean of an objective, batch after batch.

    Args:
        objective: `(outputs, targets) -> Tensor`, a scalar or one value per unit (then averaged).
        settings: see `SurrogateSettings`.
        given: a loss of the user within the objective, whose parameters are trained beside the network.
    """

    def __init__(
        self, objective: Objective, settings: SurrogateSettings, *, given: GivenLoss | None = None
    ) -> None:
        self.objective, self.settings = objective, settings
        self.given = given

    def begin(self, run: MethodRun) -> None:
        """Set the dropout rates and make the optimiser of the trainable parameters."""
        self.model, self.steps, self.taken = run.model, run.steps, 0
        self.parameters = list(run.parameters.values())
        self.trained = list(self.parameters)
        if self.given is not None:
            self.given.begin(run.model, self.parameters[0].device)
            self.trained += self.given.parameters()
        self.shared = self.staged = None
        if current().size > 1:
            self.shared = SharedBackward(
                run.model, self.objective, parameters=self.parameters, chunk=run.chunk, seed=run.seed,
                processes=current(),
            )  # fmt: skip
            self.staged = self.shared.staged
        elif run.chunk is not None:
            self.staged = StagedBackward(run.model, self.objective, chunk=run.chunk)
        if self.settings.dropout is not None:
            for module in run.model.modules():
                if isinstance(module, nn.modules.dropout._DropoutNd):
                    module.p = self.settings.dropout
        matrices = [value for value in self.trained if value.ndim >= 2]
        vectors = [value for value in self.trained if value.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": self.settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=self.settings.learning_rate
        )

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Take one step; returns the loss before it.

        Raises:
            Diverged: the loss is NaN or infinite.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._backward(*batch)
        if self.settings.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.trained, self.settings.gradient_clip)
        self.optimiser.step()
        self.taken += 1
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged(
                f"training: the loss is {value} at step {self.taken}; expected a finite loss. Lower the learning rate, "
                "raise the temperature or look for NaN in the inputs."
            )
        return {"loss": value}

    def _backward(self, inputs: Any, targets: Any) -> Tensor:
        """Add the gradient of the mean objective and return its value."""
        if self.shared is not None:
            return self.shared(inputs, moved(targets, self.parameters[0].device), step=self.taken)
        if self.staged is not None:
            return self.staged(inputs, moved(targets, self.parameters[0].device))
        outputs = embedded(self.model, moved(inputs, device_of(self.model)))
        device = next((value.device for value in tensors_of(outputs)), self.parameters[0].device)
        loss = self.objective(outputs, moved(targets, device))
        loss = loss if loss.ndim == 0 else loss.mean()
        require_gradient("training", loss, outputs)
        called(
            "the backward pass", loss.backward, expected="a loss and a network that torch can differentiate"
        )
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the optimiser's state, the number of steps taken and the measured size of a chunk."""
        chunks = {} if self.staged is None else dict(self.staged.measured)
        return {
            "optimiser": self.optimiser.state_dict(),
            "taken": self.taken,
            "chunks": chunks,
            "beside": self.beside(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.optimiser.load_state_dict(dict(state["optimiser"]))
        self.taken = state["taken"]
        self.load_beside(state.get("beside", {}))
        if self.staged is not None:
            self.staged.measured = dict(state["chunks"])

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return {} if self.given is None else self.given.state_dict()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        if self.given is not None:
            self.given.load_state_dict(state)

    def _learning_rate(self) -> float:
        progress = self.taken / max(1, self.steps)
        rate = self.settings.learning_rate
        if progress < self.settings.warmup:
            return rate * (self.taken + 1) / max(1.0, self.settings.warmup * self.steps)
        if self.settings.schedule == "constant":
            return rate
        return (
            rate
            * 0.5
            * (1 + math.cos(math.pi * (progress - self.settings.warmup) / (1 - self.settings.warmup)))
        )


def road_for_loss(proxy: Proxy) -> Road:
    """Return the road of a proxy loss: the name of one of our losses or a callable `(outputs, targets) -> loss`."""
    objectives.check_proxy(proxy)
    space = SPACE
    if isinstance(proxy, str):
        objectives.named_objective(proxy, {})  # an unknown name must fail now, not once training begins
        space = {**SPACE, **objectives.space(proxy)}
    name = proxy if isinstance(proxy, str) else getattr(proxy, "__name__", type(proxy).__name__)

    def make(settings: Any) -> Surrogate:
        if settings.proxy_weight:
            raise fail(
                f"proxy:{name}",
                f"proxy_weight is {settings.proxy_weight}",
                "0: the control arm is the proxy alone",
            )
        own = objectives.proxy_objective(proxy, settings.objective)
        return Surrogate(own, settings, given=own if isinstance(own, GivenLoss) else None)

    return Road(f"proxy:{name}", make, SurrogateSettings, space)


def _road(name: MethodName, metric: Metric, proxy: Proxy | None) -> Road:
    of_scores = metric.unit != "query"
    objectives.named_objective(name.loss, {}, of_scores=of_scores)  # an unknown name must fail now, not later

    def make(settings: Any) -> Surrogate:
        loss = objectives.named_objective(name.loss, settings.objective, of_scores=of_scores)
        both, given = objectives.with_proxy(str(name), loss, settings, proxy)
        return Surrogate(both, settings, given=given)

    space = {**SPACE, **objectives.space(name.loss, of_scores=of_scores)}
    return Road(str(name), make, SurrogateSettings, objectives.with_weights(space, proxy))


def _suits(metric: Metric) -> MethodName | str:
    if metric.unit != "query":
        return f"{metric.name} ranks no embeddings"
    return MethodName("surrogate", "recall_at_k")


def _roads() -> dict[str, Any]:
    return {f"surrogate:{name}": objectives.loss_named(name) for name in objectives.objectives()}


FAMILY = Family(
    name="surrogate",
    line="Lowers a loss of ours whose gradient stands for that of the metric.",
    settings=SurrogateSettings,
    suits=_suits,
    road=_road,
    roads=_roads,
)

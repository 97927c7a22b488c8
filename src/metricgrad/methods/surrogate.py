"""Train on a differentiable objective: a surrogate of the metric, or the proxy loss of the control arm.

Both arms of a run are this one procedure with another objective, so that they differ in nothing else.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from metricgrad import losses
from metricgrad._checks import describe, fail, nearest
from metricgrad._columns import logit_of_class_1, one_column
from metricgrad._documents import NumberField
from metricgrad._structures import moved, one_tensor, tensors_of
from metricgrad._types import MethodRun
from metricgrad._user_code import called, embedded
from metricgrad.errors import Diverged
from metricgrad.methods.given_loss import GivenLoss, require_gradient
from metricgrad.methods.trial import EMBEDDINGS, SCORES, tried
from metricgrad.pairing import SiMix, has_positive
from metricgrad.ranking import RankingLoss, mean_valid
from metricgrad.relax import positive_ranks_from_scores
from metricgrad.scale import SharedBackward, StagedBackward, current
from metricgrad.scale.chunk import device_of

__all__ = ["SPACE", "Surrogate", "SurrogateSettings", "added", "named_objective", "objectives", "space"]

Objective = Callable[[Any, Any], Tensor]

SPACE: Mapping[str, tuple[Any, ...]] = {
    "learning_rate": (3e-4, 1e-3, 3e-3),
    "weight_decay": (0.01, 0.1, 1.0),
    "dropout": (0.1, 0.3, 0.5),
}
"""Values that tries draw from, for any objective; a dropout rate matters to a model that has dropout modules."""

RANK_TEMPERATURE = 0.05
"""Default rank temperature of a surrogate of ranks on unit embeddings: smaller ones starve most positives."""
SCORE_TEMPERATURE = 0.3
"""The same on scores of samples, which spread over several units (logits)."""


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


def objectives() -> list[str]:
    """Return the names that `named_objective` knows: the public losses without `_loss`."""
    return sorted(name.removesuffix("_loss") for name in losses.__all__ if name.endswith("_loss"))


def named_objective(name: str, settings: Mapping[str, Any], *, of_scores: bool = False) -> Objective:
    """Build `(outputs, targets) -> loss` from the name of a loss and its settings.

    Args:
        name: a public loss without its suffix: `recall_at_k`, `average_precision`, `supcon`, ... A loss of ranks may
            be followed by an option, `recall_at_k+simix`, which is the setting `simix: true`.
        settings: arguments of the loss by name; for a loss of ranks also those of `RankingLoss` (temperature,
            step, preset, normalize) and `simix`: true, false or the settings of `pairing.SiMix`.
        of_scores: the outputs are scores [sample] of one ranking and the targets 0 or 1, not embeddings and labels;
            only for a loss of ranks, whose `temperature` is then in units of score.

    Returns:
        The objective: a scalar or one value per unit.

    Raises:
        InputError: unknown name or argument; the message names the nearest known ones.
    """
    name, *options = name.split("+")
    settings = _with_options(options, settings)
    if name not in objectives():
        raise fail("method", f"there is no loss {name!r}", "the name of a loss", nearest(name, objectives()))
    loss = getattr(losses, f"{name}_loss")
    arguments = inspect.signature(loss).parameters
    of_ranks = "ranks" in arguments
    known = {key for key, value in arguments.items() if value.kind is value.KEYWORD_ONLY}
    if of_ranks:
        known |= (
            {"temperature", "step"} if of_scores else {"temperature", "step", "preset", "normalize", "simix"}
        )
    for key in settings:
        if key not in known:
            raise fail(
                "method",
                f"the loss {name!r} has no setting {key!r}",
                "one of its settings",
                nearest(key, known),
            )
    if of_scores:
        return tried(f"loss {name}", settings, lambda: _of_scores(loss, name, settings, of_ranks), SCORES)
    return tried(f"loss {name}", settings, lambda: _of_embeddings(loss, name, settings, of_ranks), EMBEDDINGS)


def _of_embeddings(
    loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any], of_ranks: bool
) -> Objective:
    """Return a loss of the ranks or of the pairs of embeddings [sample, dim] under labels."""
    if of_ranks:
        simix = _simix(settings.get("simix", False))
        return RankingLoss(loss, **{"temperature": RANK_TEMPERATURE, **settings, "simix": simix})

    # A loss of pairs: rows without another of their label have no loss, they are not losses of 0.
    def objective(outputs: Any, targets: Any) -> Tensor:
        one_tensor(name, outputs)
        return mean_valid(loss(outputs, targets, **settings), has_positive(targets))

    return objective


def _of_scores(
    loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any], of_ranks: bool
) -> Objective:
    """Return a loss of the ranks of scores [sample] under targets 0 or 1: one query."""
    if not of_ranks:
        raise fail("method", f"{name} is a loss of embeddings", "a loss of ranks, for a metric of scores")
    own = {key: value for key, value in settings.items() if key not in ("temperature", "step")}
    steps = {"temperature": SCORE_TEMPERATURE, **{key: settings[key] for key in settings if key not in own}}

    def objective(outputs: Tensor, targets: Tensor) -> Tensor:
        scores = logit_of_class_1(one_tensor(f"surrogate:{name}", outputs))
        if scores is None:
            raise fail(
                f"surrogate:{name}", f"outputs are {describe(outputs)}", "one score per sample, or two"
            )
        ranks = positive_ranks_from_scores(scores[None], one_column(targets)[None].bool(), **steps)
        return mean_valid(loss(ranks, **own), ranks)

    return objective


def _with_options(options: Sequence[str], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings with those that the options of a name stand for."""
    for option in options:
        if option != "simix":
            raise fail("method", f"there is no option {option!r} of a loss", "'simix', or none")
        if settings.get("simix", True) in (False, None):
            raise fail(
                "method", f"the option +simix came with the setting simix: {settings['simix']}", "one of them"
            )
        settings = {"simix": True, **settings}
    return settings


def _simix(given: Any) -> SiMix | None:
    """Return what the setting `simix` says: true, false (or null), or settings by name."""
    if not isinstance(given, Mapping):
        if given not in (True, False, None):
            raise fail("method", f"simix is {given!r}", "true, false or its settings by name")
        return SiMix() if given else None
    known = ("pairs_per_class", "virtual_queries")  # a generator cannot be written in a recipe
    for key in given:
        if key not in known:
            raise fail(
                "method", f"simix has no setting {key!r}", "one of its settings", nearest(str(key), known)
            )
    return SiMix(**given)


def added(objective: Objective, proxy: Objective, weight: float) -> Objective:
    """Return `objective + weight * proxy`, each averaged on its own.

    A surrogate of a rank sees only what is near the cut-off; a little of the proxy keeps the rest in place.
    """

    def both(outputs: Any, targets: Any) -> Tensor:
        return objective(outputs, targets).mean() + weight * proxy(outputs, targets).mean()

    return both


def space(name: str, *, of_scores: bool = False) -> Mapping[str, tuple[Any, ...]]:
    """Return the settings that tries may draw for a named objective: as many for a surrogate as for a proxy."""
    temperatures = (
        (0.1, 0.3, 1.0) if of_scores else (0.04, 0.07, 0.1) if name == "supcon" else (0.03, 0.05, 0.07)
    )
    return {**SPACE, "objective.temperature": temperatures}

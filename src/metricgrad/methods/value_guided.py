"""Learn the metric as a function of a few numbers from runs of training, then follow it beside the training loss.

After MetricOpt, whose text was not at hand: this is a definition of this project and no reproduction.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from metricgrad._documents import NumberField, WholeField
from metricgrad._types import MethodRun
from metricgrad.blackbox import (
    LocalRidge,
    ValueModel,
    combined_direction,
    interpolated_values,
    mixture_weights,
    within_radius,
)
from metricgrad.errors import JudgeEnded
from metricgrad.methods.descent import require_finite
from metricgrad.methods.gated import BOOTSTRAP_CALLS
from metricgrad.methods.search_ground import SearchGround, SearchSettings
from metricgrad.methods.weighed_loss import WeighedLoss

__all__ = ["ValueGuided", "ValueSettings"]

NAME = "blackbox:value_function"

RATES = (0.003, 0.03)
"""Smallest and largest learning rate of the runs that teach."""
SPREAD = 1.0
"""Standard deviation of the logarithms of the weights of terms in them."""
CLIP = 10.0
"""Largest logarithm of such a weight."""


class ValueSettings(SearchSettings):
    """How the metric is learned as a function of the numbers, and followed beside the training loss.

    Args:
        trajectories: runs of the training loss with other rates and item weights, which teach the function first.
        trajectory_steps: of each.
        observe_every: steps from one call of the metric to the next.
        refit_every: steps from one fit of the function to the next.
        model: `ensemble` of five small networks, or `ridge`.
        value_weight: of its gradient beside that of the training loss, both of length 1.
        learning_rate: length of a guided step.
        batch: items of a batch.
    """

    trajectories: WholeField = Field(default=8, ge=1)
    trajectory_steps: WholeField = Field(default=30, ge=1)
    observe_every: WholeField = Field(default=5, ge=1)
    refit_every: WholeField = Field(default=10, ge=1)
    model: Literal["ensemble", "ridge"] = "ensemble"
    value_weight: NumberField = Field(default=0.5, ge=0)
    learning_rate: NumberField = Field(default=0.02, gt=0)
    batch: WholeField = Field(default=256, ge=2)


@final
class ValueGuided:
    """A step of a teaching run, or, after all of these, a step down the loss and up what was learned of the metric.

    Args:
        objective: the training loss, one value per item.
        settings: see `ValueSettings`.

    Reference:
        [huang2021metricopt]
    """

    def __init__(self, objective: Any, settings: ValueSettings) -> None:
        self.settings = settings
        self.ground = SearchGround(NAME, settings, WeighedLoss(objective))
        settled = math.ceil(settings.calls * settings.observe_every / settings.settle_every) + 1
        self.judge_calls = 1 + settings.calls + settled * BOOTSTRAP_CALLS

    def begin(self, run: MethodRun) -> None:
        """Group the items of fit; nothing is learned yet."""
        ground, settings = self.ground, self.settings
        ground.begin(run)
        self.length = min(settings.trajectory_steps, max(1, run.steps // (2 * settings.trajectories)))
        self.phi = ground.numbers.zero()
        self.best = ground.numbers.zero()
        self.paths: list[dict[str, list[Any]]] = []
        self.calls, self.start, self.best_value = 0, (math.nan, 0.0), -math.inf
        self.model: ValueModel | LocalRidge = LocalRidge(ground.radius)
        if settings.model == "ensemble":
            self.model = ValueModel(ground.radius, seed=run.seed)
        self.lesson: list[Tensor] = []

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Take a step of a teaching run, or a guided one; now and then observe, fit and settle.

        Raises:
            TrialFailed: the metric has no value at the present point.
            JudgeEnded: all calls are spent.
            Diverged: the training loss or its gradient is NaN or infinite.
        """
        ground, settings = self.ground, self.settings
        if self.calls >= settings.calls:
            raise JudgeEnded(f"all {settings.calls:,} calls of {NAME} are spent")
        number, place = divmod(ground.taken, self.length)
        teaching = number < settings.trajectories
        if (place == 0 and teaching) or ground.taken == settings.trajectories * self.length:
            self._begin_path(teaching)
        ground.taken += 1
        loss = self._move(number if teaching else None)
        self.paths[-1]["points"].append(self.phi.clone())
        if (len(self.paths[-1]["points"]) - 1) % settings.observe_every == 0:
            self._observe()
        if ground.due(ground.steps):
            ground.judged.settle(self.best if teaching else self.phi, settings.gate)
        return {"loss": loss, "taken_over": float(ground.judged.taken_over)}

    def _begin_path(self, teaching: bool) -> None:
        """Begin a run at the start; the guided one at the best point that was observed."""
        if not self.paths:
            self.start = self.ground.of_start()
        self.phi = self.ground.numbers.zero() if teaching else self.best.clone()
        of_start = [(0, *self.start)] if teaching else []
        self.paths.append({"points": [self.phi.clone()], "seen": of_start})

    def _move(self, number: int | None) -> float:
        """Take a step of length of the learning rate; returns the loss before it."""
        ground, rate, mixture = self.ground, self.settings.learning_rate, None
        if number is not None:
            mixture, rate = self._lesson(number)
        phi = self.phi.clone().requires_grad_()
        value = ground.value(phi, ground.batch(self.settings.batch), mixture)
        require_finite("the loss", value.item(), ground.taken)
        (down,) = torch.autograd.grad(value, [phi])
        require_finite("the norm of the gradient", float(down.norm()), ground.taken)
        if number is None and (not self.lesson or ground.taken % self.settings.refit_every == 0):
            self._fit()
        down = _unit(down) if number is not None or not self.lesson else self._guided(down)
        self.phi = within_radius(self.phi - rate * down, ground.radius)
        return float(value.detach())

    def _lesson(self, number: int) -> tuple[Float[Tensor, " term"], float]:
        """Return the weights of the terms, and the learning rate, of one of the runs that teach."""
        random = np.random.default_rng((self.ground.seed, number, *b"lesson"))
        assert self.ground.terms is not None
        plain = self.ground.terms.continuing()
        noise = torch.from_numpy(SPREAD * random.normal(size=len(plain)))
        rate = math.exp(random.uniform(math.log(RATES[0]), math.log(RATES[1])))
        return mixture_weights(plain + noise, clip=CLIP), rate

    def _guided(self, down: Float[Tensor, " number"]) -> Float[Tensor, " number"]:
        up = self.model.gradient(self.phi.double()).to(down)
        confidence = self.model.confidence(self.phi.double())
        return combined_direction(down, up, weight=self.settings.value_weight, confidence=confidence)

    def _fit(self) -> None:
        """Fit the function to all points of all runs, whose values lie between those that were observed."""
        points, values, variances = [], [], []
        for path in self.paths:
            if path["seen"]:
                times, seen, spread = torch.tensor(path["seen"], dtype=torch.float64).T
                query = torch.arange(len(path["points"]), dtype=torch.float64)
                found = interpolated_values(times, seen, spread, query)
                points += path["points"]
                values.append(found.values)
                variances.append(found.variances)
        if values:
            self._learn([torch.stack(points).double(), torch.cat(values), torch.cat(variances)])

    def _learn(self, lesson: list[Tensor]) -> None:
        self.lesson = lesson
        self.model.fit(*lesson)

    def _observe(self) -> None:
        self.calls += 1
        value, variance = self.ground.judged.observed(self.phi)
        self.paths[-1]["seen"].append((len(self.paths[-1]["points"]) - 1, value, variance))
        if value > self.best_value:
            self.best, self.best_value = self.phi.clone(), value

    def state_dict(self) -> dict[str, Any]:
        """Return the runs so far, the present point, and what the function was taught."""
        numbers = {name: getattr(self, name) for name in ("calls", "start", "best_value")}
        points = {"phi": self.phi, "best": self.best, "paths": self.paths, "lesson": self.lesson}
        return {"ground": self.ground.state_dict(), **numbers, **points}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.ground.load_state_dict(state["ground"])
        self.calls, self.best_value = state["calls"], state["best_value"]
        self.start = tuple(state["start"])
        self.phi, self.best = state["phi"].to(self.phi), state["best"].to(self.best)
        self.paths = [
            {"points": list(path["points"]), "seen": [(int(t), m, v) for t, m, v in path["seen"]]}
            for path in state["paths"]
        ]
        if state["lesson"]:
            self._learn(list(state["lesson"]))

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.ground.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.ground.load_beside(state)


def _unit(vector: Tensor) -> Tensor:
    length = float(vector.norm())
    return vector / length if length > 1e-12 else vector

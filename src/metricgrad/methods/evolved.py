"""Climb the metric itself by differences of its values: an evolution strategy over a few numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from metricgrad._documents import NumberField, WholeField
from metricgrad._types import MethodRun
from metricgrad.blackbox import (
    antithetic_directions,
    combined_direction,
    evolution_gradient,
    within_radius,
)
from metricgrad.errors import JudgeEnded, TrialFailed
from metricgrad.methods.descent import require_finite
from metricgrad.methods.gated import BOOTSTRAP_CALLS
from metricgrad.methods.search_ground import SearchGround, SearchSettings
from metricgrad.methods.weighed_loss import WeighedLoss

__all__ = ["EvolutionSettings", "Evolved"]

NAME = "blackbox:evolution"


class EvolutionSettings(SearchSettings):
    """How the metric is climbed by antithetic differences.

    Args:
        pairs: of points on both sides of the present one, a call each, for every step.
        sigma: standard deviation of the differences.
        learning_rate: length of a step.
        loss_weight: 0 follows the metric alone; above 0 the training loss leads, and the metric has this weight.
        shaping: of the values: `centered_rank`, `standardize` or `none`.
        batch: items of fit for the gradient of the training loss.
    """

    pairs: WholeField = Field(default=8, ge=1)
    sigma: NumberField = Field(default=0.1, gt=0)
    learning_rate: NumberField = Field(default=0.05, gt=0)
    loss_weight: NumberField = Field(default=0.0, ge=0)
    shaping: Literal["centered_rank", "standardize", "none"] = "centered_rank"
    batch: WholeField = Field(default=256, ge=2)


@final
class Evolved:
    """Pairs of calls on both sides of the present point, and a step along the difference, step after step.

    Args:
        objective: the training loss; None follows the metric alone.
        settings: see `EvolutionSettings`.

    Reference:
        [salimans2017evolution]
    """

    def __init__(self, objective: Any, settings: EvolutionSettings) -> None:
        self.settings = settings
        loss = None if objective is None or not settings.loss_weight else WeighedLoss(objective)
        self.ground = SearchGround(NAME, settings, loss)
        self.most_steps = max(1, settings.calls // (2 * settings.pairs))
        settled = math.ceil(self.most_steps / settings.settle_every) + 1
        self.judge_calls = self.most_steps * 2 * settings.pairs + settled * BOOTSTRAP_CALLS

    def begin(self, run: MethodRun) -> None:
        """Read the pool, and fit where its loss is followed, too."""
        self.ground.begin(run)
        self.phi = self.ground.numbers.zero()

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Measure the pairs and take a step; now and then settle. The batch is not read.

        Raises:
            TrialFailed: no pair has two values.
            JudgeEnded: all calls are spent.
            Diverged: the training loss or its gradient is NaN or infinite.
        """
        ground, settings = self.ground, self.settings
        if ground.taken >= self.most_steps:
            raise JudgeEnded(f"all {settings.calls:,} calls of {NAME} are spent")
        ground.taken += 1
        generator = torch.Generator().manual_seed(1_000_003 * ground.seed + ground.taken)
        directions = antithetic_directions(ground.numbers.size, settings.pairs, generator).to(self.phi)
        both = torch.tensor(
            [[self._value(self.phi + sign * settings.sigma * one) for one in directions] for sign in (1, -1)],
            dtype=torch.float64,
        )
        if not bool(both.isfinite().all(0).any()):
            raise TrialFailed("no pair of points has two values of the metric")
        climb = evolution_gradient(
            directions.double(), both[0], both[1], sigma=settings.sigma, shaping=settings.shaping
        ).to(self.phi)
        self.phi = within_radius(self.phi + settings.learning_rate * self._ahead(climb), ground.radius)
        if ground.due(self.most_steps):
            ground.judged.settle(self.phi, settings.gate)
        loss = -float(both[both.isfinite()].mean())
        return {"loss": loss, "taken_over": float(ground.judged.taken_over)}

    def _value(self, phi: Tensor) -> float:
        try:
            return self.ground.judged.value(phi)
        except TrialFailed:
            return math.nan

    def _ahead(self, climb: Tensor) -> Tensor:
        """Return the direction of the step, of length 1: up the metric, and down the training loss where it counts."""
        if self.ground.loss is None:
            length = float(climb.norm())
            return climb / length if length > 1e-12 else climb
        phi = self.phi.clone().requires_grad_()
        value = self.ground.value(phi, self.ground.batch(self.settings.batch))
        require_finite("the loss", value.item(), self.ground.taken)
        (down,) = torch.autograd.grad(value, [phi])
        require_finite("the norm of the gradient", float(down.norm()), self.ground.taken)
        return -combined_direction(down, climb, weight=self.settings.loss_weight)

    def state_dict(self) -> dict[str, Any]:
        """Return the present point and how many steps were taken."""
        return {"ground": self.ground.state_dict(), "phi": self.phi}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.ground.load_state_dict(state["ground"])
        self.phi = state["phi"].to(self.phi)

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.ground.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.ground.load_beside(state)

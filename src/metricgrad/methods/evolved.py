"""Climb the metric itself by differences of its values: an evolution strategy over a few numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from metricgrad._types import MethodRun
from metricgrad.blackbox import antithetic_directions, combined_direction, evolution_gradient, within_radius
from metricgrad.errors import JudgeEnded, TrialFailed
from metricgrad.methods.blackbox_settings import EvolutionSettings
from metricgrad.methods.few_numbers import FewNumbers
from metricgrad.methods.gated import BOOTSTRAP_CALLS, Judged
from metricgrad.methods.mixture_terms import batches_of, radius_for
from metricgrad.methods.objectives import Objective
from metricgrad.methods.weighed_loss import WeighedLoss

__all__ = ["Evolved"]

NAME = "blackbox:evolution"


@final
class Evolved:
    """Pairs of calls on both sides of the present point, and a step along the difference, step after step.

    Args:
        objective: the training loss; None follows the metric alone.
        settings: see `EvolutionSettings`.

    Reference:
        [salimans2017evolution]
    """

    def __init__(self, objective: Objective | None, settings: EvolutionSettings) -> None:
        follows = objective if settings.loss_weight else None
        self.loss = None if follows is None else WeighedLoss(NAME, follows)
        self.settings = settings
        self.most_steps = max(1, settings.calls // (2 * settings.pairs))
        settled = math.ceil(self.most_steps / settings.settle_every) + 1
        self.judge_calls = self.most_steps * 2 * settings.pairs + settled * BOOTSTRAP_CALLS

    def begin(self, run: MethodRun) -> None:
        """Read the pool, and fit where its loss is followed, too."""
        self.steps, self.taken, self.seed = run.steps, 0, run.seed
        self.numbers = FewNumbers(NAME, run, self.settings.adapter)
        assert run.fit is not None and run.pool is not None
        self.judged = Judged(run, self.numbers, self.numbers.read(run.pool))
        self.ranked = run.metric.unit == "query"
        self.fit = None
        if self.loss is not None:
            self.loss.begin(run, ranked=self.ranked)
            self.fit = self.numbers.read(run.fit)
        self.radius = self.settings.radius or radius_for(self.judged.pool.targets)
        self.phi = self.numbers.zero()

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Measure the pairs and take a step; now and then settle. The batch is not read.

        Raises:
            TrialFailed: no pair has two values.
            JudgeEnded: all calls are spent.
        """
        settings = self.settings
        if self.taken >= self.most_steps:
            raise JudgeEnded(f"all {settings.calls:,} calls of {NAME} are spent")
        self.taken += 1
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.taken)
        directions = antithetic_directions(self.numbers.size, settings.pairs, generator).to(self.phi)
        plus = [self._value(self.phi + settings.sigma * one) for one in directions]
        minus = [self._value(self.phi - settings.sigma * one) for one in directions]
        both = torch.tensor([plus, minus], dtype=torch.float64)
        if not bool(both.isfinite().all(0).any()):
            raise TrialFailed("no pair of points has two values of the metric")
        climb = evolution_gradient(
            directions.double(), both[0], both[1], sigma=settings.sigma, shaping=settings.shaping
        ).to(self.phi)
        self.phi = within_radius(self.phi + settings.learning_rate * self._ahead(climb), self.radius)
        if self.taken % settings.settle_every == 0 or self.taken in (self.most_steps, self.steps):
            self.judged.settle(self.phi, settings.gate)
        loss = -float(both[both.isfinite()].mean())
        return {"loss": loss, "taken_over": float(self.judged.taken_over)}

    def _value(self, phi: Tensor) -> float:
        try:
            return self.judged.value(phi)
        except TrialFailed:
            return math.nan

    def _ahead(self, climb: Tensor) -> Tensor:
        """Return the direction of the step, of length 1: up the metric, and down the training loss where it counts."""
        if self.fit is None or self.loss is None:
            length = float(climb.norm())
            return climb / length if length > 1e-12 else climb
        generator = torch.Generator().manual_seed(self.seed + self.taken)
        rows = batches_of(self.fit, size=self.settings.batch, ranked=self.ranked, generator=generator)[0]
        items = self.fit.of(rows)
        phi = self.phi.clone().requires_grad_()
        value = self.loss.mean(self.numbers.outputs(phi, items), items)
        (down,) = torch.autograd.grad(value, [phi])
        return -combined_direction(down, climb, weight=self.settings.loss_weight)

    def state_dict(self) -> dict[str, Any]:
        """Return the present point and how many steps were taken."""
        taken = {"taken": self.taken, "taken_over": self.judged.taken_over}
        return {**taken, "phi": self.phi, "beside": self.beside()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.taken, self.judged.taken_over = state["taken"], state["taken_over"]
        self.phi = state["phi"].to(self.phi)
        self.load_beside(state["beside"])

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return {} if self.loss is None else self.loss.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        if self.loss is not None:
            self.loss.load_beside(state)

"""Learn the metric as a function of a few numbers from runs of training, then follow it beside the training loss.

After MetricOpt, whose text was not at hand: this is a definition of this project and no reproduction.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._types import MethodRun
from metricgrad.blackbox import (
    LocalRidge,
    ValueModel,
    combined_direction,
    interpolated_values,
    mixture_weights,
    within_radius,
)
from metricgrad.errors import JudgeEnded, TrialFailed
from metricgrad.methods.blackbox_settings import ValueSettings
from metricgrad.methods.few_numbers import FewNumbers
from metricgrad.methods.gated import BOOTSTRAP_CALLS, Judged
from metricgrad.methods.mixture_terms import batches_of, radius_for, terms_of
from metricgrad.methods.objectives import Objective
from metricgrad.methods.weighed_loss import WeighedLoss

__all__ = ["ValueGuided"]

NAME = "blackbox:value_function"

RATES = (0.003, 0.03)
"""Smallest and largest learning rate of the runs that teach."""
SPREAD = 1.0
"""Standard deviation of the logarithms of the weights of terms in them."""
CLIP = 10.0
"""Largest logarithm of such a weight."""


@final
class ValueGuided:
    """A step of a teaching run, or, after all of these, a step down the loss and up what was learned of the metric.

    Args:
        objective: the training loss, one value per item.
        settings: see `ValueSettings`.

    Reference:
        [huang2021metricopt]
    """

    def __init__(self, objective: Objective, settings: ValueSettings) -> None:
        self.loss, self.settings = WeighedLoss(NAME, objective), settings
        settled = math.ceil(settings.calls / settings.settle_every) + 1
        self.judge_calls = 1 + settings.calls + settled * BOOTSTRAP_CALLS

    def begin(self, run: MethodRun) -> None:
        """Group the items of fit, and draw the runs that teach."""
        settings = self.settings
        self.steps, self.taken, self.seed = run.steps, 0, run.seed
        self.numbers = FewNumbers(NAME, run, settings.adapter)
        assert run.fit is not None and run.pool is not None
        self.ranked = run.metric.unit == "query"
        self.fit = self.numbers.read(run.fit)
        self.judged = Judged(run, self.numbers, self.numbers.read(run.pool))
        self.loss.begin(run, ranked=self.ranked)
        self.terms = terms_of(NAME, self.loss, self.numbers, self.fit)
        self.radius = settings.radius or radius_for(self.fit.targets)
        self.length = min(settings.trajectory_steps, max(1, run.steps // (2 * settings.trajectories)))
        self.phi = self.numbers.zero()
        self.best = self.numbers.zero()
        self.paths: list[dict[str, list[Any]]] = []
        self.calls, self.start, self.best_value = 0, (math.nan, 0.0), -math.inf
        self.model: ValueModel | LocalRidge = (
            ValueModel(self.radius, seed=run.seed)
            if settings.model == "ensemble"
            else LocalRidge(self.radius)
        )
        self.lesson: list[Tensor] = []

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Take a step of a teaching run, or a guided one; now and then observe, fit and settle.

        Raises:
            TrialFailed: the metric has no value at the present point.
            JudgeEnded: all calls are spent.
        """
        if self.calls >= self.settings.calls:
            raise JudgeEnded(f"all {self.settings.calls:,} calls of {NAME} are spent")
        number, place = divmod(self.taken, self.length)
        teaching = number < self.settings.trajectories
        if (place == 0 and teaching) or self.taken == self.settings.trajectories * self.length:
            self._begin_path(teaching)
        self.taken += 1
        loss = self._move(number if teaching else None)
        self.paths[-1]["points"].append(self.phi.clone())
        if (len(self.paths[-1]["points"]) - 1) % self.settings.observe_every == 0:
            self._observe()
        if self.taken % self.settings.settle_every == 0 or self.taken == self.steps:
            self._settle()
        return {"loss": loss, "taken_over": float(self.judged.taken_over)}

    def _begin_path(self, teaching: bool) -> None:
        """Begin a run at the start; the guided one at the best point that was observed."""
        if not self.paths:
            try:
                self.start = self.judged.observed(self.numbers.zero())
            except TrialFailed as error:
                raise JudgeEnded(f"the metric has no value for the model as it came: {error}") from error
        self.phi = self.numbers.zero() if teaching else self.best.clone()
        of_start = [(0, *self.start)] if teaching else []
        self.paths.append({"points": [self.phi.clone()], "seen": of_start})

    def _move(self, number: int | None) -> float:
        settings = self.settings
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.taken)
        rows = batches_of(self.fit, size=settings.batch, ranked=self.ranked, generator=generator)[0]
        items = self.fit.of(rows)
        phi = self.phi.clone().requires_grad_()
        outputs = self.numbers.outputs(phi, items)
        rate = settings.learning_rate
        if number is None:
            value = self.loss.mean(outputs, items)
            down = self._guided(torch.autograd.grad(value, [phi])[0])
        else:
            mixture, rate = self._lesson(number)
            value = self.terms.mixed(mixture, self.loss, outputs, items, rows)
            (down,) = torch.autograd.grad(value, [phi])
            length = float(down.norm())
            down = down / length if length > 1e-12 else down
        self.phi = within_radius(self.phi - rate * down, self.radius)
        return float(value.detach())

    def _lesson(self, number: int) -> tuple[Float[Tensor, " term"], float]:
        """Return the weights of the terms, and the learning rate, of one of the runs that teach."""
        random = np.random.default_rng((self.seed, number, *b"lesson"))
        plain = self.terms.continuing()
        noise = torch.from_numpy(SPREAD * random.normal(size=len(plain)))
        rate = math.exp(random.uniform(math.log(RATES[0]), math.log(RATES[1])))
        return mixture_weights(plain + noise, clip=CLIP), rate

    def _guided(self, down: Float[Tensor, " number"]) -> Float[Tensor, " number"]:
        if not self.lesson or self.taken % self.settings.refit_every == 0:
            self._fit()
        if not self.lesson:
            length = float(down.norm())
            return down / length if length > 1e-12 else down
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
        value, variance = self.judged.observed(self.phi)
        self.paths[-1]["seen"].append((len(self.paths[-1]["points"]) - 1, value, variance))
        if value > self.best_value:
            self.best, self.best_value = self.phi.clone(), value

    def _settle(self) -> None:
        """Give the network the present guided point, or the best of the runs that teach, where it passes the gate."""
        guided = self.taken > self.settings.trajectories * self.length
        self.judged.settle(self.phi if guided else self.best, self.settings.gate)

    def state_dict(self) -> dict[str, Any]:
        """Return the runs so far, the present point and the function."""
        numbers = {name: getattr(self, name) for name in ("taken", "calls", "start", "best_value")}
        points = {"phi": self.phi, "best": self.best, "paths": self.paths}
        more = {"lesson": self.lesson, "beside": self.beside(), "taken_over": self.judged.taken_over}
        return {**numbers, **points, **more}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.load_beside(state["beside"])
        self.judged.taken_over = state["taken_over"]
        for name in ("taken", "calls", "start", "best_value"):
            setattr(self, name, state[name])
        self.start = tuple(self.start)
        self.phi, self.best = state["phi"].to(self.phi), state["best"].to(self.best)
        self.paths = [
            {"points": list(path["points"]), "seen": [(int(t), m, v) for t, m, v in path["seen"]]}
            for path in state["paths"]
        ]
        if state["lesson"]:
            self._learn(list(state["lesson"]))

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.loss.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.loss.load_beside(state)

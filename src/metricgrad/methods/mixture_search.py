"""Search the weights of training losses: every candidate is trained for a few steps and measured on the pool.

It is loss-mixture search; its relatives are example weights searched for the metric, and adaptive surrogates.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._types import MethodRun
from metricgrad.blackbox import (
    OptunaProposer,
    as_numbers,
    default_sampler,
    elite_mean,
    mixture_weights,
    within_radius,
)
from metricgrad.errors import JudgeEnded, TrialFailed
from metricgrad.methods.blackbox_settings import MixtureSettings
from metricgrad.methods.few_numbers import FewNumbers, Items
from metricgrad.methods.gated import BOOTSTRAP_CALLS, Judged, halves
from metricgrad.methods.mixture_terms import batches_of, radius_for, terms_of
from metricgrad.methods.objectives import Objective
from metricgrad.methods.weighed_loss import WeighedLoss

__all__ = ["MixtureSearch"]

NAME = "blackbox:mixture"


@final
class MixtureSearch:
    """One candidate a step: weights of the terms, a few steps of training from the start, one call of the metric.

    The network is given the weights of the elite mean of all candidates so far, where it passes the gate.

    Args:
        objective: the training loss, one value per item.
        settings: see `MixtureSettings`.

    Reference:
        [zhao2019metric], [jiang2020optimizing]
    """

    def __init__(self, objective: Objective, settings: MixtureSettings) -> None:
        self.loss, self.settings = WeighedLoss(NAME, objective), settings
        settled = math.ceil(settings.calls / settings.settle_every) + 1
        self.judge_calls = 1 + settings.calls + settled * max(4, BOOTSTRAP_CALLS)

    def begin(self, run: MethodRun) -> None:
        """Group the items of fit into terms and make the proposers."""
        settings = self.settings
        self.steps, self.taken, self.seed = run.steps, 0, run.seed
        self.numbers = FewNumbers(NAME, run, settings.adapter)
        assert run.fit is not None and run.pool is not None
        self.ranked = run.metric.unit == "query"
        self.fit, pool = self.numbers.read(run.fit), self.numbers.read(run.pool)
        self.judged = Judged(run, self.numbers, pool)
        self.loss.begin(run, ranked=self.ranked)
        self.terms = terms_of(NAME, self.loss, self.numbers, self.fit)
        self._warn(len(pool))
        self.radius = settings.radius or radius_for(self.fit.targets)
        parts = halves(pool, by_class=self.ranked, seed=run.seed) if settings.gate == "cross_fit" else [pool]
        self.sides = [self._side(part, number) for number, part in enumerate(parts)]

    def _side(self, part: Items, number: int) -> "_Side":
        calls = self.settings.calls
        size = len(self.terms.counts)
        sampler = self.settings.sampler or default_sampler(size, calls)
        proposer = OptunaProposer(size, sampler, seed=1000 * self.seed + number)
        return _Side(part, proposer)

    def _warn(self, pool: int) -> None:
        terms, calls = len(self.terms.counts), self.settings.calls
        if terms > pool / 50 or calls > 5 * math.sqrt(pool):
            warnings.warn(
                f"{NAME} searches {terms} weights in {calls} calls on {pool} items of the pool; so few items "
                f"are easily fitted by chance (a rule of thumb: {max(1, pool // 50)} weights, "
                f"{int(5 * math.sqrt(pool))} calls)",
                stacklevel=2,
            )

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Train and measure one candidate; now and then settle. The batch is not read.

        Raises:
            TrialFailed: the metric has no value for the candidate; the search goes on without it.
            JudgeEnded: all calls are spent.
        """
        if self.taken == 0:
            self._start()
        if self.taken >= self.settings.calls:
            raise JudgeEnded(f"all {self.settings.calls:,} candidates of {NAME} are measured")
        side = self.sides[self.taken % len(self.sides)]
        self.taken += 1
        asked = side.proposer.ask()
        found = math.nan
        try:
            found = self.judged.value(self._trained(as_numbers(asked)), side.items)
        finally:
            side.told(asked, found)
        if self.taken % self.settings.settle_every == 0 or self.taken in (self.settings.calls, self.steps):
            self._settle()
        return {"loss": -found, "taken_over": float(self.judged.taken_over)}

    def _start(self) -> None:
        """Measure the start: a metric that has no value there never will have one that can be compared."""
        try:
            self.judged.value(self.numbers.zero())
        except TrialFailed as error:
            raise JudgeEnded(f"the metric has no value for the model as it came: {error}") from error
        for side in self.sides:
            for candidate in self.terms.first():
                side.proposer.enqueue(candidate.tolist())

    def _trained(self, a: Float[Tensor, " term"]) -> Float[Tensor, " number"]:
        """Return where a few steps of Adam lead from the start, on the same batches for all candidates."""
        settings = self.settings
        mixture = mixture_weights(a)
        phi = self.numbers.zero().requires_grad_()
        adam = torch.optim.Adam([phi], lr=settings.learning_rate)
        generator = torch.Generator().manual_seed(self.seed)
        rows: list[Tensor] = []
        for _ in range(settings.inner_steps):
            if not rows:
                rows = batches_of(self.fit, size=settings.batch, ranked=self.ranked, generator=generator)
            some = rows.pop()
            items = self.fit.of(some)
            value = self.terms.mixed(mixture, self.loss, self.numbers.outputs(phi, items), items, some)
            (adam.param_groups[0]["params"][0].grad,) = torch.autograd.grad(value, [phi])
            adam.step()
            with torch.no_grad():
                phi.copy_(within_radius(phi, self.radius))
        return phi.detach()

    def _settle(self) -> None:
        """Give the network the elite mean where it passes the gate, else the weights that it came with."""
        means = [side.elite() for side in self.sides]
        known = [mean for mean in means if mean is not None]
        if len(known) < len(self.sides):
            return
        gate = self.settings.gate
        phi = self._trained(torch.stack(known).mean(0))
        if gate == "cross_fit":
            self.judged.take(phi if self._crossed(known) else None)
        else:
            self.judged.settle(phi, gate)

    def _crossed(self, means: Sequence[Tensor]) -> bool:
        """Whether what each half found is better on the other half, in the mean."""
        gains = []
        try:
            for mean, other in zip(means, reversed(self.sides), strict=True):
                found = self.judged.value(self._trained(mean), other.items)
                gains.append(found - self.judged.value(self.numbers.zero(), other.items))
        except TrialFailed:
            return False
        return sum(gains) > 0

    def state_dict(self) -> dict[str, Any]:
        """Return the candidates with their values, and what the proposers depend on."""
        sides = [side.state() for side in self.sides]
        taken = {"taken": self.taken, "taken_over": self.judged.taken_over}
        return {**taken, "sides": sides, "beside": self.beside()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.taken, self.judged.taken_over = state["taken"], state["taken_over"]
        self.load_beside(state["beside"])
        for side, saved in zip(self.sides, state["sides"], strict=True):
            side.load(saved)

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.loss.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.loss.load_beside(state)


class _Side:
    """A search on some items of the pool: who proposes, and what was found."""

    def __init__(self, items: Items, proposer: OptunaProposer) -> None:
        self.items, self.proposer = items, proposer

    def told(self, asked: dict[str, float], value: float) -> None:
        self.proposer.tell(asked, value)

    def elite(self) -> Float[Tensor, " term"] | None:
        candidates, values = self.proposer.observed()
        return elite_mean(candidates, values) if bool(values.isfinite().any()) else None

    def state(self) -> dict[str, Any]:
        return self.proposer.state_dict()

    def load(self, saved: Mapping[str, Any]) -> None:
        self.proposer.load_state_dict(saved)

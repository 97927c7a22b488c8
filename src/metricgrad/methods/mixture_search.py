"""Search the weights of training losses: every candidate is trained for a few steps and measured on the pool.

It is loss-mixture search; its relatives are example weights searched for the metric, and adaptive surrogates.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from metricgrad._documents import NumberField, WholeField
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
from metricgrad.methods.few_numbers import Items
from metricgrad.methods.gated import BOOTSTRAP_CALLS, Gate, halves
from metricgrad.methods.search_ground import SearchGround, SearchSettings
from metricgrad.methods.weighed_loss import WeighedLoss

__all__ = ["MixtureSearch", "MixtureSettings"]

NAME = "blackbox:mixture"


class MixtureSettings(SearchSettings):
    """How weights of training losses are searched.

    Args:
        calls: candidates that are trained and measured.
        gate: also `cross_fit`: two searches, each on a half of the pool; the mean of both is taken over where each is
            better on the half that it did not see, in the mean.
        sampler: `gp` up to 150 calls and `cmaes` beyond (None), `tpe`, or `random`, the control.
        inner_steps: of Adam, for every candidate, all on the same batches.
        learning_rate: of these steps.
        batch: items of a batch.
    """

    calls: WholeField = Field(default=100, ge=1)
    gate: Gate | Literal["cross_fit"] = "cross_fit"  # pyright: ignore[reportIncompatibleVariableOverride]
    sampler: Literal["gp", "cmaes", "tpe", "random"] | None = None
    inner_steps: WholeField = Field(default=30, ge=1)
    learning_rate: NumberField = Field(default=1e-2, gt=0)
    batch: WholeField = Field(default=256, ge=2)


@final
class MixtureSearch:
    """One candidate a step: weights of the terms, a few steps of training from the start, one call of the metric.

    The network is given the weights of the elite mean of all candidates so far, where it passes the gate.

    Args:
        objective: the training loss.
        settings: see `MixtureSettings`.

    Reference:
        [zhao2019mowe], [jiang2020adaptive]
    """

    def __init__(self, objective: Any, settings: MixtureSettings) -> None:
        self.settings = settings
        self.ground = SearchGround(NAME, settings, WeighedLoss(objective))
        settled = math.ceil(settings.calls / settings.settle_every) + 1
        self.judge_calls = 1 + settings.calls + settled * max(4, BOOTSTRAP_CALLS)

    def begin(self, run: MethodRun) -> None:
        """Group the items of fit into terms and make the proposers."""
        self.ground.begin(run)
        pool, crossed = self.ground.judged.pool, self.settings.gate == "cross_fit"
        self._warn(len(pool))
        parts = halves(pool, by_class=self.ground.ranked, seed=run.seed) if crossed else [pool]
        assert self.ground.terms is not None
        size, clip = self._terms(), self.ground.terms.clip
        sampler = self.settings.sampler or default_sampler(size, self.settings.calls)
        seeds = [1000 * run.seed + number for number in range(len(parts))]
        self.sides = [
            _Side(part, OptunaProposer(size, sampler, seed=seed, clip=clip))
            for part, seed in zip(parts, seeds, strict=True)
        ]

    def _terms(self) -> int:
        assert self.ground.terms is not None
        return len(self.ground.terms.counts)

    def _warn(self, pool: int) -> None:
        terms, calls = self._terms(), self.settings.calls
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
        ground, calls = self.ground, self.settings.calls
        if ground.taken == 0:
            self._start()
        if ground.taken >= calls:
            raise JudgeEnded(f"all {calls:,} candidates of {NAME} are measured")
        side = self.sides[ground.taken % len(self.sides)]
        ground.taken += 1
        asked = side.proposer.ask()
        found = math.nan
        try:
            found = ground.judged.value(self.trained(as_numbers(asked)), side.items)
        finally:
            side.proposer.tell(asked, found)
        if ground.due(calls):
            self._settle()
        return {"loss": -found, "taken_over": float(ground.judged.taken_over)}

    def _start(self) -> None:
        """Measure the start, and queue the candidates that come before any that is proposed."""
        self.ground.of_start()
        assert self.ground.terms is not None
        for side in self.sides:
            for candidate in self.ground.terms.first():
                side.proposer.enqueue(candidate.tolist())

    def trained(self, a: Float[Tensor, " term"]) -> Float[Tensor, " number"]:
        """Return where a few steps of Adam lead from the start, on the same batches for all candidates."""
        ground, settings = self.ground, self.settings
        assert ground.terms is not None
        mixture = mixture_weights(a, clip=ground.terms.clip)
        phi = ground.numbers.zero().requires_grad_()
        adam = torch.optim.Adam([phi], lr=settings.learning_rate)
        batches = ground.batches(settings.batch, ground.seed)
        for step in range(settings.inner_steps):
            value = ground.value(phi, batches[step % len(batches)], mixture)
            (phi.grad,) = torch.autograd.grad(value, [phi])
            adam.step()
            with torch.no_grad():
                phi.copy_(within_radius(phi, ground.radius))
        return phi.detach()

    def _settle(self) -> None:
        """Give the network the elite mean where it passes the gate, else the weights that it came with."""
        means = [side.elite() for side in self.sides]
        known = [mean for mean in means if mean is not None]
        if len(known) < len(self.sides):
            return
        gate = self.settings.gate
        phi = self.trained(torch.stack(known).mean(0))
        if gate == "cross_fit":
            self.ground.judged.take(phi if self._crossed(known) else None)
        else:
            self.ground.judged.settle(phi, gate)

    def _crossed(self, means: Sequence[Tensor]) -> bool:
        """Whether what each half found is better on the other half, in the mean."""
        gains = []
        try:
            for mean, other in zip(means, reversed(self.sides), strict=True):
                found = self.ground.judged.value(self.trained(mean), other.items)
                gains.append(found - self.ground.judged.value(self.ground.numbers.zero(), other.items))
        except TrialFailed:
            return False
        return sum(gains) > 0

    def state_dict(self) -> dict[str, Any]:
        """Return the candidates with their values, and what the proposers depend on."""
        sides = [side.proposer.state_dict() for side in self.sides]
        return {"ground": self.ground.state_dict(), "sides": sides}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.ground.load_state_dict(state["ground"])
        for side, saved in zip(self.sides, state["sides"], strict=True):
            side.proposer.load_state_dict(saved)

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.ground.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.ground.load_beside(state)


class _Side:
    """A search on some items of the pool: who proposes, and the mean of the best that was found."""

    def __init__(self, items: Items, proposer: OptunaProposer) -> None:
        self.items, self.proposer = items, proposer

    def elite(self) -> Float[Tensor, " term"] | None:
        candidates, values = self.proposer.observed()
        return elite_mean(candidates, values) if bool(values.isfinite().any()) else None

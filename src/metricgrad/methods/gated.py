"""What a black-box method has found is taken over only where the pool shows it to be better than the start."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._labels import number_labels
from metricgrad._resampling import resampled
from metricgrad._types import Judging, MethodRun
from metricgrad.blackbox import paired_bootstrap
from metricgrad.errors import TrialFailed
from metricgrad.methods.few_numbers import FewNumbers, Items

__all__ = ["BOOTSTRAP_CALLS", "Gate", "Judged", "halves"]

Gate = Literal["bootstrap", "none"]

RESAMPLES, ALPHA = 1000, 0.05
FEWER_RESAMPLES = 200
"""Of a metric that is a function of the user."""
FEW_RESAMPLES = 100
"""For a variance."""
BOOTSTRAP_CALLS = 2
"""Of the metric, for one decision of the gate: the resamples are drawn from what these two calls measured."""


class Judged:
    """The metric of a vector phi on the pool, turned so that higher is better, and the gate.

    Args:
        run: what the method was given; it has a judge.
        numbers: the network as a function of phi.
        pool: items of the pool.

    Attributes:
        taken_over: whether the network has weights that were found, not those that it came with.
    """

    def __init__(self, run: MethodRun, numbers: FewNumbers, pool: Items) -> None:
        assert run.judge is not None
        self.judge: Judging = run.judge
        self.numbers, self.pool, self.metric, self.seed = numbers, pool, run.metric, run.seed
        self.ours = run.metric.function is not None
        self.taken_over = False
        self.sign = 1.0 if run.metric.higher_is_better else -1.0

    def value(self, phi: Float[Tensor, " number"], items: Items | None = None) -> float:
        """Return the metric at phi, of some items of the pool or of all; the judge counts.

        Raises:
            TrialFailed: there is no value.
            JudgeEnded: the budget is spent.
        """
        items = self.pool if items is None else items
        with torch.no_grad():
            return self.sign * self.judge(self.numbers.outputs(phi, items), items.targets)

    def observed(self, phi: Float[Tensor, " number"]) -> tuple[float, float]:
        """Return the metric at phi and the variance of it over resamples of the pool, of one call.

        The variance is 0 where a resample would be a call of a function of the user.

        Raises:
            TrialFailed: there is no value.
            JudgeEnded: the budget is spent.
        """
        with torch.no_grad():
            found, value = self.judge.measured(self.numbers.outputs(phi, self.pool), self.pool.targets)
        if not self.ours:
            return self.sign * value, 0.0
        drawn = resampled(
            "blackbox",
            {"point": [found]},
            self.metric.summarise,
            groups=None,
            resamples=FEW_RESAMPLES,
            seed=self.seed,
        ).drawn
        return self.sign * value, float(drawn.var()) if len(drawn) else 0.0

    def passes(self, phi: Float[Tensor, " number"], gate: Gate) -> bool:
        """Whether phi is better than the start: its value on the pool, and by the bootstrap beyond chance.

        Where the metric takes the set as a whole there are no units to draw: the value alone decides. A function of the
        user is called for every resample: these are fewer, and no trials.
        """
        if gate == "none":
            return True
        found = []
        with torch.no_grad():
            for point in (phi, self.numbers.zero()):
                found.append(self.judge.measured(self.numbers.outputs(point, self.pool), self.pool.targets))
        (ours, value), (start, before) = found
        if not self.sign * (value - before) > 0 or self.metric.unit == "whole":
            return self.sign * (value - before) > 0
        return paired_bootstrap(
            ours,
            start,
            self.metric.summarise,
            resamples=RESAMPLES if self.ours else FEWER_RESAMPLES,
            alpha=ALPHA,
            seed=self.seed,
            maximize=self.metric.higher_is_better,
        ).accept

    def settle(self, phi: Float[Tensor, " number"], gate: Gate) -> bool:
        """Give the network the weights of phi where it passes the gate, else those that it came with."""
        try:
            passed = self.passes(phi, gate)
        except TrialFailed:
            passed = False
        self.take(phi if passed else None)
        return passed

    def take(self, phi: Float[Tensor, " number"] | None) -> None:
        """Give the network the weights of phi; None gives it those that it came with."""
        self.taken_over = phi is not None
        self.numbers.write(self.numbers.zero() if phi is None else phi)


def halves(pool: Items, *, by_class: bool, seed: int) -> Sequence[Items]:
    """Divide the pool in two, by whole classes where items are ranked against each other."""
    generator = torch.Generator().manual_seed(seed)
    size = len(pool)
    unit = torch.arange(size)
    if by_class:
        unit = number_labels("pool", {"targets": pool.targets}, device="cpu").codes[0]
    order = torch.randperm(int(unit.max()) + 1, generator=generator)
    first = order[unit] % 2 == 0
    return [pool.of(part.nonzero().flatten().to(pool.given.device)) for part in (first, ~first)]

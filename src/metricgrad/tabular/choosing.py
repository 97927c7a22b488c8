"""What may be returned: arms with their rule and with argmax, judged by decisions of rules of the other half.

The portfolio of networks is that of `tune`: the best candidate where it is surely better than the start with its rule,
else that start. Boosted trees with the same kind of rule are a control: where they are better on select than what the
portfolio returns, they are what should be used.

Why on select and not on the pool: the models of the folds have less time and fewer rows, and a network suffers more
from that than trees do. Select is predicted by the models that would be used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad.decision import Fitted, fit_rule
from metricgrad.differences import Differences
from metricgrad.metrics.command import program_of
from metricgrad.tabular.job import Job
from metricgrad.tabular.models import TREES, Models, States
from metricgrad.tabular.training import BALANCED, CONTINUED, SOFT, START, WEIGHTED
from metricgrad.tune.weights import averaged

__all__ = ["Chosen", "Offer", "chosen_of", "offers_of"]

QUANTILE = 0.1
"""Of the paired bootstrap of the gain over the start with its rule: it must be above 0."""
NAMES = {
    START: "network",
    CONTINUED: "network, trained on",
    WEIGHTED: "class weights",
    BALANCED: "balanced softmax",
    SOFT: "soft metric",
    TREES: "boosted trees",
}


@dataclass(frozen=True)
class Offer:
    """A way to decide.

    Attributes:
        name: of the line in the leaderboard.
        arms: whose weights, or the mean of whose weights.
        fitted: the rule, and its decisions of the pool; of argmax the plain one.
        ruled: whether a rule was fitted.
        statistics: of the decisions of the pool, by rules that were fitted on the other half.
        value: of the metric for them.
        states: weights of a mean; None where they are those of the arm.
    """

    name: str
    arms: tuple[str, ...]
    fitted: Fitted
    ruled: bool
    statistics: Tensor
    value: float
    states: States | None = None

    @property
    def trees(self) -> bool:
        """Whether it is boosted trees."""
        return self.arms == (TREES,)

    @property
    def control(self) -> bool:
        """Whether it is what a method has to beat: class weights or trees, with the rule."""
        return self.ruled and self.arms in ((TREES,), (WEIGHTED,))


@dataclass(frozen=True)
class Chosen:
    """What the pool chooses.

    Attributes:
        network: the best of the networks that passes the gate.
        used: that, or the boosted trees.
        told: why, in one or two sentences.
        gain: of the best network over the start with its rule, on the pool; None where no candidate is better.
        low: the 10 % quantile of that gain; None where there is none.
    """

    network: Offer
    used: Offer
    told: str
    gain: float | None
    low: float | None


def offers_of(models: Models, arms: Sequence[str]) -> list[Offer]:
    """Judge every arm with its rule and with argmax, and the greedy mean of the weights of networks.

    No mean is tried where the metric is a program: each would run it for a rule of its own.

    Args:
        models: that were trained.
        arms: their names, the start first.

    Returns:
        The start with argmax, the start with its rule, then the others.
    """
    found: list[Offer] = []
    for arm in arms:
        scores = models.pooled(arm)
        found += [
            _offer(models.job, NAMES[arm], (arm,), scores, ruled=ruled)
            for ruled in (False, True)
            if ruled or arm != CONTINUED
        ]
    if program_of(models.job.metric) is not None:
        return found
    ruled = [one for one in found if one.ruled and not one.trees]
    mean = _mean(models, ruled)
    return found if mean is None else [*found, mean]


def _offer(
    job: Job,
    name: str,
    arms: tuple[str, ...],
    scores: Float64[np.ndarray, "row class"],
    *,
    ruled: bool,
    states: States | None = None,
) -> Offer:
    """Scores of the pool with a rule or with argmax."""
    pool = job.pool
    y = torch.from_numpy(job.y[pool])
    groups: Any = job.grouping(pool).labels
    rule = "auto" if ruled else "argmax"
    fitted = fit_rule(torch.from_numpy(scores), y, job.metric, rule, inputs="probabilities", groups=groups)
    fitted.rule.class_names = job.classes
    statistics = job.metric.measure(fitted.decisions, y)
    value = float(job.metric.summarise(statistics))
    how = "rule" if ruled else "argmax"
    return Offer(
        f"{name} + {how}" if ruled else f"{name}, {how}", arms, fitted, ruled, statistics, value, states
    )


def _mean(models: Models, offers: Sequence[Offer]) -> Offer | None:
    """The greedy mean of weights: from the best on, each is taken in that makes it better. None of one alone."""
    job = models.job
    ranked = sorted(offers, key=lambda one: -signed(job, one.value))
    best, taken = ranked[0], [ranked[0]]
    for one in ranked[1:]:
        arms = tuple(part.arms[0] for part in (*taken, one))
        states: States = [
            averaged(list(of)) for of in zip(*(models.states(arm) for arm in arms), strict=True)
        ]
        name = f"mean of {', '.join(NAMES[arm] if arm != CONTINUED else 'trained on' for arm in arms)}"
        mixed = _offer(job, name, arms, models.pooled(START, states), ruled=True, states=states)
        if signed(job, mixed.value) > signed(job, best.value):
            best, taken = mixed, [*taken, one]
    return best if len(taken) > 1 else None


def signed(job: Job, value: float) -> float:
    """A value of which more is better; the least possible one for NaN."""
    return -float("inf") if value != value else value if job.metric.higher_is_better else -value


def chosen_of(job: Job, offers: Sequence[Offer], resamples: int) -> Chosen:
    """Choose among networks by the gate, then between the one chosen and the boosted trees with their rule, on select.

    Args:
        job: what is learned.
        offers: the start with argmax first, with its rule second.
        resamples: of the paired bootstrap.
    """
    networks = [one for one in offers if not one.trees and one is not offers[0]]
    start, best = networks[0], max(networks, key=lambda one: signed(job, one.value))
    gain, low, network = None, None, start
    told = f"No network is better than {start.name} ({start.value:.4f} on the pool)."
    if best is not start:
        gain, low = _gain(job, best, start, resamples)
        network = best if low is not None and low > 0 else start
        quantile = "no quantile can be given" if low is None else f"10 % quantile {low:+.4f}"
        passed = "it is taken" if network is best else f"{start.name} is kept"
        told = f"Best network on the pool: {best.name}, {gain:+.4f} over {start.name}, {quantile}: {passed}."
    trees = [one for one in offers if one.trees and one.ruled]
    if not trees:
        return Chosen(network, network, told, gain, low)
    theirs, ours = (_on_select(job, one) for one in (trees[0], network))
    better = signed(job, theirs) > signed(job, ours)
    told += (
        f" On select, predicted by the models that would be used: {trees[0].name} {theirs:.4f}, {network.name} "
        f"{ours:.4f}."
    )
    return Chosen(network, trees[0] if better else network, told, gain, low)


def _on_select(job: Job, offer: Offer) -> float:
    """The metric on the rows of select: those of the pool that the model of all of fit predicts."""
    first = len(job.parts.fit)
    y = torch.from_numpy(job.y[job.parts.select])
    return float(job.metric.summarise(job.metric.measure(offer.fitted.decisions[first:], y)))


def _gain(job: Job, best: Offer, start: Offer, resamples: int) -> tuple[float, float | None]:
    """The gain over the start with its rule, higher is better, and its 10 % quantile."""
    sign = 1.0 if job.metric.higher_is_better else -1.0
    tables = {"start": [start.statistics], "best": [best.statistics]}
    compared = Differences(
        job.metric, tables, job.grouping(job.pool), resamples, confidence=1 - 2 * QUANTILE, seed=job.seed
    )
    found = compared.interval({"best": sign, "start": -sign})
    return found.value, None if compared.doubt else found.low

"""A portfolio: for every seed the best of arms that were trained, by a rule or by argmax, or a mean of their weights.

`method="auto"` is one where the metric reads decided classes and the network gives scores [sample, class].

Candidates: the start; the control that trains on; balanced softmax; the metric's soft form, which is `soft_confusion`
where it has a formula of the confusion table, else `slope`; a greedy mean of the weights of these. Each decides by its
rule, and one that was trained for its loss is also judged with argmax.

Choice: all candidates are judged on select, by decisions of rules that were fitted on the other half. The best one is
returned where it is surely better than the start with its rule: the 10 % quantile of the paired bootstrap lies above 0.
Else the start with its rule is returned.

Claim: the gain on test is that over the best control. Controls are the start, the arm that trains on and class-weighted
cross-entropy, each with its rule; select says which of them is the best.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from metricgrad._decision_records import Candidate, Picked
from metricgrad._side_records import Fall
from metricgrad.decision import Fitted
from metricgrad.differences import Differences
from metricgrad.tune.arms import Arm
from metricgrad.tune.deciding import ARGMAX
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.finalists import Finalists
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.setup import Setup
from metricgrad.tune.weights import averaged, load_into

__all__ = ["Portfolio", "told_of_picks"]

QUANTILE = 0.1
"""Of the paired bootstrap of the gain over the start: it must be above 0."""


@dataclass(frozen=True)
class _Offer:
    """A candidate: weights, how they decide, and what select says of that."""

    arms: tuple[str, ...]
    weights: Mapping[str, Any]
    fitted: Fitted | None
    statistics: Tensor
    value: float

    @property
    def rule(self) -> str:
        return ARGMAX if self.fitted is None else self.fitted.rule.name

    @property
    def name(self) -> str:
        arms = self.arms[0] if len(self.arms) == 1 else f"mean of {' and '.join(self.arms)}"
        return f"{arms} with {self.rule}"


class Portfolio:
    """Chooses for the arms that train nothing.

    Args:
        setup: of the run.
        finalists: the models that stand for the trained arms.
        evaluator: measures, and counts.
        resamples: number of draws.
    """

    def __init__(self, setup: Setup, finalists: Finalists, evaluator: Evaluator, resamples: int) -> None:
        self.setup, self.finalists, self.evaluator, self.resamples = setup, finalists, evaluator, resamples

    def pick(
        self,
        seed: int,
        arm: Arm,
        held: Collection[tuple[int, str]],
        falls_of: Callable[[int, str], Sequence[Fall]],
    ) -> tuple[Picked, float, Sequence[Fall]]:
        """Choose for one seed, and make the choice the finalist of the arm.

        Args:
            seed: of the run.
            arm: the portfolio.
            held: seed and arm of models that a side metric holds back: they are no candidates.
            falls_of: how far the finalist of an arm falls in the side metrics; one that is held back is not chosen.

        Returns:
            What was chosen and why, its value on select, and its falls.
        """
        offers = self._offers_of_all(seed, arm, held)
        while True:
            chosen, picked = self._gated(seed, arm, offers)
            self.finalists.install(seed, arm.name, chosen.weights, chosen.fitted)
            falls = falls_of(seed, arm.name)
            if chosen is offers[0] or not any(fall.held_back for fall in falls):
                return picked, chosen.value, falls
            offers.remove(chosen)

    def _offers_of_all(self, seed: int, arm: Arm, held: Collection[tuple[int, str]]) -> list[_Offer]:
        """Every candidate, the start with its rule first."""
        roles = {one.name: one.role for one in self.setup.every_arm}
        found = []
        for member in arm.members:
            if (seed, member) not in held:
                raw = roles[member] in ("candidate", "contender")
                found.append(self._offers(seed, (member,), self.finalists.weights(seed, member), raw=raw))
        mean = self._mean(seed, [offers[0] for offers in found])
        return [one for offers in found for one in offers] + ([] if mean is None else [mean])

    def _offers(
        self, seed: int, arms: tuple[str, ...], weights: Mapping[str, Any], *, raw: bool = False
    ) -> list[_Offer]:
        """The weights with their rule and, where that is asked for and something else, with argmax."""
        model = self.setup.build(seed)
        load_into(model, weights)
        found = self.evaluator.outputs(model.eval(), self.setup.splits.select)
        fitted, deciding = self.evaluator.fitted(found), self.evaluator.deciding
        ways = [fitted]
        if raw and deciding is not None and fitted is not None and fitted.rule.name != ARGMAX:
            ways.append(deciding.argmax(found))
        offers = []
        for way in ways:
            decided = found if way is None else found._replace(decided=way.decisions)
            statistics = self.evaluator.measured(decided, "select")
            value = self.evaluator.summarised(statistics)
            offers.append(_Offer(arms, weights, way, statistics, value))
        return offers

    def _mean(self, seed: int, offers: Sequence[_Offer]) -> _Offer | None:
        """The greedy mean of weights: from the best on, each is taken in that makes it better. None of one alone."""
        ranked = list(offers)
        ranked.sort(key=lambda one: -self._signed(one.value))
        best, taken = ranked[0], [ranked[0]]
        for one in ranked[1:]:
            arms = tuple(part.arms[0] for part in (*taken, one))
            mixed = self._offers(seed, arms, averaged([part.weights for part in (*taken, one)]))[0]
            if self.evaluator.better(mixed.value, best.value):
                best, taken = mixed, [*taken, one]
        return best if len(taken) > 1 else None

    def _signed(self, value: float) -> float:
        """A value of which more is better; the least possible one for NaN."""
        return -float("inf") if value != value else value if self.setup.metric.higher_is_better else -value

    def _gated(self, seed: int, arm: Arm, offers: Sequence[_Offer]) -> tuple[_Offer, Picked]:
        """The best candidate where it is surely better than the start, else the start."""
        start, best = offers[0], max(offers, key=lambda one: self._signed(one.value))
        gain, low = None, None
        if best is not start:
            sign = 1.0 if self.setup.metric.higher_is_better else -1.0
            tables = {"start": [start.statistics], "best": [best.statistics]}
            grouping = grouping_of("select", self.setup.splits, self.setup.metric)
            compared = Differences(
                self.setup.metric, tables, grouping, self.resamples, confidence=1 - 2 * QUANTILE
            )
            found = compared.interval({"best": sign, "start": -sign})
            gain, low = found.value, None if compared.doubt else found.low
        chosen = best if low is not None and low > 0 else start
        candidates = [Candidate(one.name, list(one.arms), one.rule, one.value) for one in offers]
        told = _told(seed, arm.name, chosen.name, best, gain, low, offers)
        return chosen, Picked(seed, arm.name, chosen.name, best.name, gain, low, told, candidates)


def told_of_picks(picks: Sequence[Picked]) -> list[str]:
    """One sentence for each portfolio: what it returned for which seed, and by which rule."""
    sentences = []
    for arm in dict.fromkeys(pick.arm for pick in picks):
        seeds: dict[str, list[str]] = {}
        for pick in picks:
            if pick.arm == arm:
                seeds.setdefault(pick.returned, []).append(str(pick.seed))
        returned = "; ".join(f"{name} (seed {', '.join(of)})" for name, of in seeds.items())
        sentences.append(
            f"{arm} returns {returned}: the best candidate by select where the 10 % quantile of its gain over the "
            "start with its rule is above 0, else that start"
        )
    return sentences


def _told(
    seed: int,
    arm: str,
    chosen: str,
    best: _Offer,
    gain: float | None,
    low: float | None,
    offers: Sequence[_Offer],
) -> str:
    """What was tried, and why that was returned."""
    over = "" if gain is None else f"{gain:+.4f} over the start with its rule"
    quantile = (
        "no interval can be given" if low is None else f"10 % quantile of the paired bootstrap {low:+.4f}"
    )
    if gain is None:
        why = "no candidate is better"
    elif chosen == best.name:
        why = f"{over}, {quantile}"
    else:
        why = f"{best.name} is best, {over}, but {quantile}"
    tried = ", ".join(f"{one.name} {one.value:.4f}" for one in offers)
    return f"seed {seed}: {arm} returns {chosen}, by select: {why}. Tried: {tried}"

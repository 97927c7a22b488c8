"""The one reading of test: every line of the leaderboard, the gain of what is used, tables, the other usual metrics."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from metricgrad.decision import Rule
from metricgrad.decision.other_metrics import other_metrics
from metricgrad.decision.rule import table_of
from metricgrad.differences import Differences
from metricgrad.tabular.choosing import Chosen, Offer
from metricgrad.tabular.job import WHOLE
from metricgrad.tabular.models import Models

__all__ = ["Gain", "Judged", "Line", "judged"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Line:
    """A line of the leaderboard.

    Attributes:
        name: what decides.
        rule: the name of its rule.
        pool: the metric on the pool, by rules of the other half.
        test: the metric on test.
        low: of its interval; None where none can be given.
        high: of its interval.
        used: whether it is what to use.
    """

    name: str
    rule: str
    pool: float
    test: float
    low: float | None
    high: float | None
    used: bool


@dataclass(frozen=True)
class Gain:
    """What is used minus another line, on test.

    Attributes:
        over: that line.
        value: the difference, in the metric's own direction.
        low: of its interval; None where none can be given.
        high: of its interval.
        claim: `gain`, `worse`, `no evidence` or `nothing claimed`.
    """

    over: str
    value: float
    low: float | None
    high: float | None
    claim: str


@dataclass(frozen=True)
class Judged:
    """What test says.

    Attributes:
        lines: of the leaderboard.
        gains: of what is used over the network with argmax and with its rule, over class weights and trees with theirs.
        doubt: why nothing is claimed; empty where something may be.
        tables: confusion tables [true][predicted] by the name of the line: with argmax, and of what is used.
        others: the other usual metrics of these two.
    """

    lines: list[Line]
    gains: list[Gain]
    doubt: str
    tables: dict[str, list[list[int]]]
    others: list[dict[str, Any]]

    @property
    def facts(self) -> dict[str, Any]:
        """Everything as plain values."""
        return asdict(self)


def judged(models: Models, offers: Sequence[Offer], chosen: Chosen, resamples: int) -> Judged:
    """Decide the rows of test in every way that is there, and compare.

    Args:
        models: of the run.
        offers: the network with argmax first, with its rule second.
        chosen: what select chose.
        resamples: of the intervals.
    """
    job = models.job
    test = job.parts.test
    y = torch.from_numpy(job.y[test])
    scores: dict[tuple[str, ...], Tensor] = {}
    decided: dict[str, Tensor] = {}
    for offer in offers:
        if offer.arms not in scores:
            scores[offer.arms] = _scores(models, offer)
        rule: Rule = offer.fitted.rule
        decided[offer.name] = rule.decide(scores[offer.arms])
    compared = Differences(
        job.metric,
        {name: [job.metric.measure(one, y)] for name, one in decided.items()},
        job.grouping(test),
        resamples,
        confidence=CONFIDENCE,
        seed=job.seed,
    )
    lines = [_line(compared, offer, used=offer is chosen.used) for offer in offers]
    others = [offers[0], offers[1], *(one for one in offers if one.control)]
    beside = [one.name for one in others if one is not chosen.used]
    gains = [_gain(compared, chosen.used.name, name) for name in beside]
    count = len(job.classes)
    tables = {name: table_of(decided[name], y, count) for name in (offers[0].name, chosen.used.name)}
    first, second = (tables[name] for name in (offers[0].name, chosen.used.name))
    return Judged(
        lines,
        gains,
        compared.doubt or "",
        {name: table.long().tolist() for name, table in tables.items()},
        other_metrics(first, second, positive=job.positive is not None),
    )


def _scores(models: Models, offer: Offer) -> Tensor:
    """Probabilities of the rows of test, by the model that learned from all of fit."""
    job = models.job
    test = job.parts.test
    if offer.trees:
        return torch.from_numpy(models.forest(WHOLE).probabilities(job.columns.x[test]))
    states = models.states(offer.arms[0]) if offer.states is None else offer.states
    return torch.from_numpy(models.probabilities(states[WHOLE], test))


def _line(compared: Differences, offer: Offer, *, used: bool) -> Line:
    """One line, with its interval."""
    own = compared.interval({offer.name: 1.0})
    return Line(offer.name, offer.fitted.rule.name, offer.value, own.value, own.low, own.high, used)


def _gain(compared: Differences, used: str, over: str) -> Gain:
    """What is used beside another line."""
    (found,) = [one for one in compared.against(over, [used]) if one.arm == used]
    interval = found.interval
    return Gain(over, interval.value, interval.low, interval.high, found.claim)

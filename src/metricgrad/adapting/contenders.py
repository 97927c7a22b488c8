"""Who trains on from the best closed form: the control and the contenders, each with a grid of as many settings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metricgrad._records import CONTROL
from metricgrad._types import Metric
from metricgrad.tune import Contender
from metricgrad.tune.arms import PROXY
from metricgrad.tune.entries import contenders_of

__all__ = ["Training", "contenders", "control"]

TEMPERATURES = {"supcon": (0.05, 0.1, 0.2), "info_nce": (0.02, 0.05, 0.1)}
OF_RANKS = (0.02, 0.05, 0.1)
"""Of surrogates: on texts and pictures the best of wider grids lay within these."""
MARGINS = (0.1, 0.3, 0.6)

_SURROGATES = {
    "hit_at_k": "recall_at_k",
    "recall_at_k": "recall_at_k",
    "precision_at_k": "recall_at_k",
    "r_precision": "average_precision",
    "average_precision": "average_precision",
    "average_precision_at_r": "average_precision",
    "ndcg": "ndcg",
    "reciprocal_rank": "reciprocal_rank",
}
"""By the function of the metric."""

_STEPS = ((1_000_000, 200), (math.inf, 100))
"""By the number of weights at most: a run takes minutes whatever the map is."""


CURVE_SHARE = 0.3
"""Of the minutes, where a curve over the size of fit is asked for."""


@dataclass(frozen=True)
class Training:
    """How much is trained.

    Attributes:
        methods: of the contenders, as `tune` names them; None: the surrogate of the metric and the hardest triplet;
            none at all: closed forms alone.
        steps: of every arm and try, at most; None: 200, of large maps 100.
        minutes: of the whole run, in place of steps.
        seeds: numbers of the seeds.
        grid: settings that every arm tries, 1 to 3: the middle one alone, two, or all three.
        batch: rows of a batch.
        learning_rate: of AdamW.
        pull_to_start: see `methods.DescentSettings`.
        evaluate_every: steps between two looks at select.
        patience: a try ends after so many looks in a row without a better value; None: it takes all its steps.
        curve: whether parts of fit are tried as well, see `size_curve`.
    """

    methods: Sequence[str] | None = None
    steps: int | None = None
    minutes: float | None = None
    seeds: Sequence[int] = (0,)
    grid: int = 3
    batch: int = 512
    learning_rate: float = 3e-3
    pull_to_start: float = 5.0
    evaluate_every: int = 25
    patience: int | None = 4
    curve: bool = False

    def plan(self, weights: int) -> dict[str, Any]:
        """As `tune` takes it, for maps of so many weights."""
        steps = self.steps or next(steps for most, steps in _STEPS if weights <= most)
        minutes = None if self.minutes is None else self.minutes * (1 - CURVE_SHARE * self.curve)
        budget = {"steps": steps} if minutes is None else {"minutes": minutes}
        return {**self.once(None), **budget, "tries": self.grid}

    def once(self, steps: int | None) -> dict[str, Any]:
        """As `tune` takes it, for one try of so many steps."""
        return {"steps": steps, "evaluate_every": self.evaluate_every, "patience": self.patience}


def control(proxy: str, training: Training) -> Contender:
    """Training on with the usual loss."""
    return Contender(CONTROL, PROXY, _settings("temperature", TEMPERATURES[proxy], training))


def contenders(metric: Metric, training: Training) -> list[Contender]:
    """The methods that are named, or those that suit the metric."""
    named = training.methods
    if named is None:
        assert metric.function is not None
        named = [f"surrogate:{_SURROGATES[metric.function.__name__]}", "surrogate:hardest_triplet"]
    return [
        Contender(one.name, one.method, _of_method(one.method, training))
        for one in contenders_of(list(named))
    ]


def _of_method(method: str, training: Training) -> dict[str, Any] | list[dict[str, Any]]:
    loss = method.partition(":")[2].partition("+")[0]
    if not method.startswith("surrogate:"):
        return _step(training)  # the tries are drawn
    if loss == "hardest_triplet":
        return _settings("margin", MARGINS, training)
    return _settings("temperature", TEMPERATURES.get(loss, OF_RANKS), training)


def _settings(name: str, values: Sequence[float], training: Training) -> list[dict[str, Any]]:
    """The middle value first, then the others."""
    ordered = [values[1], values[0], values[2]][: training.grid]
    return [{**_step(training), "objective": {name: value}} for value in ordered]


def _step(training: Training) -> dict[str, Any]:
    return {"learning_rate": training.learning_rate, "pull_to_start": training.pull_to_start}

"""What the contest preferred on select among what it trained: the method that a curve over the size of fit repeats."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metricgrad._records import Chosen, StageStarted, record_of
from metricgrad.tune import Comparison

__all__ = ["Winner", "winner_of"]


@dataclass(frozen=True)
class Winner:
    """A trained arm.

    Attributes:
        arm: its name.
        method: as `tune` names it.
        settings: of the try that select preferred.
        value: of that try, on select; None where nothing was trained.
        seed: of the run.
        steps: of the try, at most.
        why: why there is none.
    """

    arm: str = "trained"
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    seed: int = 0
    steps: int = 0
    why: str = ""


def winner_of(comparison: Comparison, *, higher_is_better: bool) -> Winner:
    """The trained arm that select prefers for the returned seed: the usual loss or a contender.

    Args:
        comparison: of a finished contest.
        higher_is_better: of the metric.
    """
    records = [record_of(event) for event in comparison.result.events]
    chosen = next(one for one in reversed(records) if isinstance(one, Chosen))
    seed = str(chosen.best_seed)
    begun = {
        (one.arm, one.attempt): one
        for one in records
        if isinstance(one, StageStarted) and one.seed == int(seed)
    }
    sign = 1.0 if higher_is_better else -1.0
    trained = [row.name for row in comparison.table if (row.name, 0) in begun]
    arm = max(trained, key=lambda name: sign * chosen.select[seed][name])
    stage = begun[arm, chosen.attempts[seed][arm]]
    family, _, loss = stage.method.partition(":")
    method = (
        f"surrogate:{loss}" if family == "proxy" else stage.method
    )  # of a control: the same steps down the loss
    return Winner(arm, method, stage.settings, chosen.select[seed][arm], int(seed), stage.steps)

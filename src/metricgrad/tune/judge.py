"""The exact metric in the hands of a method: on the pool, counted, with a budget; a failed call is never a value."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from metricgrad.errors import JudgeEnded, TrialFailed
from metricgrad.tune.checkpoint import same_random_state
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.outputs import Outputs

__all__ = ["FAILURES", "Judge"]

FAILURES = 3
"""Failed calls in a row that end the stage."""


class Judge:
    """The exact metric of outputs on the pool, for a method without a gradient.

    A method that has `judge_calls` gets it as `MethodRun.judge`. It is meant for `MethodRun.pool` alone: such a method
    is not given select, and test is not open yet.

    Args:
        evaluator: measures, and counts under `pool`.
        budget: calls that a stage may make, failed ones included.

    Attributes:
        calls: that were made.
        failed: calls in a row, the last one included, that gave no value.
    """

    def __init__(self, evaluator: Evaluator, budget: int) -> None:
        self.evaluator, self.budget = evaluator, budget
        self.calls, self.failed = 0, 0

    def __call__(
        self, outputs: Any, targets: Any, *, reference_outputs: Any = None, reference_targets: Any = None
    ) -> float:
        """Return the metric; no gradient, and the random states stay.

        Raises:
            TrialFailed: it raised, or is NaN or infinite; a step that lets this pass counts as a step without a loss.
            JudgeEnded: the budget is spent, or this is the third failed call in a row.
        """
        given = {"reference_outputs": reference_outputs, "reference_targets": reference_targets}
        return self.measured(outputs, targets, **given)[1]

    def measured(
        self, outputs: Any, targets: Any, *, reference_outputs: Any = None, reference_targets: Any = None
    ) -> tuple[Tensor, float]:
        """Return the statistics [unit, stat] of the metric, which resamples are drawn from, and the metric.

        Raises:
            TrialFailed, JudgeEnded: as the call.
        """
        if self.calls >= self.budget:
            raise JudgeEnded(
                f"its {self.budget:,} calls of {self.evaluator.metric.name} on the pool are spent"
            )
        self.calls += 1
        found = Outputs(outputs, targets, reference_outputs, reference_targets)
        try:
            with torch.no_grad(), same_random_state():
                statistics = self.evaluator.measured(found, "pool")
                value = float(self.evaluator.metric.summarise(statistics))
        except Exception as error:  # whatever a metric raises, the trial has failed
            raise self._failure(f"{type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise self._failure("it is NaN" if math.isnan(value) else "it is infinite")
        self.failed = 0
        return statistics, value

    def _failure(self, reason: str) -> Exception:
        self.failed += 1
        text = f"{self.evaluator.metric.name} on the pool: {' '.join(reason.split())}"
        if self.failed >= FAILURES:
            return JudgeEnded(f"{self.failed} calls in a row failed, the last one: {text}")
        return TrialFailed(text)

    def state_dict(self) -> dict[str, int]:
        """Return what the next call depends on."""
        return {"calls": self.calls, "failed": self.failed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore what `state_dict` returned."""
        self.calls, self.failed = state["calls"], state["failed"]

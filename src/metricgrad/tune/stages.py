"""Which stages a run consists of, and how long each may train."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from metricgrad._records import Budget
from metricgrad.scale import current
from metricgrad.tune.setup import Setup
from metricgrad.tune.stage import Stage
from metricgrad.tune.timing import EVALUATIONS, Allowance, allowance, costs_of, steps_in_equal_time

__all__ = ["budget_of", "stages_of"]

PATIENCE = 5
"""A start model stands at its plateau when so many evaluations on `select` brought no better value."""
START_STEPS = 2000
"""Most steps that a start model may train, unless its plan says otherwise."""
DEFAULT_STEPS = 300


def budget_of(setup: Setup, began: float) -> Budget:
    """Return the budget of every arm; minutes are turned into steps by timing the first ones.

    Args:
        setup: the run.
        began: when it began (`time.time`): what has passed since then counts.
    """
    plan = setup.plan
    start_steps = None if not setup.start.attempts else setup.start_plan.steps or START_STEPS
    if plan.minutes is None:
        allowed = Allowance(plan.steps or DEFAULT_STEPS, start_steps, 0.0, None, {})
    else:
        allowed = allowance(setup, 60 * plan.minutes, began, start_steps)
    arm_steps = {}
    if setup.equal == "time":
        arm_steps = steps_in_equal_time(setup, allowed.steps, allowed.costs or costs_of(setup))
    every = plan.evaluate_every or max(1, allowed.steps // EVALUATIONS)
    stages = len(setup.seeds) * sum(len(arm.attempts) for arm in setup.every_arm)
    budget = Budget(
        allowed.steps,
        every,
        plan.checkpoint_every,
        plan.tries,
        plan.minutes,
        allowed.seconds_per_step or None,
        stages,
        allowed.start_steps,
        {part: round(value, 2) for part, value in allowed.expected.items()},
        allowed.resamples,
        arm_steps,
    )
    return Budget(**current().led(lambda: vars(budget)))


def stages_of(setup: Setup, budget: Budget) -> list[Stage]:
    """Return the stages in the order in which they run: for every seed the start, then every arm try by try."""
    stages = []
    for seed in setup.seeds:
        stages.append(_start_stage(setup, seed, budget.start_steps))
        for attempt in range(budget.tries):
            stages += [
                Stage(
                    seed,
                    arm.name,
                    arm.role,
                    attempt,
                    arm.attempts[attempt].settings.model_dump(),
                    budget.steps_of(arm.name),
                    _every(setup, budget, arm.name),
                    budget.checkpoint_every,
                    setup.plan.patience,
                    chunk=setup.plan.chunk,
                    method=arm.attempts[attempt].road.name,
                )
                for arm in setup.trained
            ]
    return _numbered(stages)


def _every(setup: Setup, budget: Budget, arm: str) -> int:
    """Steps between two evaluations: where the plan does not say it, every arm is evaluated as often as the others."""
    if arm not in budget.arm_steps or setup.plan.evaluate_every is not None:
        return budget.evaluate_every
    return max(1, budget.arm_steps[arm] // EVALUATIONS)


def _numbered(stages: Sequence[Stage]) -> list[Stage]:
    """Tell every stage its place among those that train, and how much may come after it."""
    of = sum(stage.steps > 0 for stage in stages)
    number, later, numbered = 0, sum(stage.steps for stage in stages), []
    for stage in stages:
        number += stage.steps > 0
        later -= stage.steps
        numbered.append(replace(stage, number=number, of=of, later=later))
    return numbered


def _start_stage(setup: Setup, seed: int, steps: int | None) -> Stage:
    if not setup.start.attempts:
        return Stage(seed, setup.start.name, setup.start.role, 0, {}, 0, 1, 1)
    plan = setup.start_plan
    steps = steps or plan.steps or START_STEPS
    settings: Mapping[str, Any] = setup.start.attempts[0].settings.model_dump()
    every = plan.evaluate_every or max(1, steps // EVALUATIONS)
    first_epoch = 500_000  # its own epochs: what the arms see next must be as new to the one as to the other
    return Stage(
        seed,
        setup.start.name,
        setup.start.role,
        0,
        settings,
        steps,
        every,
        plan.checkpoint_every,
        PATIENCE,
        first_epoch,
        plan.chunk,
        setup.start.method,
    )

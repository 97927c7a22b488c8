"""Which stages a run consists of, and how long each may train."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from metricgrad._records import Budget
from metricgrad._types import MethodRun
from metricgrad.scale import current
from metricgrad.tune.arms import Arm, Setup
from metricgrad.tune.loop import Stage, training_batches
from metricgrad.tune.plan import trainable_parameters
from metricgrad.tune.select import Evaluator

__all__ = ["budget_of", "stages_of"]

PATIENCE = 5
"""A start model stands at its plateau when so many evaluations on `select` brought no better value."""
START_STEPS = 2000
"""Most steps that a start model may train, unless its plan says otherwise."""
DEFAULT_STEPS = 300
EVALUATIONS = 20
"""Evaluations of a stage on `select`, unless its plan says otherwise."""
_UNTIMED_STEPS, _TIMED_STEPS = 3, 8


def budget_of(setup: Setup) -> Budget:
    """Return the budget of every arm; minutes are turned into steps by timing the first ones."""
    plan = setup.plan
    if plan.minutes is None:
        steps, seconds = plan.steps or DEFAULT_STEPS, None
    else:
        times = [_time_a_step(setup, arm) for arm in setup.arms]
        step = sum(step for step, _ in times) / len(times)
        evaluation = sum(evaluation for _, evaluation in times) / len(times)
        share = plan.minutes * 60 / (len(setup.seeds) * len(setup.arms) * plan.tries)
        if plan.evaluate_every is None:
            steps, seconds = (share - EVALUATIONS * evaluation) / step, step
        else:
            seconds = step + evaluation / plan.evaluate_every
            steps = share / seconds
        steps = max(1, int(steps))
    every = plan.evaluate_every or max(1, steps // EVALUATIONS)
    stages = len(setup.seeds) * ((setup.start is not None) + len(setup.arms) * plan.tries)
    budget = Budget(steps, every, plan.checkpoint_every, plan.tries, plan.minutes, seconds, stages)
    return Budget(**current().led(lambda: vars(budget)))


def _time_a_step(setup: Setup, arm: Arm) -> tuple[float, float]:
    """Time the first steps and one evaluation on a copy of the model; returns seconds of each."""
    seed = setup.seeds[0]
    model = setup.build(seed)
    method = arm.attempts[0].make()
    parameters = trainable_parameters(model, setup.plan.trainable)
    steps = _UNTIMED_STEPS + _TIMED_STEPS
    method.begin(
        MethodRun(
            model.train(), parameters, setup.metric, steps, seed, setup.plan.chunk, setup.splits.fit,
            setup.splits.select,
        )
    )  # fmt: skip
    batches = training_batches(setup.splits.fit, seed)
    for _ in range(_UNTIMED_STEPS):
        method.step(next(batches))
    began = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        method.step(next(batches))
    step = (time.perf_counter() - began) / _TIMED_STEPS
    began = time.perf_counter()
    Evaluator(setup.metric).value(model, setup.splits.select, "timing")
    return step, time.perf_counter() - began


def stages_of(setup: Setup, budget: Budget) -> list[Stage]:
    """Return the stages in the order in which they run: for every seed the start, then both arms try by try."""
    stages = []
    for seed in setup.seeds:
        stages.append(_start_stage(setup, seed))
        for attempt in range(budget.tries):
            stages += [
                Stage(
                    seed, arm.name, attempt, arm.attempts[attempt].settings.model_dump(), budget.steps,
                    budget.evaluate_every, budget.checkpoint_every, chunk=setup.plan.chunk,
                    method=arm.attempts[attempt].road.name,
                )
                for arm in setup.arms
            ]  # fmt: skip
    return _numbered(stages)


def _numbered(stages: Sequence[Stage]) -> list[Stage]:
    """Tell every stage its place among those that train, and how much may come after it."""
    of = sum(stage.steps > 0 for stage in stages)
    number, later, numbered = 0, sum(stage.steps for stage in stages), []
    for stage in stages:
        number += stage.steps > 0
        later -= stage.steps
        numbered.append(replace(stage, number=number, of=of, later=later))
    return numbered


def _start_stage(setup: Setup, seed: int) -> Stage:
    if setup.start is None:
        return Stage(seed, "start", 0, {}, 0, 1, 1)
    plan = setup.start_plan
    steps = plan.steps or START_STEPS
    settings: Mapping[str, Any] = setup.start.attempts[0].settings.model_dump()
    every = plan.evaluate_every or max(1, steps // EVALUATIONS)
    first_epoch = 500_000  # its own epochs: what the arms see next must be as new to the one as to the other
    return Stage(
        seed,
        "start",
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

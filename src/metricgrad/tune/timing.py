"""What a step, an evaluation and a warm-up cost, measured before training, and how many steps the minutes allow."""

import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from metricgrad._types import MethodRun
from metricgrad.errors import TrialFailed
from metricgrad.tune.arms import Arm, Attempt
from metricgrad.tune.divergence import what_diverged
from metricgrad.tune.end_time import end_of
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.judge import Judge
from metricgrad.tune.loop import training_batches
from metricgrad.tune.plan import trainable_parameters
from metricgrad.tune.pool import fit_and_pool
from metricgrad.tune.setup import Setup
from metricgrad.tune.trainer import ENDS

__all__ = ["EVALUATIONS", "Allowance", "allowance", "costs_of", "steps_in_equal_time"]

EVALUATIONS = 20
"""Evaluations of a stage on `select`, unless its plan says otherwise."""
START_SHARE = 0.5
"""Of the minutes: the most that start models may train whose plan does not say how many steps."""
SECOND_LOOK = 0.05
"""Of the minutes: what the beginning of a try may take and be timed again."""
MANY_TRIES = 4
"""From so many tries of a kind on its beginning is timed again whatever it takes: what is done once in a process would
be counted for each of them."""
_UNTIMED_STEPS, _TIMED_STEPS = 3, 8


@dataclass(frozen=True)
class Cost:
    """Seconds of one try: what happens once, a step, an evaluation with its exam."""

    once: float
    step: float
    evaluation: float


Costs = Mapping[tuple[str, str], Cost]


@dataclass(frozen=True)
class Allowance:
    """What the minutes allow.

    Attributes:
        steps: of every arm, at least one.
        start_steps: most steps of a start model; None where none is trained.
        seconds_per_step: mean over the tries.
        resamples: for the intervals.
        expected: seconds of the whole run by part: `before`, `start`, `once` (warm-up and first exam of the tries),
            `evaluations`, `steps`, `end` (test, intervals).
        costs: of every kind of try.
    """

    steps: int
    start_steps: int | None
    seconds_per_step: float
    resamples: int | None
    expected: Mapping[str, float]
    costs: Costs = field(default_factory=dict)


def costs_of(setup: Setup, seconds: float = math.inf) -> Costs:
    """Time every kind of try, and again where that takes little of the seconds: the first time imports and compiles."""
    tries = [(arm, attempt) for arm in setup.arms for attempt in arm.attempts]
    kinds = [_kind(arm, attempt) for arm, attempt in tries]
    costs: dict[tuple[str, str], Cost] = {}
    for arm, attempt in [*tries, *((setup.start, attempt) for attempt in setup.start.attempts)]:
        kind = _kind(arm, attempt)
        if kind not in costs:
            costs[kind] = _cost(setup, attempt)
            alike = len(setup.seeds) * kinds.count(kind)
            if costs[kind].once < SECOND_LOOK * seconds or alike >= MANY_TRIES:
                costs[kind] = _cost(setup, attempt)
    return costs


def _kind(arm: Arm, attempt: Attempt) -> tuple[str, str]:
    """Tries of one kind cost the same: those of a contender's road; those of a road over the start and all controls."""
    return attempt.road.name, arm.name if arm.role == "contender" else ""


def steps_in_equal_time(setup: Setup, steps: int, costs: Costs) -> dict[str, int]:
    """Steps of every arm that take as long as `steps` steps take the mean arm, warm-ups included; at least one."""
    of_arm = {arm.name: [costs[_kind(arm, attempt)] for attempt in arm.attempts] for arm in setup.trained}
    once = {arm: sum(cost.once for cost in found) for arm, found in of_arm.items()}
    step = {arm: sum(cost.step for cost in found) for arm, found in of_arm.items()}
    share = sum(once[arm] + steps * step[arm] for arm in of_arm) / len(of_arm)
    return {arm: max(1, int((share - once[arm]) / step[arm])) for arm in of_arm}


def allowance(setup: Setup, seconds: float, began: float, most_start_steps: int | None) -> Allowance:
    """Time every kind of try and share the seconds out.

    Args:
        setup: the run.
        seconds: of the whole run.
        began: when it began (`time.time`): what has passed, this timing too, is spent.
        most_start_steps: of the start model's training, where there is one.
    """
    costs = costs_of(setup, seconds)
    seeds, plan = len(setup.seeds), setup.plan
    end, resamples = end_of(setup, seconds)
    expected = {"before": time.time() - began, "start": 0.0, "end": end}
    start_steps = None
    if setup.start.attempts and most_start_steps is not None:
        cost = costs[_kind(setup.start, setup.start.attempts[0])]
        measured = seeds * (EVALUATIONS + 1) * cost.evaluation
        start_steps = most_start_steps
        if setup.start_plan.steps is None:
            room = START_SHARE * (seconds - expected["before"] - expected["end"]) - measured
            start_steps = min(start_steps, max(EVALUATIONS, int(room / (seeds * cost.step))))
        expected["start"] = seeds * start_steps * cost.step + measured
    of_tries = [costs[_kind(arm, attempt)] for arm in setup.arms for attempt in arm.attempts]
    expected["once"] = seeds * sum(cost.once for cost in of_tries)
    evaluation = seeds * sum(cost.evaluation for cost in of_tries)
    step = seeds * sum(cost.step for cost in of_tries)
    left = seconds - sum(expected.values()) - evaluation  # the first one, before any step
    if plan.evaluate_every is None:
        steps = int((left - EVALUATIONS * evaluation) / step)
        if steps < EVALUATIONS:  # then every step is followed by one
            steps = max(1, min(EVALUATIONS, int(left / (step + evaluation))))
        evaluations = 1 + min(steps, EVALUATIONS)
    else:
        steps = max(1, int(left / (step + evaluation / plan.evaluate_every)))
        evaluations = 1 + -(-steps // plan.evaluate_every)
    expected |= {"evaluations": evaluations * evaluation, "steps": steps * step}
    return Allowance(steps, start_steps, step / (seeds * len(of_tries)), resamples, expected, costs)


def _cost(setup: Setup, attempt: Attempt) -> Cost:
    """Time the beginning of a try on a copy of the model."""
    seed, splits = setup.seeds[0], setup.splits
    model = setup.build(seed)
    parameters = trainable_parameters(model, setup.plan.trainable)
    method = attempt.make()
    examine = getattr(method, "examine", lambda: None)
    fit, pool = fit_and_pool(splits, setup.metric, method, seed)
    judge = None if pool is None else Judge(Evaluator(setup.metric), getattr(method, "judge_calls", 0))
    times = [time.perf_counter()]
    method.begin(
        MethodRun(
            model.train(),
            parameters,
            setup.metric,
            _UNTIMED_STEPS + _TIMED_STEPS,
            seed,
            setup.plan.chunk,
            fit,
            splits.select if pool is None else None,
            pool=pool,
            judge=judge,
        )
    )
    examine()
    times.append(time.perf_counter())
    batches = training_batches(fit, seed)
    for _ in range(_UNTIMED_STEPS + _TIMED_STEPS):
        batch = next(batches)
        try:
            method.step(batch)
        except (*ENDS, TrialFailed):
            break
        except Exception:  # a try that diverges has had its time; anything else is raised
            if what_diverged(model, parameters, batch) is None:
                raise
            break
        finally:
            times.append(time.perf_counter())
    spans = [after - before for before, after in itertools.pairwise(times)]
    timed = spans[1 + _UNTIMED_STEPS :] or spans[1:]
    step = sum(timed) / len(timed)
    warm = max(0.0, sum(spans[1 : 1 + _UNTIMED_STEPS]) - _UNTIMED_STEPS * step)  # in the first steps
    began = time.perf_counter()
    setup.evaluator().valued(setup.build(seed), splits.select)
    examined = time.perf_counter()
    examine()
    exam = time.perf_counter() - examined
    # The first exam is one of the evaluations; what it took beyond another one is its warm-up.
    return Cost(max(0.0, spans[0] - exam) + warm, step, examined - began + exam)

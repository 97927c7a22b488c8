"""What select decides: the try of every arm and seed, the arm of every seed that is returned, and the seed."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from metricgrad._records import Chosen
from metricgrad.tune.arms import Arm
from metricgrad.tune.stage import Stage

__all__ = ["attempts_of", "chosen_method", "chosen_of", "means_of", "without_value"]

Better = Callable[[float, float], bool]
"""Whether the first value of the metric is better than the second."""


def attempts_of(
    stages: Sequence[Stage], values: Sequence[float], better: Better
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """Pick the try of every seed and arm by select, the earlier one of equals: their values and numbers."""
    select: dict[str, dict[str, float]] = {}
    attempts: dict[str, dict[str, int]] = {}
    for stage, value in zip(stages, values, strict=True):
        of_seed = select.setdefault(str(stage.seed), {})
        if stage.arm not in of_seed or better(value, of_seed[stage.arm]):
            of_seed[stage.arm] = value
            attempts.setdefault(str(stage.seed), {})[stage.arm] = stage.attempt
    return select, attempts


def chosen_of(
    select: dict[str, dict[str, float]],
    attempts: dict[str, dict[str, int]],
    held: Collection[tuple[int, str]],
    better: Better,
) -> Chosen:
    """Pick by select an arm for every seed, among those not held back, and the seed; earlier arms win ties."""
    free = {
        seed: {arm: value for arm, value in of_seed.items() if (int(seed), arm) not in held}
        for seed, of_seed in select.items()
    }
    returned = {seed: _best(of_seed, better) for seed, of_seed in free.items()}
    best_seed = _best({seed: select[seed][arm] for seed, arm in returned.items()}, better)
    return Chosen(select, attempts, returned, int(best_seed))


def means_of(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Mean over seeds of every arm's value, from seed -> arm -> value."""
    arms = {arm: None for of_seed in values.values() for arm in of_seed}
    return {arm: float(np.mean([of_seed[arm] for of_seed in values.values()])) for arm in arms}


def _best(values: Mapping[str, float], better: Better) -> str:
    best, *others = values
    for name in others:
        best = name if better(values[name], values[best]) else best
    return best


def chosen_method(chosen: Chosen, arm: Arm) -> str:
    """Name the roads of the tries that stand for an arm."""
    if not arm.attempts:
        return arm.method
    attempts = [chosen.attempts[seed][arm.name] for seed in chosen.attempts]
    return " or ".join(dict.fromkeys(arm.attempts[attempt].road.name for attempt in attempts))


def without_value(chosen: Chosen) -> list[str]:
    """Say where no try of an arm has a value on select: every one has diverged, or the metric is undefined there."""
    return [
        f"seed {seed}: no try of {arm} has a value on select, so its figures are those of a model that was not chosen"
        for seed, arms in chosen.select.items()
        for arm, value in arms.items()
        if np.isnan(value)
    ]

"""Who takes part in a run: the start, the controls, the contenders, each with its tries."""

from metricgrad._records import START
from metricgrad._types import Metric
from metricgrad.tune.arms import PROXY, Arm, Contender, arm_of, check_names, check_proxy
from metricgrad.tune.asked import Asked

__all__ = ["cast_of"]


def cast_of(asked: Asked, metric: Metric, tries: int) -> tuple[Arm, list[Arm]]:
    """Return the start, and controls and contenders.

    Raises:
        InputError: a method that does not fit the metric, two arms of one name, a proxy that is none.
    """
    if asked.proxy is not None:
        check_proxy(asked.proxy)
    contenders = [arm_of(one, "contender", metric, asked.proxy, tries) for one in asked.contenders]
    controls = [arm_of(one, "control", metric, asked.proxy, tries) for one in asked.controls]
    start, arms = Arm(START, "start"), [*controls, *contenders]
    if asked.start_plan is not None:
        start = arm_of(Contender(START, PROXY, asked.start_settings), "start", metric, asked.proxy, 1)
    check_names([start, *arms])
    return start, arms

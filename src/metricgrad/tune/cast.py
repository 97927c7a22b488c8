"""Who takes part in a run: the start, the controls, candidates and contenders, each with its tries."""

from collections.abc import Callable

from metricgrad._records import ROLES, START
from metricgrad._types import Metric
from metricgrad.tune.arms import PROXY, Arm, Contender, arm_of, check_names, check_proxy
from metricgrad.tune.asked import Asked
from metricgrad.tune.members import Cast, is_portfolio, with_portfolio
from metricgrad.tune.splits import Splits
from metricgrad.tune.untrained import untrained_controls

__all__ = ["cast_of"]


def cast_of(
    asked: Asked, metric: Metric, tries: int, splits: Splits, of_classes: Callable[[], bool]
) -> tuple[Arm, list[Arm], list[str]]:
    """Return the start; controls, candidates and contenders; and what the record must say of them, as sentences.

    Args:
        asked: the arguments of the run.
        metric: of the run.
        tries: of every arm.
        splits: of the run: inputs and targets say which controls apply that train nothing.
        of_classes: says whether the network gives scores [sample, class] and targets name classes; asked only where it
            matters: then `auto` is a portfolio.

    Raises:
        InputError: a method that does not fit the metric, two arms of one name, a proxy that is none.
    """
    if asked.proxy is not None:
        check_proxy(asked.proxy)
    cast = Cast(metric, asked.proxy, tries)
    portfolios = [one for one in asked.contenders if is_portfolio(one, metric)]
    portfolios = portfolios if portfolios and of_classes() else []
    for one in asked.contenders:
        if one not in portfolios:
            cast.add(one, "contender")
    for one in asked.controls:
        cast.add(one, "control")
    for one in portfolios:
        with_portfolio(cast, one, asked.controls)
    start = Arm(START, "start")
    if asked.start_plan is not None:
        start = arm_of(Contender(START, PROXY, asked.start_settings), "start", metric, asked.proxy, 1)
    untrained, told = untrained_controls(asked.untrained, metric, splits)
    order = [one.name for one in asked.contenders]
    arms = sorted(
        [*cast.arms, *untrained, *(one.arm for one in asked.given)],
        key=lambda arm: (ROLES.index(arm.role), order.index(arm.name) if arm.name in order else 0),
    )
    check_names([start, *arms])
    return start, arms, told

"""The arguments of a run as they were given, and what can be read of them by themselves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from metricgrad._checks import caller, describe, fail, whole_number
from metricgrad._records import CONTENDER, CONTROL
from metricgrad.tune.arms import PROXY, Contender
from metricgrad.tune.deciding import AUTO
from metricgrad.tune.given_form import GivenForm
from metricgrad.tune.plan import LARGEST_SEED, Plan

__all__ = [
    "Asked",
    "Equal",
    "check_forms",
    "one_contender",
    "plan_of",
    "seeds_of",
    "start_plan_of",
    "untrained_of",
]

Equal = Literal["steps", "time"]
"""What the arms have as much of as each other."""


@dataclass(frozen=True)
class Asked:
    """The arguments of a run as they were given, unchecked; see `tune` and `compare`."""

    model: Any
    splits: Any
    metric: Any
    contenders: Sequence[Contender]
    controls: Sequence[Contender] = ()
    proxy: Any = None
    plan: Any = None
    higher_is_better: Any = None
    seed: Any = 0
    start_plan: Any = None
    start_settings: Any = None
    device: Any = None
    side_metrics: Any = ()
    may_fall: Any = 0.0
    equal: Any = "steps"
    decision: Any = AUTO
    untrained: Sequence[str] | None = None
    given: Sequence[GivenForm] = ()
    notes: Sequence[str] = ()
    began: float | None = None


def check_forms(asked: Asked) -> None:
    """Raise InputError where an argument is of another type than it should be."""
    settings = asked.start_settings
    if settings is not None and not isinstance(settings, Mapping):
        raise fail(caller(), f"start_settings are {describe(settings)}", "a dict of settings by name")
    if asked.equal not in get_args(Equal):
        raise fail("compare", f"equal is {describe(asked.equal)}", "'steps' or 'time'")


def one_contender(
    model: Any,
    splits: Any,
    metric: Any,
    method: str,
    settings: Any,
    proxy: Any,
    proxy_settings: Any,
    closed_forms: Any,
    **rest: Any,
) -> Asked:
    """Return the arguments of a run with one method, and with the proxy loss as its control where there is one."""
    return Asked(
        model,
        splits,
        metric,
        contenders=[Contender(CONTENDER, method, settings)],
        controls=[] if proxy is None else [Contender(CONTROL, PROXY, proxy_settings)],
        proxy=proxy,
        untrained=untrained_of(closed_forms),
        **rest,
    )


def untrained_of(closed_forms: Any) -> Sequence[str] | None:
    """Return which controls that train nothing were asked for: those that apply (None), or none."""
    if not isinstance(closed_forms, bool):
        raise fail(caller(), f"closed_forms is {describe(closed_forms)}", "True or False")
    return None if closed_forms else ()


def seeds_of(given: Any) -> list[int]:
    """Return the seeds of a run; InputError unless they are different whole numbers."""
    asked = list(given) if isinstance(given, Iterable) and getattr(given, "ndim", 1) else [given]
    seeds = [whole_number(caller(), "seed", item, least=0) for item in asked]
    if not seeds or len(set(seeds)) < len(seeds) or max(seeds) > LARGEST_SEED:
        raise fail(
            caller(), f"seed is {given!r}", "one or several different whole numbers from 0 to 4294967295"
        )
    return seeds


def plan_of(name: str, given: Any) -> Plan:
    """Return a plan that was given as such, as its fields, or not at all."""
    if given is None:
        return Plan()
    if isinstance(given, Mapping):
        return Plan(**given)
    if not isinstance(given, Plan):
        raise fail(caller(), f"{name} is {describe(given)}", "a Plan, or its fields as a dict")
    return given


def start_plan_of(asked: Asked) -> Plan | None:
    """Return the plan of the start model's training; None where it comes trained."""
    if asked.start_plan is None:
        return None
    plan = plan_of("start_plan", asked.start_plan)
    if asked.proxy is None:
        raise fail(caller(), "start_plan without a proxy", "a proxy: the start model is trained with it")
    if plan.minutes is not None:
        raise fail(
            "start_plan", f"minutes is {plan.minutes}", "steps: a start model trains to its plateau on select"
        )
    return plan

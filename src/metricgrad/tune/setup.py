"""The arguments of a run, resolved once and checked before anything is written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from torch import nn

from metricgrad._checks import caller, describe, fail, whole_number
from metricgrad._records import START, Entrant, Role
from metricgrad._types import Method, Metric
from metricgrad.metrics import adapt
from metricgrad.tune.arms import PROXY, Arm, Contender, arm_of, check_names, check_proxy
from metricgrad.tune.given_data import given_splits, numbered
from metricgrad.tune.groups import check_groups
from metricgrad.tune.networks import SeededModel
from metricgrad.tune.plan import LARGEST_SEED, Plan, trainable_parameters
from metricgrad.tune.pool import fit_and_pool
from metricgrad.tune.side_metrics import SideMetric, side_metrics_of, try_side_metrics
from metricgrad.tune.splits import Splits, check_disjoint

__all__ = ["Asked", "Equal", "Setup", "resolved"]

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


@dataclass(frozen=True)
class Setup:
    """What is run, resolved and checked.

    Attributes:
        build: seed -> start model, always the same one for the same seed.
        splits: fit, select, test.
        metric: the exact metric.
        arms: controls, then contenders.
        start: the start; without attempts where `build` gives a trained model.
        plan: of the arms.
        start_plan: of the start model's training.
        seeds: one after the other.
        proxy: the loss that the model was trained with, as it was given.
        told: what the record must say of the arguments, as sentences.
        side_metrics: measured beside the metric; an arm that falls too far in one of them is not returned.
        equal: what the arms have as much of as each other.
    """

    build: Callable[[int], nn.Module]
    splits: Splits
    metric: Metric
    arms: Sequence[Arm]
    start: Arm
    plan: Plan
    start_plan: Plan
    seeds: Sequence[int]
    proxy: Any = None
    told: Sequence[str] = ()
    side_metrics: Sequence[SideMetric] = ()
    equal: Equal = "steps"

    @property
    def every_arm(self) -> list[Arm]:
        """Start, controls, contenders."""
        return [self.start, *self.arms]

    def named(self, role: Role) -> list[Arm]:
        """The arms of a role."""
        return [arm for arm in self.every_arm if arm.role == role]

    @property
    def entrants(self) -> list[Entrant]:
        """What the record says of them."""
        return [arm.entrant for arm in self.every_arm]

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.every_arm if arm.name == name)

    def method(self, arm: str, attempt: int) -> Method:
        """Make the method of a try."""
        return self.arm(arm).attempts[attempt].make()

    def parameters(self, model: nn.Module, role: Role) -> dict[str, nn.Parameter]:
        """The parameters of a model that an arm of a role trains; all the others are frozen."""
        return trainable_parameters(model, (self.start_plan if role == "start" else self.plan).trainable)


def resolved(asked: Asked) -> Setup:
    """Check everything that can be checked before anything is written."""
    plan = _plan("plan", asked.plan)
    start_plan = None if asked.start_plan is None else _plan("start_plan", asked.start_plan)
    _check_forms(asked)
    if asked.proxy is not None:
        check_proxy(asked.proxy)
    build = SeededModel(asked.model, asked.device)
    exact = adapt(asked.metric, higher_is_better=asked.higher_is_better)
    sides = side_metrics_of(asked.side_metrics, asked.may_fall, exact)
    splits, told = numbered(given_splits(asked.splits), exact)
    if exact.unit == "query":
        check_disjoint(splits)
    check_groups(splits)
    if plan.batch is not None:
        splits = _rebatched(splits, plan.batch)
    seeds = _seeds(asked.seed)
    contenders = [arm_of(one, "contender", exact, asked.proxy, plan.tries) for one in asked.contenders]
    controls = [arm_of(one, "control", exact, asked.proxy, plan.tries) for one in asked.controls]
    start, arms = Arm(START, "start"), [*controls, *contenders]
    if start_plan is not None:
        if asked.proxy is None:
            raise fail(caller(), "start_plan without a proxy", "a proxy: the start model is trained with it")
        _check_start_plan(start_plan)
        start = arm_of(Contender(START, PROXY, asked.start_settings), "start", exact, asked.proxy, 1)
    check_names([start, *arms])
    for arm in [start, *arms]:
        for attempt in arm.attempts:
            method = attempt.make()  # settings that do not fit must fail before anything is trained
            fit_and_pool(splits, exact, method, seeds[0])
    for one in (plan, start_plan):
        if one is not None and one.trainable != "all":
            trainable_parameters(build(seeds[0]), one.trainable)  # a name that the model does not have
    try_side_metrics(sides, exact, build, splits, seeds[0])
    return Setup(
        build,
        splits,
        exact,
        arms,
        start,
        plan,
        start_plan or Plan(),
        seeds,
        asked.proxy,
        told,
        sides,
        asked.equal,
    )


def _check_forms(asked: Asked) -> None:
    """Raise InputError where an argument is of another type than it should be."""
    settings = asked.start_settings
    if settings is not None and not isinstance(settings, Mapping):
        raise fail(caller(), f"start_settings are {describe(settings)}", "a dict of settings by name")
    if asked.equal not in get_args(Equal):
        raise fail("compare", f"equal is {describe(asked.equal)}", "'steps' or 'time'")


def _seeds(given: Any) -> list[int]:
    asked = list(given) if isinstance(given, Iterable) and getattr(given, "ndim", 1) else [given]
    seeds = [whole_number(caller(), "seed", item, least=0) for item in asked]
    if not seeds or len(set(seeds)) < len(seeds) or max(seeds) > LARGEST_SEED:
        raise fail(
            caller(), f"seed is {given!r}", "one or several different whole numbers from 0 to 4294967295"
        )
    return seeds


def _rebatched(splits: Splits, batch: int) -> Splits:
    if not hasattr(splits.fit, "rebatch"):
        raise fail(
            caller(),
            f"plan.batch is {batch}, but the fit split is a {type(splits.fit).__name__}",
            "a split that can change its batch",
            "Set the batch size where you make the split.",
        )
    return replace(splits, fit=splits.fit.rebatch(batch))  # pyright: ignore[reportAttributeAccessIssue]


def _plan(name: str, given: Any) -> Plan:
    if given is None:
        return Plan()
    if isinstance(given, Mapping):
        return Plan(**given)
    if not isinstance(given, Plan):
        raise fail(caller(), f"{name} is {describe(given)}", "a Plan, or its fields as a dict")
    return given


def _check_start_plan(plan: Plan) -> None:
    if plan.minutes is not None:
        raise fail(
            "start_plan", f"minutes is {plan.minutes}", "steps: a start model trains to its plateau on select"
        )

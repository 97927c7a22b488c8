"""What is run: the arguments of a call, resolved and checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from metricgrad._records import Entrant, Role
from metricgrad._types import Method, Metric
from metricgrad.tune.arms import Arm
from metricgrad.tune.asked import Equal
from metricgrad.tune.deciding import Deciding
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.plan import Plan, trainable_parameters
from metricgrad.tune.side_metrics import SideMetric
from metricgrad.tune.splits import Splits

__all__ = ["Setup"]


@dataclass(frozen=True)
class Setup:
    """What is run, resolved and checked.

    Attributes:
        build: seed -> start model, always the same one for the same seed.
        splits: fit, select, test.
        metric: the exact metric.
        arms: controls, candidates, contenders.
        start: the start; without attempts where `build` gives a trained model.
        plan: of the arms.
        start_plan: of the start model's training.
        seeds: one after the other.
        proxy: the loss that the model was trained with, as it was given.
        told: what the record must say of the arguments, as sentences.
        side_metrics: measured beside the metric; an arm that falls too far in one of them is not returned.
        equal: what the arms have as much of as each other.
        deciding: how class scores become classes; None where the metric makes its own of the outputs.
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
    deciding: Deciding | None = None

    @property
    def every_arm(self) -> list[Arm]:
        """Start, controls, candidates, contenders."""
        return [self.start, *self.arms]

    @property
    def trained(self) -> list[Arm]:
        """Controls, candidates and contenders without the derived arms."""
        return [arm for arm in self.arms if not arm.derived]

    @property
    def closed_forms(self) -> list[Arm]:
        """The controls that train nothing: the inputs as they are, the best closed form."""
        return [arm for arm in self.arms if arm.made]

    @property
    def portfolios(self) -> list[Arm]:
        """The arms that choose among others."""
        return [arm for arm in self.arms if arm.members]

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

    def evaluator(self) -> Evaluator:
        """What measures the metric as the run does."""
        return Evaluator(self.metric, self.deciding)

    def method(self, arm: str, attempt: int) -> Method:
        """Make the method of a try."""
        return self.arm(arm).attempts[attempt].make()

    def parameters(self, model: nn.Module, role: Role) -> dict[str, nn.Parameter]:
        """The parameters of a model that an arm of a role trains; all the others are frozen."""
        return trainable_parameters(model, (self.start_plan if role == "start" else self.plan).trainable)

"""What a portfolio chooses from, and what is always trained beside it: `method="auto"` of a metric that reads classes.

Candidates are the start, the control that trains on, balanced softmax, and the metric's own soft form: of its formula
where it has one, else of slopes that are measured by calling it. Arms that take part anyway are not trained twice,
but a control is always there as one: a gain is claimed over it, also where the same loss is a contender.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad._records import START
from metricgrad._types import Metric
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.families import AUTO
from metricgrad.tune.arms import PROXY, Arm, Contender, arm_of

__all__ = ["Cast", "with_portfolio"]

WEIGHTED = "surrogate:class_weighted_cross_entropy"


class Cast:
    """The arms of a run as they are collected: controls, candidates, contenders.

    Args:
        metric: of the run.
        proxy: the loss that the model was trained with; None for none.
        tries: of every arm.
    """

    def __init__(self, metric: Metric, proxy: Any, tries: int) -> None:
        self.metric, self.proxy, self.tries = metric, proxy, tries
        self.arms: list[Arm] = []

    def add(self, one: Contender, role: Any) -> Arm:
        """Add an arm and return it."""
        arm = arm_of(one, role, self.metric, self.proxy, self.tries)
        self.arms.append(arm)
        return arm

    def trained_as(self, method: str, settings: Mapping[str, Any], role: Any) -> Arm:
        """Return the arm that trains with a method; where there is none yet, it is added under the loss's own name.

        A contender can be a candidate, too, and is no control. A name that is taken gets the role behind it.
        """
        for arm in self.arms:
            if arm.method == method and (role != "control" or arm.role == role):
                return arm
        name = method.partition(":")[2]
        taken = any(arm.name.lower() == name for arm in self.arms)
        return self.add(Contender(f"{name}-{role}" if taken else name, method, settings), role)


def with_portfolio(cast: Cast, one: Contender, controls: Sequence[Contender]) -> None:
    """Add a portfolio, and what of its candidates and controls is not there yet.

    Args:
        cast: with the controls and the other contenders.
        one: the contender whose method is `auto`; its settings are those of its candidates.
        controls: as they were given. What is trained as the control that trains on begins with its settings.
    """
    continued = next((control for control in controls if control.method == PROXY), None)
    own = {} if continued is None else dict(continued.first_settings)
    common = {name: value for name, value in own.items() if name in DescentSettings.model_fields}
    common.pop("objective", None)
    settings = {**common, **one.first_settings}
    cast.trained_as(WEIGHTED, settings, "control")
    soft = "soft_confusion" if cast.metric.of_table is not None else "slope"
    losses = [
        cast.trained_as(f"surrogate:{name}", settings, "candidate") for name in ("balanced_softmax", soft)
    ]
    trained_on = [] if continued is None else [continued.name]
    cast.arms.append(Arm(one.name, "contender", members=[START, *trained_on, *(arm.name for arm in losses)]))


def is_portfolio(one: Contender, metric: Metric) -> bool:
    """Whether a contender chooses among others instead of training."""
    return one.method.strip() == AUTO and metric.reads == "classes"

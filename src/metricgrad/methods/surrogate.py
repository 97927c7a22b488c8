"""Train on a differentiable objective: a surrogate of the metric, ours or the user's."""

from collections.abc import Mapping, Sequence
from typing import Any, final

from metricgrad._types import MethodRun, Metric
from metricgrad.methods import objectives
from metricgrad.methods.descent import SPACE, Descent, DescentSettings
from metricgrad.methods.family import Family
from metricgrad.methods.grammar import MethodName
from metricgrad.methods.named_loss import loss_at, made_of, names_code, space_of
from metricgrad.methods.objectives import Objective
from metricgrad.methods.proxy import Proxy, with_proxy, with_weights
from metricgrad.methods.road import Road

__all__ = ["FAMILY", "Surrogate"]


@final
class Surrogate:
    """One optimiser step on the mean of an objective, batch after batch.

    Args:
        objective: `(outputs, targets) -> Tensor`, a scalar or one value per unit (then averaged).
        settings: see `DescentSettings`.
        parts: the losses within the objective, see `Descent`.
    """

    def __init__(
        self, objective: Objective, settings: DescentSettings, *, parts: Sequence[Objective | None] = ()
    ) -> None:
        self.objective, self.descent = objective, Descent(settings, parts=parts)

    def begin(self, run: MethodRun) -> None:
        """Set the dropout rates and make the optimiser of the trainable parameters."""
        self.descent.begin(run, self.objective)

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Take one step; returns the loss before it, and what a loss within it says of itself.

        Raises:
            Diverged: the loss or its gradient is NaN or infinite; the weights have not moved.
        """
        return {"loss": self.descent.follow(batch), **self.descent.seen()}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the descent."""
        return self.descent.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.descent.load_state_dict(state)

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.descent.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.descent.load_beside(state)


def _road(name: MethodName, metric: Metric, proxy: Proxy | None) -> Road:
    if names_code(name.objective):
        return _road_of_the_user(name, proxy)
    of_scores = metric.unit != "query" and metric.reads != "embeddings"
    objectives.named_objective(name.loss, {}, of_scores=of_scores)  # an unknown name must fail now, not later

    def make(settings: Any) -> Surrogate:
        loss = objectives.named_objective(
            name.loss, settings.objective, of_scores=of_scores, metric=metric, complete=True
        )
        both, given = with_proxy(str(name), loss, settings, proxy)
        return Surrogate(both, settings, parts=[loss, given])

    space = {**SPACE, **objectives.space(name.loss, of_scores=of_scores)}
    return Road(str(name), make, DescentSettings, with_weights(space, proxy))


def _road_of_the_user(name: MethodName, proxy: Proxy | None) -> Road:
    """The road of a loss that is named `package.module:name`."""
    found = loss_at(name)

    def make(settings: Any) -> Surrogate:
        loss = made_of(name.objective, found, settings.objective)
        both, given = with_proxy(str(name), loss, settings, proxy)
        return Surrogate(both, settings, parts=[loss, given])

    space = {**SPACE, **space_of(found)}
    return Road(str(name), make, DescentSettings, with_weights(space, proxy), code=found)


def _suits(metric: Metric) -> MethodName | str:
    if metric.unit != "query" and metric.reads != "embeddings":
        return f"{metric.name} ranks no embeddings"
    return MethodName("surrogate", "recall_at_k")


def _roads() -> dict[str, Any]:
    return {f"surrogate:{name}": objectives.trained_as(name) for name in objectives.objectives()}


FAMILY = Family(
    name="surrogate",
    line="Lowers a loss of ours whose gradient stands for that of the metric.",
    settings=DescentSettings,
    suits=_suits,
    road=_road,
    roads=_roads,
)

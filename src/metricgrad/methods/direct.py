"""What the family of direct losses is called, what it suits, and the roads that it offers."""

from typing import Any

from metricgrad._types import Metric
from metricgrad.methods.decodes import named_direct, objective_for, objectives, structure_of
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.direct_method import Direct, space
from metricgrad.methods.family import Family
from metricgrad.methods.grammar import MethodName, unknown_method
from metricgrad.methods.proxy import Proxy, with_proxy, with_weights
from metricgrad.methods.road import Road

__all__ = ["FAMILY"]


def _road(name: MethodName, metric: Metric, proxy: Proxy | None) -> Road:
    if name.options:
        raise unknown_method(name, f"{name.plain}, which has no option {name.options[0]!r}")
    named_direct(name.objective, metric, {})  # an unknown name must fail now, not once training begins

    def make(settings: Any) -> Direct:
        own = named_direct(name.objective, metric, settings.objective)
        both, given = with_proxy(str(name), own, settings, proxy)
        return Direct(both, settings, own.loss, parts=[given])

    return Road(str(name), make, DescentSettings, with_weights(space(), proxy))


def _suits(metric: Metric) -> MethodName | str:
    objective = objective_for(metric)
    return MethodName("direct", objective) if objective else f"no structure decodes {metric.name} by itself"


FAMILY = Family(
    name="direct",
    line="Solves for the best output twice, with and without a little of the metric; the difference is the gradient.",
    settings=DescentSettings,
    suits=_suits,
    road=_road,
    roads=lambda: {f"direct:{name}": structure_of(name) for name in objectives()},
)

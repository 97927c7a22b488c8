"""What the family of black-box methods is called, what it suits, and the roads that it offers."""

from typing import Any

from metricgrad._checks import fail
from metricgrad._types import Metric
from metricgrad.methods.family import Family
from metricgrad.methods.grammar import MethodName, unknown_method
from metricgrad.methods.proxy import Proxy, proxy_objective
from metricgrad.methods.road import Road
from metricgrad.methods.search_ground import SearchSettings
from metricgrad.methods.searches import SEARCHES

__all__ = ["FAMILY"]


def _road(name: MethodName, metric: Metric, proxy: Proxy | None) -> Road:
    kind = SEARCHES.get(name.objective)
    if kind is None or name.options:
        raise unknown_method(name, ", ".join(f"blackbox:{one}" for one in SEARCHES))
    if kind.reads is not None and metric.reads is not None and metric.reads not in kind.reads:
        raise fail(
            str(name),
            f"{metric.name} reads {metric.reads}, of which nothing is drawn",
            f"a metric that reads {', '.join(kind.reads)}, or a function of yours",
            "blackbox:mixture and blackbox:evolution take any metric.",
        )

    def make(settings: Any) -> Any:
        if proxy is None and kind.needs_loss(settings):
            raise fail(
                str(name), "there is no proxy", "a proxy: the training loss that is weighed or followed"
            )
        return kind.method(None if proxy is None else proxy_objective(proxy, settings.proxy), settings)

    return Road(str(name), make, kind.settings, kind.space)


FAMILY = Family(
    name="blackbox",
    line="Calls the metric on a part of fit held back, counted: for metrics of a whole set that have no other road.",
    settings=SearchSettings,
    suits=lambda metric: "it must be asked for by name: rules and losses that know the metric do better",
    road=_road,
    roads=lambda: {f"blackbox:{name}": kind.explained for name, kind in SEARCHES.items()},
    settings_of={f"blackbox:{name}": kind.settings for name, kind in SEARCHES.items()},
)

"""What the family that follows two objectives in turn is called, what it suits, and the roads that it offers."""

import inspect
from typing import Any

from metricgrad._checks import fail
from metricgrad._types import Metric
from metricgrad.methods import objectives
from metricgrad.methods.alternating_method import SPACE, Alternating, AlternatingSettings
from metricgrad.methods.family import Family
from metricgrad.methods.grammar import MethodName
from metricgrad.methods.proxy import Proxy, proxy_objective
from metricgrad.methods.road import Road

__all__ = ["FAMILY"]


def _road(name: MethodName, metric: Metric, proxy: Proxy | None) -> Road:
    of_scores = metric.unit != "query" and metric.reads != "embeddings"
    objectives.named_objective(name.loss, {}, of_scores=of_scores)  # an unknown name must fail now, not later
    if not _of_class_scores(name.loss):
        raise fail(str(name), f"{name.loss} is no loss of class scores", f"one of {', '.join(_losses())}")

    def make(settings: Any) -> Alternating:
        if proxy is None:
            raise fail(str(name), "there is no proxy", "a proxy: the first of the two steps follows it")
        second = objectives.named_objective(
            name.loss, settings.objective, of_scores=of_scores, metric=metric, complete=True
        )
        return Alternating(str(name), proxy_objective(proxy, settings.proxy), second, settings)

    own = objectives.space(name.loss, of_scores=of_scores)
    return Road(str(name), make, AlternatingSettings, {**SPACE, **own})


def _of_class_scores(name: str) -> bool:
    return next(iter(inspect.signature(objectives.loss_named(name)).parameters)) == "logits"


def _losses() -> list[str]:
    return [name for name in objectives.objectives() if _of_class_scores(name)]


FAMILY = Family(
    name="alternating",
    line="Takes two steps per batch, down the proxy and down another loss of class scores: twice the passes.",
    settings=AlternatingSettings,
    suits=lambda metric: "a second objective beside the proxy is no first choice",
    road=_road,
    roads=lambda: {f"alternating:{name}": objectives.trained_as(name) for name in _losses()},
)

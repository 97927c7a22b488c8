"""From the name of a method to something that can be trained: `family[:objective]`, or `auto`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError
from torch import nn

from metricgrad._checks import describe, fail, nearest
from metricgrad._types import Method, Metric
from metricgrad.methods import direct, learned, surrogate
from metricgrad.methods.given_loss import GivenLoss
from metricgrad.tune.networks import copied

__all__ = ["Road", "check_proxy", "road_for_loss", "road_named", "validated"]

FAMILIES = ("surrogate", "direct", "learned")

Proxy = str | Callable[[Any, Any], Any]
"""The name of one of our losses, or a callable `(outputs, targets) -> loss`."""


@dataclass(frozen=True)
class Road:
    """A way to a gradient, ready to be given settings.

    Attributes:
        name: `surrogate:recall_at_k`, `proxy:supcon`, ...
        make: settings -> method.
        settings: the model that validates settings.
        space: for each setting (dots reach inside) the values that tries draw from.
    """

    name: str
    make: Callable[[Any], Method]
    settings: type[BaseModel]
    space: Mapping[str, tuple[Any, ...]]

    def attempts(self, given: Mapping[str, Any], tries: int) -> list[BaseModel]:
        """Return the given settings and `tries - 1` more, drawn from the space; always the same ones."""
        rng = np.random.default_rng(0)
        drawn: list[dict[str, Any]] = [dict(given)]
        most = math.prod(len(values) for values in self.space.values())
        if tries > most:
            raise fail(self.name, f"tries is {tries}", f"at most {most}: there are no more settings to draw")
        while len(drawn) < tries:
            candidate = _with(
                given, {key: values[rng.integers(len(values))] for key, values in self.space.items()}
            )
            if candidate not in drawn:
                drawn.append(candidate)
        return [validated(self.settings, item, self.name) for item in drawn]


def road_named(name: str, metric: Metric, proxy: Proxy | None = None) -> Road:
    """Return the road of that name.

    Args:
        name: `auto` or `family:objective`. `auto` is `surrogate:recall_at_k` for a retrieval metric, the direct loss
            of a metric of scores that can be decoded (average precision, F1, ...), and `learned` for a mean over
            samples of outputs whose kind is known.
        metric: of the run.
        proxy: the loss that settings with a `proxy_weight` add.

    Raises:
        InputError: no such family or objective, or `auto` knows no road for this metric.
    """
    if name == "auto":
        decoded = direct.objective_for(metric)
        learnable = metric.per_sample and metric.kind is not None
        if metric.unit != "query" and decoded is None and not learnable:
            raise fail(
                "method='auto'",
                f"{metric.name} is measured per {metric.unit}",
                "a retrieval metric of embeddings, ours of scores by name (binary_average_precision, roc_auc, f1), or "
                "one of samples with a kind of output",
                "Name a method: direct:multiclass for class scores; direct:error_rate, direct:f_beta or direct:auc for "
                "scores of two classes.",
            )
        of_samples = "learned" if decoded is None else f"direct:{decoded}"
        name = "surrogate:recall_at_k" if metric.unit == "query" else of_samples
    if name.split("+")[0].split(":")[0] == "learned":
        return _learned(name, metric, proxy)
    family, _, objective = name.partition(":")
    if family not in FAMILIES:
        raise fail("method", f"there is no method {name!r}", "family:objective", nearest(family, FAMILIES))
    return (_direct if family == "direct" else _surrogate)(name, objective, metric, proxy)


def _learned(name: str, metric: Metric, proxy: Proxy | None) -> Road:
    """`learned` or `learned+filter`: the metric itself says what is learned."""
    base, *options = name.split("+")
    if base != "learned" or any(option != "filter" for option in options):
        raise fail("method", f"there is no method {name!r}", "learned or learned+filter")
    filtered = "filter" in options
    learned.check_learnable(metric)

    def make(settings: Any) -> Method:
        own = _own_proxy(name, settings, proxy) if settings.proxy_weight else None
        return learned.Learned(settings, filtered=filtered, proxy=own)

    return Road(name, make, learned.LearnedSettings, _with_weights(learned.space(filtered=filtered), proxy))


def road_for_loss(proxy: Proxy) -> Road:
    """Return the road of a proxy loss: the name of one of our losses or a callable `(outputs, targets) -> loss`."""
    if isinstance(proxy, str):
        surrogate.named_objective(proxy, {})  # an unknown name must fail now, not once training begins
    name = proxy if isinstance(proxy, str) else getattr(proxy, "__name__", type(proxy).__name__)

    def make(settings: Any) -> Method:
        if settings.proxy_weight:
            raise fail(
                f"proxy:{name}",
                f"proxy_weight is {settings.proxy_weight}",
                "0: the control arm is the proxy alone",
            )
        own = _proxy_objective(proxy, settings.objective)
        return surrogate.Surrogate(own, settings, given=_given(own))

    space = surrogate.space(proxy) if isinstance(proxy, str) else surrogate.SPACE
    return Road(f"proxy:{name}", make, surrogate.SurrogateSettings, space)


def check_proxy(proxy: Any) -> None:
    """Raise InputError for a proxy that is neither a name nor a loss."""
    if isinstance(proxy, type):
        raise fail(
            "tune", f"proxy is the class {proxy.__name__}", "a loss", f"Call it: {proxy.__name__}(...)."
        )
    if proxy is not None and not isinstance(proxy, str) and not callable(proxy):
        raise fail(
            "tune",
            f"proxy is {describe(proxy)}",
            "the name of a loss or a function (outputs, targets) -> loss",
        )


def validated(model: type[BaseModel], given: Mapping[str, Any], caller: str) -> Any:
    """Return the pydantic model made of `given`; InputError names the wrong key and the nearest right one."""
    for key in given:
        if key not in model.model_fields:
            raise fail(
                caller,
                f"there is no setting {key!r}",
                "a known setting",
                nearest(str(key), model.model_fields),
            )
    try:
        return model(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the settings"
        raise fail(caller, f"{where} is {first['input']!r}", first["msg"].lower()) from error


def _surrogate(name: str, objective: str, metric: Metric, proxy: Proxy | None) -> Road:
    of_scores = metric.unit != "query"
    surrogate.named_objective(objective, {}, of_scores=of_scores)  # an unknown name must fail now, not later

    def make(settings: Any) -> Method:
        loss = surrogate.named_objective(objective, settings.objective, of_scores=of_scores)
        both, given = _with_proxy(name, loss, settings, proxy)
        return surrogate.Surrogate(both, settings, given=given)

    return Road(
        name,
        make,
        surrogate.SurrogateSettings,
        _with_weights(surrogate.space(objective, of_scores=of_scores), proxy),
    )


def _direct(name: str, objective: str, metric: Metric, proxy: Proxy | None) -> Road:
    direct.named_direct(objective, metric, {})

    def make(settings: Any) -> Method:
        own = direct.named_direct(objective, metric, settings.objective)
        both, given = _with_proxy(name, own, settings, proxy)
        return direct.Direct(both, settings, own.loss, given=given)

    return Road(name, make, surrogate.SurrogateSettings, _with_weights(direct.space(), proxy))


def _with_proxy(name: str, loss: Any, settings: Any, proxy: Proxy | None) -> tuple[Any, GivenLoss | None]:
    """Add the share of the proxy that the settings ask for; returns the user's loss in it, too."""
    if not settings.proxy_weight:
        return loss, None
    own = _own_proxy(name, settings, proxy)
    return surrogate.added(loss, own, settings.proxy_weight), _given(own)


def _given(objective: Callable[[Any, Any], Any]) -> GivenLoss | None:
    return objective if isinstance(objective, GivenLoss) else None


def _own_proxy(name: str, settings: Any, proxy: Proxy | None) -> Callable[[Any, Any], Any]:
    """Return the proxy loss that settings with a `proxy_weight` add."""
    if proxy is None:
        raise fail(name, f"proxy_weight is {settings.proxy_weight} but there is no proxy", "a proxy, or 0")
    return _proxy_objective(proxy, settings.proxy)


def _with_weights(space: Mapping[str, tuple[Any, ...]], proxy: Proxy | None) -> Mapping[str, tuple[Any, ...]]:
    return space if proxy is None else {**space, "proxy_weight": (0.0, 0.1, 0.3)}


def _proxy_objective(proxy: Proxy, settings: Mapping[str, Any]) -> Callable[[Any, Any], Any]:
    if isinstance(proxy, str):
        return surrogate.named_objective(proxy, settings)
    if settings:
        raise fail(
            "proxy", f"settings {dict(settings)} for a callable", "none: set them where you make the callable"
        )
    return GivenLoss(copied(proxy) if isinstance(proxy, nn.Module) else proxy)  # the user's own never changes


def _with(given: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items()
    }
    for path, value in changes.items():
        *outer, last = path.split(".")
        place = merged
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = value
    return merged

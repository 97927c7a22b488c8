"""The road of the control arm: the proxy loss alone."""

from typing import Any

from metricgrad._checks import fail
from metricgrad.methods import objectives
from metricgrad.methods.descent import SPACE, DescentSettings
from metricgrad.methods.proxy import Proxy, check_proxy, proxy_objective
from metricgrad.methods.road import Road
from metricgrad.methods.surrogate import Surrogate

__all__ = ["road_for_loss"]


def road_for_loss(proxy: Proxy) -> Road:
    """Return the road of a proxy loss: the name of one of our losses or a callable `(outputs, targets) -> loss`."""
    check_proxy(proxy)
    space = SPACE
    if isinstance(proxy, str):
        objectives.named_objective(proxy, {})  # an unknown name must fail now, not once training begins
        space = {**SPACE, **objectives.space(proxy)}
    name = proxy if isinstance(proxy, str) else getattr(proxy, "__name__", type(proxy).__name__)

    def make(settings: Any) -> Surrogate:
        if settings.proxy_weight:
            raise fail(
                f"proxy:{name}",
                f"proxy_weight is {settings.proxy_weight}",
                "0: the control arm is the proxy alone",
            )
        own = proxy_objective(proxy, settings.objective)
        return Surrogate(own, settings, parts=[own])

    return Road(f"proxy:{name}", make, DescentSettings, space)

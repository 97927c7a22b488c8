"""The proxy loss of the user: checked, as an objective of its own, and as a share of another one."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from metricgrad._checks import caller, describe, fail
from metricgrad._copies import copied
from metricgrad.methods.given_loss import GivenLoss
from metricgrad.methods.objectives import Objective, named_objective

__all__ = ["Proxy", "added", "check_proxy", "own_proxy", "proxy_objective", "with_proxy", "with_weights"]

Proxy = str | Callable[[Any, Any], Any]
"""The name of one of our losses, or a callable `(outputs, targets) -> loss`."""


def check_proxy(proxy: Any) -> None:
    """Raise InputError for a proxy that is neither a name nor a loss."""
    if isinstance(proxy, type):
        raise fail(
            caller(), f"proxy is the class {proxy.__name__}", "a loss", f"Call it: {proxy.__name__}(...)."
        )
    if proxy is not None and not isinstance(proxy, str) and not callable(proxy):
        raise fail(
            caller(),
            f"proxy is {describe(proxy)}",
            "the name of a loss or a function (outputs, targets) -> loss",
        )


def proxy_objective(proxy: Proxy, settings: Mapping[str, Any]) -> Objective:
    """Return a proxy loss as an objective; a module is copied, the user's own never changes."""
    if isinstance(proxy, str):
        return named_objective(proxy, settings, complete=True)
    if settings:
        raise fail(
            "proxy", f"settings {dict(settings)} for a callable", "none: set them where you make the callable"
        )
    return GivenLoss(copied(proxy) if isinstance(proxy, nn.Module) else proxy)


def own_proxy(name: str, settings: Any, proxy: Proxy | None) -> Objective | None:
    """Return the proxy loss that settings with a `proxy_weight` add; None where they add none."""
    if not settings.proxy_weight:
        return None
    if proxy is None:
        raise fail(name, f"proxy_weight is {settings.proxy_weight} but there is no proxy", "a proxy, or 0")
    return proxy_objective(proxy, settings.proxy)


def with_proxy(
    name: str, objective: Objective, settings: Any, proxy: Proxy | None
) -> tuple[Objective, Objective | None]:
    """Add the share of the proxy that the settings ask for; returns the sum, and the proxy loss in it."""
    own = own_proxy(name, settings, proxy)
    return (objective, None) if own is None else (added(objective, own, settings.proxy_weight), own)


def with_weights(values: Mapping[str, tuple[Any, ...]], proxy: Proxy | None) -> Mapping[str, tuple[Any, ...]]:
    """Let tries draw the share of the proxy, where there is one."""
    return values if proxy is None else {**values, "proxy_weight": (0.0, 0.1, 0.3)}


def added(objective: Objective, proxy: Objective, weight: float) -> Objective:
    """Return `objective + weight * proxy`, each averaged on its own.

    A surrogate of a rank sees only what is near the cut-off; a little of the proxy keeps the rest in place.
    """

    def both(outputs: Any, targets: Any) -> Tensor:
        return objective(outputs, targets).mean() + weight * proxy(outputs, targets).mean()

    return both

"""What the family of black-box methods is called, what it suits, and the roads that it offers."""

from typing import Any

from metricgrad._checks import fail
from metricgrad._types import Metric
from metricgrad.methods.blackbox_settings import (
    EvolutionSettings,
    MixtureSettings,
    PolicySettings,
    SearchSettings,
    ValueSettings,
)
from metricgrad.methods.evolved import Evolved
from metricgrad.methods.family import Family
from metricgrad.methods.grammar import MethodName, unknown_method
from metricgrad.methods.mixture_search import MixtureSearch
from metricgrad.methods.proxy import Proxy, proxy_objective
from metricgrad.methods.road import Road
from metricgrad.methods.sampled_policy import SampledPolicy
from metricgrad.methods.value_guided import ValueGuided

__all__ = ["FAMILY"]

_SPACES: dict[str, dict[str, tuple[Any, ...]]] = {
    "mixture": {"adapter": ("bias", "film"), "learning_rate": (3e-3, 1e-2, 3e-2)},
    "evolution": {"adapter": ("bias", "film"), "learning_rate": (0.02, 0.05, 0.1), "sigma": (0.05, 0.1, 0.2)},
    "value_function": {"adapter": ("bias", "film"), "learning_rate": (0.01, 0.02, 0.05)},
    "policy": {"learning_rate": (3e-5, 1e-4, 3e-4), "start_weight": (0.0, 0.05)},
}
_SETTINGS: dict[str, type[Any]] = {
    "mixture": MixtureSettings,
    "evolution": EvolutionSettings,
    "value_function": ValueSettings,
    "policy": PolicySettings,
}
_EXPLAINED: dict[str, Any] = {
    "mixture": MixtureSearch,
    "evolution": Evolved,
    "value_function": ValueGuided,
    "policy": SampledPolicy,
}


def _road(name: MethodName, metric: Metric, proxy: Proxy | None) -> Road:
    which = name.objective
    if which not in _SETTINGS or name.options:
        raise unknown_method(name, ", ".join(f"blackbox:{one}" for one in _SETTINGS))

    def make(settings: Any) -> Any:
        if which == "policy":
            return SampledPolicy(settings)
        if proxy is None and (which != "evolution" or settings.loss_weight):
            raise fail(
                str(name), "there is no proxy", "a proxy: the training loss that is weighed or followed"
            )
        objective = None if proxy is None else proxy_objective(proxy, settings.proxy)
        return _EXPLAINED[which](objective, settings)

    return Road(str(name), make, _SETTINGS[which], _SPACES[which])


FAMILY = Family(
    name="blackbox",
    line="Calls the metric on a part of fit held back, counted: for metrics of a whole set that have no other road.",
    settings=SearchSettings,
    suits=lambda metric: "it must be asked for by name: rules and losses that know the metric do better",
    road=_road,
    roads=lambda: {f"blackbox:{name}": what for name, what in _EXPLAINED.items()},
)

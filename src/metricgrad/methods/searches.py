"""The searches of the black-box family by name: class, settings, and the values that tries draw from."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from metricgrad._types import Reading
from metricgrad.methods.evolved import EvolutionSettings, Evolved
from metricgrad.methods.mixture_search import MixtureSearch, MixtureSettings
from metricgrad.methods.sampled_policy import PolicySettings, SampledPolicy
from metricgrad.methods.value_guided import ValueGuided, ValueSettings

__all__ = ["SEARCHES", "SearchKind"]


class SearchKind(NamedTuple):
    """A search.

    Attributes:
        method: (training loss or None, settings) -> method.
        explained: what stands for it in lists.
        settings: their model.
        space: for each setting the values that tries draw from.
        needs_loss: settings -> whether it cannot do without a training loss.
        reads: what the metric may make of the outputs where that is known; None for anything.
    """

    method: Callable[[Any, Any], Any]
    explained: Any
    settings: type[Any]
    space: Mapping[str, tuple[Any, ...]]
    needs_loss: Callable[[Any], bool]
    reads: Collection[Reading] | None = None


SEARCHES: Mapping[str, SearchKind] = {
    "mixture": SearchKind(
        MixtureSearch,
        MixtureSearch,
        MixtureSettings,
        {"adapter": ("bias", "film"), "learning_rate": (3e-3, 1e-2, 3e-2)},
        lambda settings: True,
    ),
    "evolution": SearchKind(
        Evolved,
        Evolved,
        EvolutionSettings,
        {"adapter": ("bias", "film"), "learning_rate": (0.02, 0.05, 0.1), "sigma": (0.05, 0.1, 0.2)},
        lambda settings: settings.loss_weight > 0,
    ),
    "value_function": SearchKind(
        ValueGuided,
        ValueGuided,
        ValueSettings,
        {"adapter": ("bias", "film"), "learning_rate": (0.01, 0.02, 0.05)},
        lambda settings: True,
    ),
    "policy": SearchKind(
        lambda loss, settings: SampledPolicy(settings),
        SampledPolicy,
        PolicySettings,
        {"learning_rate": (3e-5, 1e-4, 3e-4), "start_weight": (0.0, 0.05)},
        lambda settings: False,
        ("classes", "pixels", "texts"),
    ),
}

"""Losses of embeddings as objectives `(outputs, targets) -> loss`, by what they take."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from metricgrad._checks import fail, require_settings
from metricgrad._structures import one_tensor
from metricgrad.averages import mean_valid
from metricgrad.methods.trial import Objective
from metricgrad.pairing import SiMix, has_positive
from metricgrad.ranking import RankingLoss

__all__ = ["taking_embeddings", "taking_ranks"]

RANK_TEMPERATURE = 0.05
"""Default rank temperature of a surrogate of ranks on unit embeddings: smaller ones starve most positives."""


def taking_ranks(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """Every embedding is a query."""
    simix = _simix(settings.get("simix", False))
    return RankingLoss(loss, **{"temperature": RANK_TEMPERATURE, **settings, "simix": simix})


def taking_embeddings(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """A loss of pairs: rows without another of their label have no loss, they are not losses of 0."""

    def objective(outputs: Any, targets: Any) -> Tensor:
        one_tensor(name, outputs)
        return mean_valid(loss(outputs, targets, **settings), has_positive(targets))

    return objective


def _simix(given: Any) -> SiMix | None:
    """Return what the setting `simix` says: true, false (or null), or settings by name."""
    if not isinstance(given, Mapping):
        if given not in (True, False, None):
            raise fail("method", f"simix is {given!r}", "true, false or its settings by name")
        return SiMix() if given else None
    known = ("pairs_per_class", "virtual_queries")  # a generator cannot be written in a recipe
    require_settings("simix", given, known)
    return SiMix(**given)

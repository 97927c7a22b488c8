"""Losses of embeddings as objectives `(outputs, targets) -> loss`, by what they take.

Outputs are one matrix of embeddings under labels, or the two sides of a batch of pairs (`pairing.TwoTowers`):
embeddings of queries and of documents, with the relevance of every pair among the targets (`tune.PairSplit`).
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from metricgrad._checks import fail, require_settings
from metricgrad._structures import form, one_tensor
from metricgrad.averages import mean_valid
from metricgrad.methods.trial import Objective
from metricgrad.pairing import SiMix, has_positive
from metricgrad.ranking import RankingLoss

__all__ = ["sides_of", "taking_embeddings", "taking_ranks"]

RANK_TEMPERATURE = 0.05
"""Default rank temperature of a surrogate of ranks on unit embeddings: smaller ones starve most positives."""


def sides_of(name: str, outputs: Any, targets: Any) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return queries, documents and the relevance of a batch of pairs; None where the outputs have no two sides.

    Raises:
        InputError: outputs of two sides under targets that do not say what is relevant.
    """
    if not isinstance(outputs, Mapping) or set(outputs) != {"query", "document"}:
        return None
    if not isinstance(targets, Mapping) or "relevance" not in targets:
        came = f"the network embeds queries and documents, and targets are {form(targets)}"
        raise fail(
            name, came, "relevance [query, document] among the targets", "A PairSplit gives such batches."
        )
    return outputs["query"], outputs["document"], targets["relevance"]


def taking_ranks(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """Every embedding is a query, or those of the query side are."""
    simix = _simix(settings.get("simix", False))
    criterion = RankingLoss(loss, **{"temperature": RANK_TEMPERATURE, **settings, "simix": simix})

    def objective(outputs: Any, targets: Any) -> Tensor:
        sides = sides_of(name, outputs, targets)
        return criterion(outputs, targets) if sides is None else criterion.judged(*sides)

    return objective


def taking_embeddings(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """A loss of pairs: rows without another of their label have no loss, they are not losses of 0.

    One value for a whole batch is left as it is.
    """
    two_sided = "documents" in inspect.signature(loss).parameters

    def objective(outputs: Any, targets: Any) -> Tensor:
        sides = sides_of(name, outputs, targets)
        if sides is not None and two_sided:
            queries, documents, relevance = sides
            return _mean(loss(queries, relevance, documents=documents, **settings), (relevance > 0).any(1))
        if sides is not None:
            came = "the batch holds queries and documents"
            raise fail(name, came, "rows under labels", "info_nce is the loss of that kind for pairs.")
        one_tensor(name, outputs)
        return _mean(loss(outputs, targets, **settings), has_positive(targets))

    return objective


def _mean(losses: Tensor, valid: Tensor) -> Tensor:
    return losses if losses.ndim == 0 else mean_valid(losses, valid)


def _simix(given: Any) -> SiMix | None:
    """Return what the setting `simix` says: true, false (or null), or settings by name."""
    if not isinstance(given, Mapping):
        if given not in (True, False, None):
            raise fail("method", f"simix is {given!r}", "true, false or its settings by name")
        return SiMix() if given else None
    known = ("pairs_per_class", "virtual_queries")  # a generator cannot be written in a recipe
    require_settings("simix", given, known)
    return SiMix(**given)

"""What is kept of every query of a metric over embeddings, one value each, and the facts that such metrics share."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._labels import Labels
from metricgrad.metrics import of_ranks
from metricgrad.metrics.embedded import rank_tiles
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.ranks import TILE, Ties, require_ties

__all__ = ["ranked", "ranked_rows", "voted", "voted_rows"]


def ranked_rows(
    formula: Callable[..., Tensor],
    outputs: Tensor | np.ndarray,
    targets: Labels,
    *,
    reference_outputs: Tensor | np.ndarray | None = None,
    reference_targets: Labels | None = None,
    ties: Ties = "pessimistic",
    normalize: bool = True,
    tile: int = TILE,
    **settings: Any,
) -> Float[Tensor, "query"]:
    """Value of every query by a formula of `of_ranks`; the ranks are found tile by tile."""
    name = formula.__name__
    require_ties(name, ties)
    _require_bool(name, normalize)
    references = {"reference_embeddings": reference_outputs, "reference_labels": reference_targets}
    how = {"ties": ties, "normalize": normalize, "tile": tile}
    tiles = rank_tiles(outputs, targets, **references, **how, caller=name)
    return torch.cat([formula(ranks, **settings) for ranks in tiles])


def voted_rows(
    function: Callable[..., Tensor],
    outputs: Float[Tensor, "query dim"],
    targets: Labels,
    *,
    reference_outputs: Float[Tensor, "item dim"] | None = None,
    reference_targets: Labels | None = None,
    **settings: Any,
) -> Float[Tensor, "query"]:
    """Value of every query by a function of the votes of its neighbours."""
    _require_bool(function.__name__, settings.get("normalize", True))
    references = {"reference_embeddings": reference_outputs, "reference_labels": reference_targets}
    return function(outputs, targets, **references, **settings)


def ranked(
    function: Callable[..., Tensor],
    says: Callable[[Mapping[str, Any]], str] | None = None,
    **more: Any,
) -> Facts:
    """Facts of a retrieval metric: its formula is the function of `of_ranks` of the same name.

    Args:
        function: of `retrieval`.
        says: settings -> which reading of the name this is; None for the first line of the docstring.
        **more: other facts.
    """
    formula = getattr(of_ranks, function.__name__)

    def describe(sentence: str, settings: Mapping[str, Any]) -> str:
        return (
            f"{says(settings) if says else sentence}; mean over the queries that have a relevant item, "
            f"{_similarity(settings)}, ties {settings['ties']}"
        )

    rows = partial(ranked_rows, formula)
    return Facts(function, "embeddings", rows, formula=formula, unit="query", describe=describe, **more)


def voted(function: Callable[..., Tensor], right: str, *, higher_is_better: bool = True) -> Facts:
    """Facts of a metric of the votes of neighbours; `right` says which votes count."""

    def describe(sentence: str, settings: Mapping[str, Any]) -> str:
        return (
            f"share of the queries for which the vote ({settings['weights']}) of the {settings['k']} nearest items is "
            f"{right}, {_similarity(settings)}, equals by index"
        )

    rows = partial(voted_rows, function)
    return Facts(
        function, "embeddings", rows, unit="query", higher_is_better=higher_is_better, describe=describe
    )


def _similarity(settings: Mapping[str, Any]) -> str:
    return "cosine similarity" if settings["normalize"] else "dot product"


def _require_bool(caller: str, normalize: Any) -> None:
    if not isinstance(normalize, bool):
        raise fail(caller, f"normalize is {normalize!r}", "true or false")

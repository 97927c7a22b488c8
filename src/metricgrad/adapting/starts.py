"""From closed forms to networks that are trained, and from these back to maps."""

from typing import Any, Literal

from torch import nn

from metricgrad.adapting.head import Head
from metricgrad.adapting.job import Start
from metricgrad.adapting.narrow import narrowed
from metricgrad.pairing import TwoTowers
from metricgrad.projection import PairProjection, Projection

__all__ = ["label_map", "label_start", "pair_maps", "pair_start"]


def label_start(form: Projection, rows: Any) -> Start:
    """One head for all items.

    Args:
        form: the closed form.
        rows: vectors of fit [row, dim].
    """
    (start,) = narrowed([(form, rows)])
    return Start(Head(start), start)


def label_map(head: nn.Module, name: str) -> Projection:
    """The map that a head has become."""
    assert isinstance(head, Head)
    return head.projection(name, {})


def pair_start(form: PairProjection, queries: Any, documents: Any, side: Literal["both", "query"]) -> Start:
    """A head for each side; with side `query` documents, and so the space of all, stay as they are.

    Args:
        form: the closed form.
        queries: vectors of fit [pair, dim].
        documents: of the same pairs.
        side: what is trained.
    """
    if side == "query":
        return Start(TwoTowers(Head(form.query), form.document, side=side), form)
    query, document = narrowed([(form.query, queries), (form.document, documents)])
    start = form if query is form.query else PairProjection(query, document)
    return Start(TwoTowers(Head(query), Head(document)), start)


def pair_maps(towers: nn.Module, name: str) -> PairProjection:
    """The maps that the heads have become, beside documents that stayed."""
    assert isinstance(towers, TwoTowers)
    maps = [
        tower.projection(name, {}) if isinstance(tower, Head) else tower for tower in towers.towers.values()
    ]
    return PairProjection(*maps)  # pyright: ignore[reportArgumentType]

"""Judged queries and documents as a job: a map for each side, or one for the queries alone."""

from typing import Literal

import numpy as np
from torch import nn

from metricgrad._qrels import Qrels
from metricgrad._types import Metric
from metricgrad.adapting.head import Head, unchanged
from metricgrad.adapting.job import Job
from metricgrad.adapting.pair_splits import form_pairs, pair_splits
from metricgrad.adapting.parts import Parts
from metricgrad.pairing import TwoTowers
from metricgrad.projection import PairProjection, pair_grid, query_grid

__all__ = ["Side", "pair_job"]

Side = Literal["both", "query"]
FEWEST = 50


def pair_job(
    queries: np.ndarray,
    documents: np.ndarray,
    qrels: Qrels,
    parts: Parts,
    metric: Metric,
    *,
    side: Side,
    batch: int,
    seed: int,
) -> Job:
    """Prepare it; see `adapt_pairs`."""
    splits, notes = pair_splits(queries, documents, qrels, parts, batch=batch, seed=seed)
    as_they_are = unchanged(documents.shape[1])
    grid = pair_grid if side == "both" else query_grid

    def start(form: PairProjection) -> TwoTowers:
        return TwoTowers(Head(form.query), Head(form.document) if side == "both" else as_they_are, side=side)

    many = len(parts.fit)
    return Job(
        metric,
        parts,
        splits,
        forms=lambda: grid(*form_pairs(queries, documents, qrels, parts.fit, seed)),
        network=lambda form: TwoTowers(form.query, form.document),
        start=start,
        trained=_maps_of,
        raw=PairProjection(as_they_are, as_they_are) if queries.shape[1] == documents.shape[1] else None,
        raw_is_an_arm=False,
        proxy="info_nce",
        too_few=f"{many} queries of fit are fewer than {FEWEST}" if many < FEWEST else "",
        notes=notes,
        side=side,
    )


def _maps_of(towers: nn.Module, name: str) -> PairProjection:
    assert isinstance(towers, TwoTowers)
    maps = [
        tower.projection(name, {}) if isinstance(tower, Head) else tower for tower in towers.towers.values()
    ]
    return PairProjection(*maps)  # pyright: ignore[reportArgumentType]

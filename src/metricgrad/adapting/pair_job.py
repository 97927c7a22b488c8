"""Judged queries and documents as a job: a map for each side, or one for the queries alone."""

from typing import Literal

import numpy as np

from metricgrad._qrels import Qrels
from metricgrad._types import Metric
from metricgrad.adapting.head import unchanged
from metricgrad.adapting.job import Fewer, Job, Start
from metricgrad.adapting.pair_splits import fit_pairs, form_pairs, pair_splits, share_of
from metricgrad.adapting.parts import Parts
from metricgrad.adapting.starts import pair_maps, pair_start
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

    def start(form: PairProjection, numbers: np.ndarray) -> Start:
        return pair_start(form, *form_pairs(queries, documents, qrels, numbers, seed), side)

    def fewer(share: float) -> Fewer:
        numbers = share_of(parts.fit, share, seed)
        return Fewer(
            len(numbers),
            "queries",
            fit_pairs(queries, documents, qrels, parts, numbers, batch),
            forms=lambda: grid(*form_pairs(queries, documents, qrels, numbers, seed)),
            start=lambda form: start(form, numbers),
            too_few=_too_few(len(numbers)),
        )

    return Job(
        metric,
        parts,
        splits,
        forms=lambda: grid(*form_pairs(queries, documents, qrels, parts.fit, seed)),
        network=lambda form: form,
        start=lambda form: start(form, parts.fit),
        trained=pair_maps,
        raw=PairProjection(as_they_are, as_they_are) if queries.shape[1] == documents.shape[1] else None,
        proxy="info_nce",
        fewer=fewer,
        too_few=_too_few(len(parts.fit)),
        notes=notes,
        side=side,
    )


def _too_few(many: int) -> str:
    return f"{many} queries of fit are fewer than {FEWEST}" if many < FEWEST else ""

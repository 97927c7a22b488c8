"""Every closed form of pairs to choose among, from one pass over the rows and one decomposition of each matrix."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from metricgrad.projection.centre import Centre, Identity
from metricgrad.projection.pair_moments import PairMoments, pair_moments
from metricgrad.projection.pair_projection import PairProjection
from metricgrad.projection.pairs import CCA, Procrustes, Ridge, WithinPairWhitening
from metricgrad.projection.whitening import POWERS, SHRINKAGES

__all__ = ["pair_grid", "query_grid"]

_WEIGHTS = (0.5, 1.0)


def pair_grid(queries: Any, documents: Any, *, block: int | None = None) -> Iterator[PairProjection]:
    """Closed forms of pairs, one after the other: the unchanged rows first, then what the pairs allow.

    Centring, each side by its own mean; within-pair whitening (shrinkage 0.01 to 1, power -0.5 and -0.25); Procrustes;
    CCA (the same shrinkages, weights s^0.5 and s); ridge regression (penalty 0.01 to 1). Sides of different dimensions
    leave CCA and ridge regression; sides that do not vary leave the unchanged rows.

    Args:
        queries: vectors [pair, dim]: array, memory map (read once, in blocks) or tensor.
        documents: vectors [pair, dim]; row i belongs to row i of the queries.
        block: pairs to read at a time.

    Raises:
        InputError: at the call: as `pair_moments`.

    Cost: O(pair dim^2) once, and O(dim^3) per form; one form is in memory at a time.
    """
    return _of_pairs(pair_moments("pair_grid", queries, documents, block=block))


def query_grid(queries: Any, documents: Any, *, block: int | None = None) -> Iterator[PairProjection]:
    """Closed forms of pairs that leave documents as they are, so that an index of them stays.

    The unchanged rows first, then Procrustes and ridge regression (penalty 0.01 to 1) of queries alone. Sides of
    different dimensions leave ridge regression; sides that do not vary leave the unchanged rows.

    Args:
        queries: as `pair_grid`.
        documents: as `pair_grid`.
        block: pairs to read at a time.

    Raises:
        InputError: at the call: as `pair_moments`.
    """
    return _of_queries(pair_moments("query_grid", queries, documents, block=block))


def _of_queries(sums: PairMoments) -> Iterator[PairProjection]:
    if sums.one_space:
        yield PairProjection(Identity().of_dims(sums.query.dims), Identity().of_dims(sums.query.dims))
    if not (sums.query.varies and sums.document.varies):
        return
    if sums.one_space:
        yield Procrustes().of_queries(sums)
    for penalty in SHRINKAGES:
        yield Ridge(penalty).of_queries(sums)


def _of_pairs(sums: PairMoments) -> Iterator[PairProjection]:
    if sums.one_space:
        yield PairProjection(Identity().of_dims(sums.query.dims), Identity().of_dims(sums.query.dims))
    if not (sums.query.varies and sums.document.varies):
        return
    if sums.one_space:
        yield PairProjection(Centre().of(sums.query), Centre().of(sums.document))
        if sums.difference.varies:
            for shrinkage, power in product(SHRINKAGES, POWERS):
                yield WithinPairWhitening(shrinkage, power).of(sums)
        yield Procrustes().of(sums)
    for shrinkage in SHRINKAGES:
        yield from CCA.family(sums, shrinkage, _WEIGHTS)
    for penalty in SHRINKAGES:
        yield Ridge(penalty).of(sums)

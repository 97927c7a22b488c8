"""Closed forms of pairs: row i of the queries belongs to row i of the documents."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad._checks import finite_number, positive_number
from metricgrad.projection.centre import Identity, centred
from metricgrad.projection.pair_moments import PairMoments, pair_moments
from metricgrad.projection.pair_projection import PairProjection
from metricgrad.projection.projection import Projection

__all__ = ["CCA", "Procrustes", "Ridge", "WithinPairWhitening"]


def _both(
    query: Float64[Tensor, "out query_dim"],
    document: Float64[Tensor, "out document_dim"],
    sums: PairMoments,
    name: str,
    settings: dict[str, float],
) -> PairProjection:
    """Both sides minus their own means, mapped."""
    return PairProjection(
        centred(query, sums.query, name, settings), centred(document, sums.document, name, settings)
    )


def _of_queries(
    weight: Float64[Tensor, "out query_dim"], sums: PairMoments, name: str, settings: dict[str, float]
) -> PairProjection:
    """Queries minus their mean, mapped, plus the mean of the documents, which stay as they are."""
    name = f"{name} of queries alone"
    identity = Identity().of_dims(sums.document.dims)
    query = centred(weight, sums.query, name, settings, onto=sums.document.mean)
    return PairProjection(query, Projection(identity.weight, identity.bias, name=name, settings=settings))


def _unchanged(sums: PairMoments) -> Float64[Tensor, "dim dim"]:
    """The map of documents that leaves their directions alone."""
    return torch.eye(sums.document.dims, dtype=torch.float64)


@dataclass(frozen=True)
class WithinPairWhitening:
    """Whitening within pairs: directions in which a query and its document differ much count less.

    (q - m_q) V (w + shrinkage mean(w))^power, and d - m_d alike, with w, V the eigenpairs of the covariance (n - 1) of
    q - m_q - (d - m_d).

    Attributes:
        shrinkage: >= 0, in units of the mean eigenvalue.
        power: -0.5 whitens fully, -0.25 half way.
    """

    shrinkage: float = 0.1
    power: float = -0.5

    def __post_init__(self) -> None:
        positive_number("WithinPairWhitening", "shrinkage", self.shrinkage, zero=True)
        finite_number("WithinPairWhitening", "power", self.power)

    def fit(self, queries: Any, documents: Any) -> PairProjection:
        """Fit to pairs of vectors [pair, dim].

        Raises:
            InputError: as `pair_moments`; sides of different dimensions; all differences alike; shrinkage 0 where the
                covariance has no inverse.

        Cost: O(pair dim^2 + dim^3).
        """
        return self.of(pair_moments("WithinPairWhitening.fit", queries, documents))

    def of(self, sums: PairMoments) -> PairProjection:
        """The same from sums."""
        weight = sums.difference.covariance.power(sums.caller, self.shrinkage, self.power)
        settings = {"shrinkage": self.shrinkage, "power": self.power}
        return _both(weight, weight, sums, "within-pair whitening", settings)


@dataclass(frozen=True)
class Procrustes:
    """The rotation of q - m_q that brings it nearest to d - m_d.

    Reference:
        [schonemann1966procrustes].
    """

    def fit(self, queries: Any, documents: Any) -> PairProjection:
        """Fit to pairs of vectors [pair, dim].

        Raises:
            InputError: as `pair_moments`; sides of different dimensions; all rows of a side are alike.

        Cost: O(pair dim^2 + dim^3).
        """
        return self.of(pair_moments("Procrustes.fit", queries, documents))

    def of(self, sums: PairMoments) -> PairProjection:
        """The same from sums."""
        return _both(self._turn(sums), _unchanged(sums), sums, "Procrustes", {})

    def fit_queries(self, queries: Any, documents: Any) -> PairProjection:
        """The same with documents unchanged, so that an index of them stays: the turned queries get their mean."""
        return self.of_queries(pair_moments("Procrustes.fit_queries", queries, documents))

    def of_queries(self, sums: PairMoments) -> PairProjection:
        """The same from sums."""
        return _of_queries(self._turn(sums), sums, "Procrustes", {})

    @staticmethod
    def _turn(sums: PairMoments) -> Float64[Tensor, "dim dim"]:
        sums.require_one_space()
        left, _, right = torch.linalg.svd(sums.across)
        return (left @ right).T


@dataclass(frozen=True)
class CCA:
    """Canonical correlation analysis with shrinkage: both sides whitened, turned to one another, and weighted.

    W = V (w + shrinkage mean(w))^-1/2 of the covariance (n - 1) of each side; U s V^T = W_q^T C_qd W_d; the sides are
    (q - m_q) W_q U s^power and (d - m_d) W_d V s^power, in min(dim of queries, dim of documents) directions.

    Attributes:
        shrinkage: >= 0, in units of the mean eigenvalue of each side.
        power: of the correlations s: 0 leaves all directions alike, 1 weighs most by those that agree.
    """

    shrinkage: float = 0.1
    power: float = 1.0

    def __post_init__(self) -> None:
        positive_number("CCA", "shrinkage", self.shrinkage, zero=True)
        positive_number("CCA", "power", self.power, zero=True)

    def fit(self, queries: Any, documents: Any) -> PairProjection:
        """Fit to pairs of vectors [pair, dim of queries], [pair, dim of documents].

        Raises:
            InputError: as `pair_moments`; all rows of a side are alike; shrinkage 0 where a covariance has no inverse.

        Cost: O(pair dim^2 + dim^3).
        """
        return self.of(pair_moments("CCA.fit", queries, documents))

    def of(self, sums: PairMoments) -> PairProjection:
        """The same from sums."""
        (found,) = self.family(sums, self.shrinkage, [self.power])
        return found

    @staticmethod
    def family(sums: PairMoments, shrinkage: float, powers: Iterable[float]) -> Iterator[PairProjection]:
        """One pair of projections for each power, from one decomposition."""
        query = sums.query.covariance.power(sums.caller, shrinkage, -0.5)
        document = sums.document.covariance.power(sums.caller, shrinkage, -0.5)
        across = query @ sums.across @ document.T / (sums.count - 1)
        left, correlations, right = torch.linalg.svd(across, full_matrices=False)
        for power in powers:
            weights = correlations.pow(power)[:, None]
            settings = {"shrinkage": shrinkage, "power": power}
            yield _both(weights * (left.T @ query), weights * (right @ document), sums, "CCA", settings)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of documents on queries: a query is mapped to where its document should be.

    (q - m_q) B with B = (C_q + penalty mean(w) I)^-1 C_qd and w the eigenvalues of C_q; documents become d - m_d.

    Attributes:
        penalty: >= 0, in units of the mean eigenvalue of the queries' covariance (n - 1).

    Reference:
        [hastie2009elements], section 3.4.1.
    """

    penalty: float = 0.1

    def __post_init__(self) -> None:
        positive_number("Ridge", "penalty", self.penalty, zero=True)

    def fit(self, queries: Any, documents: Any) -> PairProjection:
        """Fit to pairs of vectors [pair, dim of queries], [pair, dim of documents].

        Raises:
            InputError: as `pair_moments`; all rows of a side are alike; penalty 0 where the covariance of the queries
                has no inverse; queries that tell nothing about their documents.

        Cost: O(pair dim^2 + dim^3).
        """
        return self.of(pair_moments("Ridge.fit", queries, documents))

    def of(self, sums: PairMoments) -> PairProjection:
        """The same from sums."""
        slopes = self._slopes(sums)
        return _both(slopes, _unchanged(sums), sums, "ridge regression", {"penalty": self.penalty})

    def fit_queries(self, queries: Any, documents: Any) -> PairProjection:
        """The same with documents unchanged, so that an index of them stays: regression with an intercept."""
        return self.of_queries(pair_moments("Ridge.fit_queries", queries, documents))

    def of_queries(self, sums: PairMoments) -> PairProjection:
        """The same from sums."""
        return _of_queries(self._slopes(sums), sums, "ridge regression", {"penalty": self.penalty})

    def _slopes(self, sums: PairMoments) -> Float64[Tensor, "document_dim query_dim"]:
        found = sums.query.covariance
        inverse = found.power(sums.caller, self.penalty, -1.0)
        return sums.across.T @ found.directions.T @ inverse / (sums.count - 1)

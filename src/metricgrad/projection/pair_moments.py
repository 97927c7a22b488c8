"""Sums over pairs of unit rows, from one pass: those of each side, and those across."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad._checks import fail
from metricgrad.projection.moments import Moments, scatter_of
from metricgrad.projection.rows import rows_of

__all__ = ["PairMoments", "pair_moments"]


_ROUNDING = 1e-13
"""Of the spread of both sides: less of a difference of them is rounding."""


@dataclass(frozen=True)
class PairMoments:
    """Sums of pairs of unit rows.

    Attributes:
        query: of the queries.
        document: of their documents.
        across: sum of (query - mean)(document - mean)^T [dim of queries, dim of documents].
    """

    query: Moments
    document: Moments
    across: Float64[Tensor, "query_dim document_dim"]

    @property
    def caller(self) -> str:
        """For messages."""
        return self.query.caller

    @property
    def count(self) -> int:
        """Pairs."""
        return self.query.count

    @property
    def one_space(self) -> bool:
        """Whether both sides have the same number of dimensions, so that they can be compared as they are."""
        return self.query.dims == self.document.dims

    def require_one_space(self) -> None:
        """Raise InputError where the sides have different numbers of dimensions."""
        if not self.one_space:
            raise fail(
                self.caller,
                f"queries have {self.query.dims} dimensions and documents {self.document.dims}",
                "one number of dimensions",
                "CCA and Ridge map one space to another.",
            )

    @cached_property
    def difference(self) -> Moments:
        """Sums of query - document; what is left by rounding alone, where all pairs are equal, is no spread."""
        self.require_one_space()
        both = self.query.scatter + self.document.scatter
        scatter = both - self.across - self.across.T
        if scatter.trace() <= _ROUNDING * both.trace():
            scatter = torch.zeros_like(scatter)
        rounding = max(self.query.rounding, self.document.rounding)
        mean = self.query.mean - self.document.mean
        return Moments(self.caller, self.count, mean, scatter, rounding=rounding)


def pair_moments(caller: str, queries: Any, documents: Any, *, block: int | None = None) -> PairMoments:
    """Read the pairs once and return their sums, in float64.

    Args:
        caller: for messages.
        queries: vectors [pair, dim of queries] of float16, float32 or float64: array, memory map or tensor.
        documents: vectors [pair, dim of documents]; row i belongs to row i of the queries.
        block: pairs to read at a time; default: 8 MB of float64 on the wider side, and 1,024 pairs at least.

    Raises:
        InputError: no such vectors, NaN or infinite values, another number of rows on each side.

    Cost: O(pair dim^2) time.
    """
    wide = (
        rows_of(caller, "queries", queries, block=block),
        rows_of(caller, "documents", documents, block=block),
    )
    if wide[0].count != wide[1].count:
        raise fail(
            caller,
            f"there are {wide[0].count} queries and {wide[1].count} documents",
            "pairs: row i of one belongs to row i of the other",
        )
    smallest = min(rows.block for rows in wide)
    left, right = (rows_of(caller, rows.name, rows.source, block=smallest).unit_blocks() for rows in wide)
    both = (torch.cat(parts, dim=1) for parts in zip(left, right, strict=True))
    cut, dims = wide[0].dims, wide[0].dims + wide[1].dims
    count, mean, scatter = scatter_of(both, dims)
    return PairMoments(
        Moments(caller, count, mean[:cut], scatter[:cut, :cut], rounding=wide[0].rounding),
        Moments(caller, count, mean[cut:], scatter[cut:, cut:], rounding=wide[1].rounding),
        scatter[:cut, cut:],
    )

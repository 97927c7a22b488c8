"""Similarities of embeddings in an order that is exact and does not depend on how they are computed.

A float matrix product depends in its last bits on the shape of the tile and on the position in it: copies of one item
get similarities that differ by one rounding, and a tie is broken at random. An exact metric must not depend on such
things. So there are two products here.

The **rounded** one is one float64 matrix product. Its error has a bound (`slack`), and it settles every comparison of
two similarities that are further apart than that: of ordinary embeddings, all of them.

The **exact** one settles the others. Each row is cut into three numbers per coordinate, on grids of 2^-26, some 2^-49
and some 2^-72, which a row of length 1 is a sum of. Products of such parts are whole multiples of one power of two, and
their sums stay below 2^53 of these, so that float64 adds them **without any rounding, in every order**. Tiles of any
shape, single pairs, threads and devices that add and multiply in IEEE float64 give the same numbers bit for bit.

* Cosine: the similarity is the cosine of the rows as they came, in whole steps of 2^-62, an int64. Rows that are 1e-9
  apart are told apart, where float64 cosines tell 1e-8.
* Dot product: the product of the rows as they came, rounded to float64 once. Every row is measured in a unit of its
  own, so that one long row does not blind the others. (What a coordinate adds is lost where it is 2^-70 of the product
  of the two lengths; float64 rows that are orthogonal have a product of that size, not always 0.)

Copies of an item tie exactly. So do multiples of it under cosine where the multiple itself was not rounded (twice a
row; three times one of float32, in float64); two rows that only nearly are multiples are ordered by their cosines.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from metricgrad.metrics.rows import Later, Rows
from metricgrad.metrics.split import Limbs, limbs

__all__ = ["Similarities"]

_STEP = 2.0**-62
"""Of a cosine: one fits into an int64, and the roundings of equal cosines do not reach it."""

_TEMPORARIES = 16
"""As large as the rows that are cut into parts, and alive while that is done."""

_FEW = 4
"""Once a fourth of the rows (or a few of them so often) is cut into parts, all are, and kept."""


class Similarities:
    """Similarities of queries and items, rounded or exact, by tiles or one by one.

    Both are in units of the query's unit times the largest unit of the items. A rounded one is float64, an exact one an
    int64 (cosine, in steps of 2^-62) or float64 (dot product).

    Attributes:
        queries: the rows that ask, as the rounded product takes them.
        items: the rows that are found, as the rounded product takes them.
        slack: bound of the error of the rounded similarity to each item, whoever asks [item].
    """

    def __init__(self, queries: Rows, items: Rows) -> None:
        self._rows = queries, items
        self._stored: dict[int, Limbs] = {}  # by the identity of the rows: queries may be the items
        self._last: tuple[slice, Limbs] | None = None  # of items that are read later: the block at hand
        self._normalized = items.normalized
        self._largest = items.unit.amax() if len(items.unit) else items.unit.new_ones(())
        self._weight = items.unit / self._largest  # [item]
        self.queries, self.items = queries.rounded, items.rounded
        if not bool((self._weight == 1).all()):
            self.items = _weighted(items.rounded, self._weight)
        # A sum of dim products of rows of length <= 1, added in any order, is off by dim roundings of 2^-53 at most;
        # a length is off by half as many, and both rows are divided by one.
        self.slack = (2 * self.items.shape[1] + 16) * 2.0**-53 * self._weight

    @property
    def rows(self) -> tuple[Rows, Rows]:
        """Queries and items as they were given."""
        return self._rows

    @property
    def weight(self) -> Float[Tensor, "item"]:
        """The unit of every item over the largest of them."""
        return self._weight

    def tile(self, rows: slice | Tensor, columns: slice) -> Float[Tensor, "query item"]:
        """Rounded similarities of some queries to some items."""
        return self.queries[rows] @ self.items[columns].T

    def exact_tile(self, rows: slice | Tensor, columns: slice) -> Shaped[Tensor, "query item"]:
        """Exact similarities of some queries to some items."""
        left, right = self._limbs(0, rows), self._limbs(1, columns)
        return self._sum(left, right, _all, self._weight[columns])

    def exact_at(
        self, rows: Int[Tensor, "query"], index: Int[Tensor, "query few"], tile: int
    ) -> Shaped[Tensor, "query few"]:
        """Exact similarities of each query to some items of its own, gathering no more than a tile at a time."""
        step = max(1, tile // max(1, index.shape[1] * self.items.shape[1] * _TEMPORARIES))
        parts = []
        for some, columns in zip(rows.split(step), index.split(step), strict=True):
            left, right = self._limbs(0, some), self._limbs(1, columns)
            parts.append(self._sum(left, right, _one_by_one, self._weight[columns]))
        return torch.cat(parts)

    def comparable(self, rounded: Float[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
        """Rounded similarities in the form of exact ones, to be compared with those beyond their slack."""
        return (rounded / _STEP).round().long() if self._normalized else rounded

    def rounded(self, exact: Shaped[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Exact similarities in the form of rounded ones."""
        return exact.double() * _STEP if self._normalized else exact

    def value(self, exact: Shaped[Tensor, "query few"]) -> Float[Tensor, "query few"]:
        """Exact similarities of all queries in the units of the embeddings."""
        return self.rounded(exact) * self._largest * self._rows[0].unit[:, None]

    def _limbs(self, side: int, rows: slice | Tensor) -> Limbs:
        """Parts of some rows of the queries (0) or the items (1): of a few at once, of many from a store."""
        exact = self._rows[side].exact
        if isinstance(exact, Later):
            return self._limbs_read(exact, rows)
        if isinstance(rows, Tensor) and rows.numel() * _FEW > len(exact) and id(exact) not in self._stored:
            self._stored[id(exact)] = limbs(exact, normalize=self._normalized)
        if id(exact) in self._stored:
            return Limbs(*(part[rows] for part in self._stored[id(exact)]))
        return limbs(exact[rows], normalize=self._normalized)

    def _limbs_read(self, exact: Later, rows: slice | Tensor) -> Limbs:
        """Parts of rows that are read now; those of the block of items at hand are kept."""
        if isinstance(rows, Tensor):
            return limbs(exact[rows], normalize=self._normalized)
        if self._last is None or self._last[0] != rows:
            self._last = rows, limbs(exact[rows], normalize=self._normalized)
        return self._last[1]

    def _sum(
        self, left: Limbs, right: Limbs, product: Callable[[Tensor, Tensor], Tensor], weight: Tensor
    ) -> Tensor:
        """Add up the products of the parts, each of which is exact; those left out are below the step."""
        first = product(left.high, right.high)
        second = product(left.high, right.middle) + product(left.middle, right.high)
        third = product(left.high, right.low) + product(left.low, right.high)
        rest = second + (product(left.middle, right.middle) + third)
        if self._normalized:
            return (first * 2.0**52).long() * 2**10 + (rest / _STEP).round().long()
        return (first + rest) * weight


def _all(
    queries: Float[Tensor, "query dim"], items: Float[Tensor, "item dim"]
) -> Float[Tensor, "query item"]:
    """Products of all with all."""
    return queries @ items.T


def _one_by_one(
    queries: Float[Tensor, "query dim"], items: Float[Tensor, "query few dim"]
) -> Float[Tensor, "query few"]:
    """Products of each query with items of its own."""
    return (items @ queries[:, :, None])[:, :, 0]


def _weighted(rows: Tensor | Later, weight: Float[Tensor, "row"]) -> Tensor | Later:
    """Every row times its weight."""
    if isinstance(rows, Tensor):
        return rows * weight[:, None]
    return Later(rows.source, lambda raw, some: rows.prepare(raw, some) * weight[some][..., None])

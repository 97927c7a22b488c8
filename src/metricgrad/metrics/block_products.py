"""Products of queries with a block of items: in float32, in float64, or exact ones of rows of few values."""

from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._safe import or_one
from metricgrad.metrics.rows import Later, float32_error
from metricgrad.metrics.similarity import Similarities
from metricgrad.metrics.whole_rows import Whole, whole_of

__all__ = ["Block", "Products", "Units", "units_of"]

Units = tuple[Whole, Whole] | None
"""Of queries and items where all of them are rows of few values."""


def units_of(similarities: Similarities) -> Units:
    """Return what makes float32 products of whole numbers exact, where rows are such."""
    if float32_error(similarities.items.shape[1]) == torch.inf:
        return None
    queries, items = similarities.rows
    asking = whole_of(queries.exact, normalize=queries.normalized)
    found = None if asking is None else whole_of(items.exact, normalize=items.normalized)
    return None if asking is None or found is None else (asking, found)


class Products:
    """How some queries are compared with items. The queries are numbered from 0 here.

    Args:
        similarities: of all queries and items.
        units: of these.
        here: numbers of the queries.

    Attributes:
        margin: scores in float64 that are further apart are in the same order whichever way each was computed.
        reach: a score in float32 and one in float64 that are further apart are in that order; infinite where torch may
            be less precise.
        whole: whether there are units: scores are then `keys`, in the order of the similarities, and equal where these
            are.
    """

    def __init__(self, similarities: Similarities, units: Units, here: Int[Tensor, "query"]) -> None:
        self.similarities, self.units, self._here = similarities, units, here
        self.whole = units is not None
        self.margin = 4 * float(similarities.slack.max()) if len(similarities.items) else 0.0
        self.reach = float32_error(similarities.items.shape[1]) + self.margin
        self._buffer = torch.empty(0)

    def at(self, index: Int[Tensor, "query few"], tile: int) -> Float[Tensor, "query few"]:
        """Scores of each query and some items of its own, gathering no more than a tile at a time."""
        step = max(1, tile // max(1, index.shape[1] * self.similarities.items.shape[1]))
        rows = torch.arange(len(index))
        pairs = zip(rows.split(step), index.split(step), strict=True)
        return torch.cat([self._of(some, columns) for some, columns in pairs])

    def of_pairs(self, rows: Int[Tensor, "pair"], items: Int[Tensor, "pair"]) -> Float[Tensor, "pair"]:
        """Scores of single pairs."""
        found = self.similarities.items
        if isinstance(found, Later) and not self.whole:
            return found.products(self.in_float64, rows, items)
        return self._of(rows, items[:, None])[:, 0]

    def _of(self, rows: Int[Tensor, "some"], items: Int[Tensor, "some few"]) -> Float[Tensor, "some few"]:
        if not self.whole:
            return torch.einsum("qd,qpd->qp", self.in_float64[rows], self.similarities.items[items])
        product = torch.einsum("qd,qpd->qp", self.multiples[rows], self.multiples_of(1, items))
        return self.keys(product, items).double()

    @cached_property
    def in_float64(self) -> Float[Tensor, "query dim"]:
        """The queries."""
        return self.similarities.queries[self._here]

    @cached_property
    def in_float32(self) -> Float[Tensor, "query dim"]:
        """The queries, rounded."""
        return self.in_float64.float()

    @cached_property
    def multiples(self) -> Float[Tensor, "query dim"]:
        """The queries as whole numbers."""
        return self.multiples_of(0, self._here)

    def multiples_of(self, side: int, rows: slice | Tensor) -> Float[Tensor, "*row dim"]:
        """Rows of few values as the whole numbers that they are, in float32."""
        assert self.units is not None
        return (self.similarities.rows[side].exact[rows] / self.units[side].unit[rows][..., None]).float()

    def keys(self, product: Float[Tensor, "*pair"], items: slice | Tensor) -> Float[Tensor, "*pair"]:
        """What has the order of the similarities, from the product of whole numbers; exact.

        Of cosines the product times its size, over the square of the length of the item; of dot products the product in
        the unit of the item; the product itself where that is the same for all items.
        """
        if self._scale is None:
            return product
        product = product.double()
        if self.similarities.rows[1].normalized:
            return product * product.abs() / self._scale[items]
        return product * self._scale[items]

    @cached_property
    def _scale(self) -> Float[Tensor, "item"] | None:
        """What the products of each item are measured in; None where it is the same for all."""
        assert self.units is not None
        rows, whole = self.similarities.rows[1], self.units[1]
        scale = or_one(whole.square) if rows.normalized else whole.unit * self.similarities.weight
        return None if bool((scale == scale[0]).all()) else scale

    def product(self, queries: Tensor, items: Tensor) -> Float[Tensor, "some item"]:
        """The float32 product of rows, which the next one overwrites."""
        many = len(queries) * len(items)
        if self._buffer.numel() < many:
            self._buffer = torch.empty(many)
        return torch.mm(queries, items.T, out=self._buffer[:many].view(len(queries), len(items)))


class Block:
    """A block of items, read when it is asked for and then kept.

    Attributes:
        rows: numbers of the items.
    """

    def __init__(self, products: Products, rows: slice) -> None:
        self.rows, self._products = rows, products

    def float32(self, rows: Int[Tensor, "some"]) -> Float[Tensor, "some item"]:
        """Scores of some queries, valid until the next are asked for."""
        return self._products.product(self._products.in_float32[rows], self._in_float32)

    def float64(self, rows: Int[Tensor, "some"]) -> Float[Tensor, "some item"]:
        """Scores of some queries."""
        return self._products.in_float64[rows] @ self._in_float64.T

    def keys(self, rows: Int[Tensor, "some"]) -> Float[Tensor, "some item"]:
        """Scores of some queries, of rows of few values; valid until the next are asked for."""
        product = self._products.product(self._products.multiples[rows], self._multiples)
        return self._products.keys(product, self.rows)

    @cached_property
    def _in_float32(self) -> Float[Tensor, "item dim"]:
        items = self._products.similarities.items
        return items[self.rows].float() if isinstance(items, Tensor) else items.in_float32(self.rows)

    @cached_property
    def _in_float64(self) -> Float[Tensor, "item dim"]:
        return self._products.similarities.items[self.rows]

    @cached_property
    def _multiples(self) -> Float[Tensor, "item dim"]:
        return self._products.multiples_of(1, self.rows)

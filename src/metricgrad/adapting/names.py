"""What queries and items are called in the files of a run: their ids, or the numbers of their rows from 0."""

from collections.abc import Sequence
from dataclasses import dataclass

from metricgrad._checks import describe, fail

__all__ = ["Names"]


@dataclass(frozen=True)
class Names:
    """Ids of the rows; None where rows have numbers alone.

    Attributes:
        queries: one per query.
        items: one per item (or document).
    """

    queries: Sequence[str] | None = None
    items: Sequence[str] | None = None

    def require(self, caller: str, queries: int, items: int) -> "Names":
        """The same; InputError where there are not as many different ones as rows."""
        for what, ids, count in (("query", self.queries, queries), ("document", self.items, items)):
            if ids is not None and (len(ids) != count or len(set(ids)) != count):
                raise fail(
                    caller,
                    f"{len(ids):,} {what} ids came, {len(set(ids)):,} of them different, for {count:,} rows",
                    "a different id for every row",
                )
        return self

    def query(self, number: int) -> str:
        """Of a query."""
        return str(number) if self.queries is None else self.queries[number]

    def item(self, number: int) -> str:
        """Of an item."""
        return str(number) if self.items is None else self.items[number]

    @property
    def broken(self) -> str:
        """An id that has a space within and so parts the columns of TREC files, in words; empty where none has."""
        ids = (one for side in (self.queries, self.items) for one in side or ())
        return next((describe(one) for one in ids if len(one.split()) != 1), "")

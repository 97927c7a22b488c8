"""What is relevant to which test query, for files of rankings: by class, or as judged."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from metricgrad._qrels import Qrels

__all__ = ["OfJudgements", "OfLabels", "Relevance"]


class Relevance(Protocol):
    """Which items are relevant to a query; both are numbers of rows."""

    def grades(self, query: int, items: np.ndarray) -> np.ndarray:
        """The grade of each of some items, float64; above 0: relevant."""
        ...

    def judged(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """The items that are judged, and their grades."""
        ...

    def many(self, queries: np.ndarray) -> int:
        """How many items are judged for some queries, together."""
        ...


@dataclass(frozen=True)
class OfLabels:
    """Items of one class are relevant to each other, in grade 1; an item is not judged for itself.

    Attributes:
        codes: the class of every item.
    """

    codes: np.ndarray

    def grades(self, query: int, items: np.ndarray) -> np.ndarray:
        """1 for items of the class of the query, else 0."""
        return (self.codes[items] == self.codes[query]).astype(np.float64)

    def judged(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """The others of the class."""
        items = np.flatnonzero(self.codes == self.codes[query])
        items = items[items != query]
        return items, np.ones(len(items))

    def many(self, queries: np.ndarray) -> int:
        """The others of the class, query by query."""
        return int((np.bincount(self.codes)[self.codes[queries]] - 1).sum())


@dataclass(frozen=True)
class OfJudgements:
    """What qrels say, judgements of what is not relevant among them.

    Attributes:
        qrels: of queries and documents.
    """

    qrels: Qrels

    def grades(self, query: int, items: np.ndarray) -> np.ndarray:
        """The grades; 0 for what was not judged."""
        return self.qrels.grades_of(query, items)

    def judged(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """The documents that were judged."""
        some = slice(int(self.qrels.offsets[query]), int(self.qrels.offsets[query + 1]))
        return self.qrels.documents[some].numpy(), self.qrels.grades[some].numpy()

    def many(self, queries: np.ndarray) -> int:
        """Judgements of the queries."""
        return int(self.qrels.offsets.diff().numpy()[queries].sum())

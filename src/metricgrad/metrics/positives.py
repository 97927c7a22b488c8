"""Which items are relevant to a query, query by query: items of its class, or documents that were judged so."""

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from metricgrad._qrels import Qrels

__all__ = ["OfClasses", "OfQrels", "Positives", "Relevance"]


class Positives(NamedTuple):
    """The relevant items of some queries, rows padded to the longest.

    Attributes:
        item: its number; any where padded.
        valid: False where padded.
        gain: relevance of the item, above 0; any where padded.
    """

    item: Int[Tensor, "query positive"]
    valid: Bool[Tensor, "query positive"]
    gain: Float[Tensor, "query positive"]


class Relevance(Protocol):
    """What is relevant to whom.

    Attributes:
        largest: no query has more relevant items.
    """

    largest: int

    def of(self, queries: Int[Tensor, "query"], left_out: Int[Tensor, "query"] | None) -> Positives:
        """Return the relevant items of some queries, but for one item of each; -1 for none."""
        ...


class OfClasses:
    """Items of the query's class: those of every class side by side, so that the positives of a query are a slice."""

    def __init__(self, codes: Int[Tensor, "query"], item_codes: Int[Tensor, "item"]) -> None:
        classes = int(torch.cat([codes, item_codes]).max()) + 1 if len(codes) + len(item_codes) else 0
        self.codes = codes
        self.order = item_codes.argsort(stable=True)  # within a class by index
        self.counts = torch.bincount(item_codes, minlength=classes)
        self.starts = self.counts.cumsum(0) - self.counts
        self.largest = int(self.counts.max()) if classes else 0

    def of(self, queries: Int[Tensor, "query"], left_out: Int[Tensor, "query"] | None) -> Positives:
        """Return the items of the queries' classes; what is left out is the query itself."""
        codes = self.codes[queries]
        index, valid = _slices(self.order, self.starts[codes], self.counts[codes])
        if left_out is not None:
            valid &= index != left_out[:, None]
            # Close the gap that the query leaves among the positives.
            width = max(index.shape[1] - 1, 0)
            keep = valid.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :width]
            index, valid = index.gather(1, keep), valid.gather(1, keep)
        return Positives(index, valid, torch.ones_like(index, dtype=torch.float64))


class OfQrels:
    """Documents with a grade above 0."""

    def __init__(self, qrels: Qrels, device: torch.device) -> None:
        qrels = qrels.relevant()
        self.documents, self.grades = qrels.documents.to(device), qrels.grades.to(device)
        self.starts, self.counts = qrels.offsets[:-1].to(device), qrels.offsets.diff().to(device)
        self.largest = int(self.counts.max()) if qrels.queries else 0

    def of(self, queries: Int[Tensor, "query"], left_out: Int[Tensor, "query"] | None) -> Positives:
        """Return the documents that are relevant to the queries."""
        starts, counts = self.starts[queries], self.counts[queries]
        index, valid = _slices(self.documents, starts, counts)
        gain, _ = _slices(self.grades, starts, counts)
        return Positives(index, valid if left_out is None else valid & (index != left_out[:, None]), gain)


def _slices(
    values: Tensor, starts: Int[Tensor, "query"], counts: Int[Tensor, "query"]
) -> tuple[Tensor, Tensor]:
    """One slice of some values per query, side by side, and where it is not padding."""
    places = torch.arange(int(counts.max()) if len(counts) else 0, device=values.device)
    valid = places < counts[:, None]
    return values[(starts[:, None] + places).clamp(max=max(len(values) - 1, 0))], valid

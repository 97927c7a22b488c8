"""Graded relevance of documents to queries, sparse: what information retrieval calls qrels.

Queries and documents are numbers, 0 to `queries` - 1 and 0 to `items` - 1; ids of files are given numbers where the
files are read. A pair that is not here was not judged, and counts as not relevant.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._checks import describe, fail, tensor_of, whole_number
from metricgrad._labels import Labels, whole_labels

__all__ = ["Qrels"]


@dataclass(frozen=True, eq=False)
class Qrels:
    """Graded relevance of documents to queries: the judged documents of query q stand at `offsets[q]:offsets[q + 1]`.

    Attributes:
        offsets: int64 [query + 1], where each query's judged documents begin.
        documents: int64 [judged], numbers of documents, rising within a query.
        grades: float64 [judged]; above 0: relevant; 0 and negative: judged, and not relevant.
        queries: number of queries.
        items: number of documents.

    Raises:
        InputError: arrays that do not fit together, a number out of range, grades that are not finite.

    Example:
        >>> qrels = Qrels.of_pairs([0, 0, 2], [5, 1, 3], [2.0, 1.0, 0.0], queries=3, items=6)
        >>> qrels.positives(0).tolist(), qrels.positives(2).tolist(), len(qrels.documents)
        ([1, 5], [], 3)
    """

    offsets: Int[Tensor, "query_and_one"]
    documents: Int[Tensor, "judged"]
    grades: Float[Tensor, "judged"]
    queries: int
    items: int

    def __post_init__(self) -> None:
        arrays = (self.offsets, self.documents, self.grades)
        kinds = (torch.int64, torch.int64, torch.float64)
        if any(array.ndim != 1 or array.dtype != kind for array, kind in zip(arrays, kinds, strict=True)):
            came = ", ".join(map(describe, arrays))
            raise fail("Qrels", f"the arrays are {came}", "two of int64 and one of float64, 1-D")
        judged, fits = len(self.documents), len(self.offsets) == self.queries + 1
        if not fits or len(self.grades) != judged or self.offsets[[0, -1]].tolist() != [0, judged]:
            raise fail(
                "Qrels",
                f"{len(self.offsets)} offsets, {judged} documents and {len(self.grades)} grades came",
                f"{self.queries + 1} offsets from 0 to the number of documents, and one grade per document",
            )
        key = self._query_of * max(self.items, 1) + self.documents
        if bool((self.offsets.diff() < 0).any()) or bool((key.diff() <= 0).any()):
            expected = "documents that rise within each query"
            raise fail("Qrels", "offsets fall, or documents do not rise", expected, "Use Qrels.of_pairs.")
        _require_numbers("Qrels", "documents", self.documents, self.items)
        if not bool(self.grades.isfinite().all()):
            raise fail("Qrels", "grades are NaN or infinite", "finite grades")

    @classmethod
    def of_pairs(
        cls,
        query_numbers: Labels,
        document_numbers: Labels,
        grades: Tensor | np.ndarray | list[float] | None = None,
        *,
        queries: int,
        items: int,
    ) -> "Qrels":
        """Make them of judged pairs, in any order.

        Args:
            query_numbers: one per pair, 0 to `queries` - 1.
            document_numbers: one per pair, 0 to `items` - 1.
            grades: one per pair; None: all are 1.
            queries: number of queries.
            items: number of documents.

        Raises:
            InputError: lengths that differ, numbers out of range, grades that are not finite, a pair that comes with
                two grades. A pair that comes again with the same grade is joined.

        Example:
            >>> Qrels.of_pairs([1, 1, 0], [0, 0, 2], queries=2, items=3).documents
            tensor([2, 0])
        """
        caller = "Qrels.of_pairs"
        queries, items = (
            whole_number(caller, name, count, least=0)
            for name, count in [("queries", queries), ("items", items)]
        )
        query = _numbers(caller, "query_numbers", query_numbers, queries)
        document = _numbers(caller, "document_numbers", document_numbers, items)
        grade = torch.ones(len(query)) if grades is None else tensor_of(caller, "grades", grades, "numbers")
        if not len(query) == len(document) == len(grade) or grade.ndim != 1:
            raise fail(
                caller,
                f"{len(query)} query_numbers, {len(document)} document_numbers and grades {describe(grade)} came",
                "one of each per pair",
            )
        grade = grade.cpu().double()
        key = query * max(items, 1) + document
        order = key.argsort(stable=True)
        key, grade = key[order], grade[order]
        again = torch.nn.functional.pad(key.diff() == 0, (1, 0))[: len(key)]
        if bool((other := again[1:] & (grade.diff() != 0)).any()):
            place = int(other.nonzero()[0])
            pair = f"query {int(query[order[place]])} and document {int(document[order[place]])}"
            came = f"{pair} have the grades {float(grade[place]):g} and {float(grade[place + 1]):g}"
            raise fail(caller, came, "one grade per pair")
        order, grade = order[~again], grade[~again]
        counts = torch.bincount(query[order], minlength=queries)
        return cls(_offsets(counts), document[order], grade, queries, items)

    @cached_property
    def digest(self) -> str:
        """sha256 of everything that is here, hexadecimal."""
        total = hashlib.sha256(f"{self.queries} {self.items}".encode())
        for array in (self.offsets, self.documents, self.grades):
            total.update(array.numpy().tobytes())
        return total.hexdigest()

    def identity_parts(self) -> tuple[str]:
        """What the qrels are known by: their content."""
        return (self.digest,)

    def positives(self, query: int) -> Int[Tensor, "relevant"]:
        """The numbers of the documents that are relevant to a query, rising."""
        (query,) = _numbers("positives", "query", [query], self.queries).tolist()
        some = slice(int(self.offsets[query]), int(self.offsets[query + 1]))
        return self.documents[some][self.grades[some] > 0]

    def documents_of(self, queries: np.ndarray) -> np.ndarray:
        """The numbers of the judged documents of some queries, one query after the other.

        Example:
            >>> Qrels.of_pairs([0, 0, 2], [5, 1, 3], queries=3, items=6).documents_of(np.array([2, 0]))
            array([3, 1, 5])
        """
        return self.documents[self._judged_by(torch.from_numpy(queries))[1]].numpy()

    def grades_of(self, query: int, documents: np.ndarray) -> np.ndarray:
        """The grades of some documents for a query, float64 [document]; 0 where a pair was not judged.

        Example:
            >>> Qrels.of_pairs([0, 0], [5, 1], [2.0, -1.0], queries=1, items=6).grades_of(
            ...     0, np.array([1, 2, 5])
            ... )
            array([-1.,  0.,  2.])
        """
        some = slice(int(self.offsets[query]), int(self.offsets[query + 1]))
        own, grades = self.documents[some].numpy(), self.grades[some].numpy()
        if not len(own):
            return np.zeros(len(documents))
        place = np.searchsorted(own, documents).clip(max=len(own) - 1)
        return np.where(own[place] == documents, grades[place], 0.0)

    def relevant(self) -> "Qrels":
        """The same without the documents that were judged and are not relevant."""
        kept = self.grades > 0
        counts = torch.bincount(self._query_of[kept], minlength=self.queries)
        return Qrels(_offsets(counts), self.documents[kept], self.grades[kept], self.queries, self.items)

    def taking(self, query_rows: Labels, document_rows: Labels) -> "Qrels":
        """The relevance of some documents to some queries; row i of each becomes number i.

        Args:
            query_rows: numbers of queries; one may come several times.
            document_rows: numbers of documents, each once. Judgements of other documents are left out.

        Raises:
            InputError: a number out of range, a document twice.

        Cost: of the judgements of these queries, and a sort of the documents.

        Example:
            >>> qrels = Qrels.of_pairs([0, 0, 1], [5, 1, 3], queries=2, items=6)
            >>> qrels.taking([0], [1, 3, 5]).documents
            tensor([0, 2])
        """
        queries = _numbers("taking", "query_rows", query_rows, self.queries)
        rows = _numbers("taking", "document_rows", document_rows, self.items)
        place = torch.full((self.items,), -1)
        place[rows] = torch.arange(len(rows))
        if int((place >= 0).sum()) != len(rows):
            counted = torch.bincount(rows)
            raise fail(
                "taking", f"document {int(counted.argmax())} is {int(counted.max())} times among document_rows",
                "each document once",
            )  # fmt: skip
        row, judged = self._judged_by(queries)
        document = place[self.documents[judged]]
        row, judged, document = (part[document >= 0] for part in (row, judged, document))
        order = (row * max(len(rows), 1) + document).argsort()
        counts = torch.bincount(row, minlength=len(queries))
        return Qrels(_offsets(counts), document[order], self.grades[judged][order], len(queries), len(rows))

    def dense(self, query_rows: Labels, document_rows: Labels) -> Float[Tensor, "row column"]:
        """The gains of a batch: of every document of `document_rows` for every query of `query_rows`.

        Args:
            query_rows: numbers of queries.
            document_rows: numbers of documents; either may come several times.

        Returns:
            float64 grades, 0 where a pair was not judged or its grade is negative; on the device of `document_rows`.

        Raises:
            InputError: a number out of range.

        Example:
            >>> Qrels.of_pairs([0, 1], [5, 1], [2.0, -1.0], queries=2, items=6).dense([0, 1], [5, 5, 1])
            tensor([[2., 2., 0.],
                    [0., 0., 0.]], dtype=torch.float64)
        """
        device = document_rows.device if isinstance(document_rows, Tensor) else torch.device("cpu")
        queries = _numbers("dense", "query_rows", query_rows, self.queries)
        rows = _numbers("dense", "document_rows", document_rows, self.items)
        distinct, columns = rows.unique(return_inverse=True)
        row, judged = self._judged_by(queries)
        document = self.documents[judged]
        gains = torch.zeros(len(queries), len(distinct), dtype=torch.float64)
        if len(distinct):
            column = torch.searchsorted(distinct, document).clamp(max=len(distinct) - 1)
            there = distinct[column] == document
            gains[row[there], column[there]] = self.grades[judged[there]].clamp(min=0)
        return gains[:, columns].to(device)

    @cached_property
    def _query_of(self) -> Int[Tensor, "judged"]:
        """The query of every judgement."""
        return torch.repeat_interleave(torch.arange(self.queries), self.offsets.diff().clamp(min=0))

    def _judged_by(self, queries: Int[Tensor, "row"]) -> tuple[Tensor, Tensor]:
        """The judgements of some queries: for each its row, and where it stands."""
        first = self.offsets[queries]
        counts = self.offsets[queries + 1] - first
        row = torch.repeat_interleave(torch.arange(len(queries)), counts)
        within = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]
        return row, first[row] + within


def _offsets(counts: Int[Tensor, "query"]) -> Int[Tensor, "query_and_one"]:
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def _numbers(caller: str, name: str, given: Labels, count: int) -> Int[Tensor, "number"]:
    """Whole numbers from 0 to count - 1, on the CPU."""
    return _require_numbers(caller, name, whole_labels(caller, name, given).cpu(), count)


def _require_numbers(caller: str, name: str, numbers: Tensor, count: int) -> Tensor:
    outside = (numbers < 0) | (numbers >= count)
    if bool(outside.any()):
        place = int(outside.nonzero()[0])
        raise fail(caller, f"{name}[{place}] is {int(numbers[place])}", f"numbers from 0 to {count - 1}")
    return numbers

"""A fit split of queries and documents: a batch holds some queries, a relevant document of each, and their relevance.

Vectors may be memory maps, of which a batch reads its rows alone.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from metricgrad._checks import Whole, describe, fail, whole_number
from metricgrad._labels import Labels, whole_labels
from metricgrad._qrels import Qrels
from metricgrad._structures import form
from metricgrad.tune.arrays import inputs_as_tensor, not_half

__all__ = ["PairSplit"]

_BLOCK = 16_384
"""Rows that are hashed at a time."""


class PairSplit:
    """Batches of distinct queries, each with one of its relevant documents, drawn by (seed, epoch) alone.

    A batch is `({"query": x, "document": z}, {"query": numbers, "document": numbers, "relevance": grades})`: inputs of
    b queries and of d documents, their numbers, and the grades [b, d] of all pairs in the batch, 0 where not relevant.
    The network is a `pairing.TwoTowers`. A document that several queries brought is there once, and documents stand
    in the order of their numbers.

    Args:
        queries: inputs of all queries [query, ...]: array, memory map or tensor. Row i is query i of the qrels.
        documents: inputs of all documents [document, ...].
        qrels: graded relevance; grades above 0 are relevant.
        query_numbers: the queries of this split, each once; None: all that have a relevant document.
        batch: queries of a batch, >= 2. What is left over at the end of an epoch is left out; others every epoch.
        hard_negatives: further documents for each query, drawn anew every epoch; 0 for none. The other documents of
            the batch are negatives anyway.
        negatives: what these are drawn from: numbers of documents [query, n], a row for each query of the qrels, -1 for
            none. None: documents of the query that were judged and are not relevant.
        shared_documents: whether select and test may ask for documents that are relevant to queries of this split. With
            False `tune` refuses them: the run then answers for new queries and new documents.
        seed: of the draws.

    Attributes:
        query_numbers: of the queries that are drawn, int64.
        without_document: number of queries that were given and left out, because nothing is relevant to them.
        epoch: of the next pass; every pass has the next one, or that of `set_epoch`.

    Raises:
        InputError: arrays of other lengths than the qrels, numbers out of range or twice, fewer queries than a batch
            holds, `negatives` without `hard_negatives`.

    Edge cases:
        A hard negative that is relevant by the qrels is a positive. A query with fewer negatives brings those. Inputs
        in half precision come in PyTorch's default type, and so do float64 arrays.

    Cost:
        Of a batch: its rows, and a dense matrix of the grades of its pairs.

    Example:
        >>> qrels = Qrels.of_pairs([0, 1, 2, 3], [0, 1, 2, 0], queries=4, items=3)
        >>> split = PairSplit(torch.eye(4), torch.eye(3), qrels, batch=4)
        >>> inputs, targets = next(iter(split))
        >>> inputs["query"].shape, inputs["document"].shape, targets["relevance"].sum()
        (torch.Size([4, 4]), torch.Size([3, 3]), tensor(4.))
    """

    def __init__(
        self,
        queries: Any,
        documents: Any,
        qrels: Qrels,
        *,
        query_numbers: Labels | None = None,
        batch: Whole = 512,
        hard_negatives: Whole = 0,
        negatives: Any = None,
        shared_documents: bool = True,
        seed: Whole = 0,
    ) -> None:
        if not isinstance(qrels, Qrels):
            raise fail(
                "PairSplit", f"qrels are {form(qrels)}", "metricgrad.Qrels", "Qrels.of_pairs makes them."
            )
        self.qrels, self.shared_documents, self.epoch = qrels, shared_documents, 0
        self.queries = _inputs("queries", queries, qrels.queries)
        self.documents = _inputs("documents", documents, qrels.items)
        self.batch = whole_number("PairSplit", "batch", batch, least=2)
        self.hard_negatives = whole_number("PairSplit", "hard_negatives", hard_negatives, least=0)
        self.seed = whole_number("PairSplit", "seed", seed, least=0)
        self._relevant = qrels.relevant()
        asked = _queries(query_numbers, qrels.queries)
        has_one = self._relevant.offsets.diff()[asked] > 0
        self.query_numbers = asked[has_one]
        self.without_document = 0 if query_numbers is None else int((~has_one).sum())
        if len(self.query_numbers) < self.batch:
            raise fail(
                "PairSplit",
                f"{len(self.query_numbers)} queries have a relevant document, and a batch holds {self.batch}",
                "at least as many queries as a batch holds",
                "Lower batch.",
            )
        self.negatives = None if negatives is None else self._table(negatives)
        judged = qrels.grades <= 0
        self._rejected = qrels.documents[judged]
        counts = torch.zeros(len(judged) + 1, dtype=torch.int64)
        counts[1:] = judged.cumsum(0)
        self._rejected_offsets = counts[qrels.offsets]

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.query_numbers) // self.batch

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Yield `(inputs, targets)` batches of the current epoch."""
        random = np.random.default_rng((self.seed, self.epoch))
        self.epoch += 1  # with the first batch: a pass that is left early is not repeated
        order = torch.from_numpy(random.permutation(len(self.query_numbers)))
        for chosen in order[: len(self) * self.batch].split(self.batch):
            yield self._batch(self.query_numbers[chosen], random)

    def _batch(
        self, queries: Tensor, random: np.random.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        offsets = self._relevant.offsets
        counts = offsets[queries + 1] - offsets[queries]
        places = torch.from_numpy((random.random(len(queries)) * counts.numpy()).astype(np.int64))
        documents = self._relevant.documents[offsets[queries] + places]
        if self.hard_negatives:
            documents = torch.cat([documents, self._drawn_negatives(queries, random)])
        documents = documents.unique()
        here = self._relevant.taking(queries, documents)
        row = torch.repeat_interleave(torch.arange(len(queries)), here.offsets.diff())
        relevance = torch.zeros(len(queries), len(documents))
        relevance[row, here.documents] = here.grades.to(relevance.dtype)
        inputs = {
            "query": self.inputs_of("query", queries),
            "document": self.inputs_of("document", documents),
        }
        return inputs, {"query": queries, "document": documents, "relevance": relevance}

    def _drawn_negatives(self, queries: Tensor, random: np.random.Generator) -> Tensor:
        """Draw documents for each query without repetition, from the table or from what was judged not relevant."""
        if self.negatives is not None:
            table = self.negatives[queries]
        else:
            first = self._rejected_offsets[queries]
            counts = self._rejected_offsets[queries + 1] - first
            columns = torch.arange(int(counts.max()))
            there = columns < counts[:, None]
            table = torch.full(there.shape, -1)
            table[there] = self._rejected[(first[:, None] + columns)[there]]
        keys = torch.from_numpy(random.random(tuple(table.shape))).masked_fill(table < 0, 2.0)
        chosen = table.gather(1, keys.argsort(dim=1)[:, : self.hard_negatives])
        return chosen[chosen >= 0]

    def inputs_of(self, side: str, numbers: Int[Tensor, " row"]) -> Tensor:
        """Return the inputs of some queries (`query`) or documents (`document`), as batches have them."""
        return _rows(self.queries if side == "query" else self.documents, numbers)

    def relevant_pairs(self) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]:
        """Return the numbers of query and document of every relevant pair of this split, query by query."""
        here = self._relevant.taking(self.query_numbers, torch.arange(self.qrels.items))
        return self.query_numbers.repeat_interleave(here.offsets.diff()), here.documents

    def set_epoch(self, epoch: int) -> None:
        """Choose the batches of the next pass; they depend on (seed, epoch) alone, and later passes count on."""
        self.epoch = whole_number("PairSplit.set_epoch", "epoch", epoch, least=0)

    def rebatch(self, size: int) -> "PairSplit":
        """Return the same queries in batches of another size."""
        return PairSplit(
            self.queries,
            self.documents,
            self.qrels,
            query_numbers=self.query_numbers,
            batch=size,
            hard_negatives=self.hard_negatives,
            negatives=self.negatives,
            shared_documents=self.shared_documents,
            seed=self.seed,
        )

    def check_documents(self, name: str, query_numbers: Int[Tensor, " query"]) -> None:
        """Raise InputError where queries of another split ask for documents of this one that they must not share."""
        if self.shared_documents:
            return
        own, theirs = (self._relevant_to(numbers) for numbers in (self.query_numbers, query_numbers))
        shared = theirs[torch.isin(theirs, own)]
        if len(shared):
            raise fail(
                "PairSplit",
                f"fit and {name} share {len(shared)} relevant documents, e.g. {int(shared[0])}, and "
                "shared_documents is False",
                "queries with documents of their own",
                "Split by documents too, or let the run answer for new queries over known documents alone.",
            )

    def _relevant_to(self, queries: Tensor) -> Tensor:
        """The documents that are relevant to any of some queries, each once."""
        asked = torch.zeros(self.qrels.queries, dtype=torch.bool)
        asked[queries[(queries >= 0) & (queries < self.qrels.queries)].long()] = True
        return self._relevant.documents[asked.repeat_interleave(self._relevant.offsets.diff())].unique()

    def _table(self, negatives: Any) -> Tensor:
        if not self.hard_negatives:
            raise fail(
                "PairSplit", "negatives came and hard_negatives is 0", "how many of them a query brings"
            )
        table = inputs_as_tensor("PairSplit", negatives)
        whole = not table.is_floating_point() and table.ndim == 2 and len(table) == self.qrels.queries
        if not whole or (table.numel() and not -1 <= int(table.min()) <= int(table.max()) < self.qrels.items):
            raise fail(
                "PairSplit",
                f"negatives are {describe(table)} for {self.qrels.queries} queries",
                f"numbers of documents [query, n] below {self.qrels.items}, -1 for none",
            )
        return table.long()

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of vectors, relevance, queries and batches."""
        facts = (self.batch, self.hard_negatives, self.shared_documents, self.seed, self.qrels.digest)
        total = hashlib.sha256(repr(facts).encode())
        table = () if self.negatives is None else (self.negatives,)
        for array in (self.queries, self.documents, self.query_numbers, *table):
            total.update(f"{tuple(array.shape)}{array.dtype}".encode())
            for start in range(0, len(array), _BLOCK):
                total.update(_bytes(array[start : start + _BLOCK]))
        return total.hexdigest()


def _inputs(name: str, given: Any, count: int) -> Tensor | np.ndarray:
    """Return inputs as they are where rows can be read from them, a memory map for instance."""
    inputs = given if isinstance(given, np.ndarray) and given.dtype.kind in "fiub" else None
    inputs = inputs_as_tensor("PairSplit", given) if inputs is None else inputs
    if inputs.ndim == 0 or len(inputs) != count:
        raise fail(
            "PairSplit", f"{name} are {describe(inputs)}", f"one row for each of the {count} of the qrels"
        )
    return inputs


def _queries(given: Labels | None, count: int) -> Tensor:
    if given is None:
        return torch.arange(count)
    numbers = whole_labels("PairSplit", "query_numbers", given).cpu()
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
        raise fail(
            "PairSplit", f"query_numbers reach from {int(numbers.min())} to {int(numbers.max())}",
            f"numbers from 0 to {count - 1}",
        )  # fmt: skip
    if len(numbers.unique()) != len(numbers):
        raise fail("PairSplit", "a query number comes twice", "each query once")
    return numbers


def _rows(array: Tensor | np.ndarray, chosen: Tensor) -> Tensor:
    rows = array[chosen.numpy()] if isinstance(array, np.ndarray) else array[chosen]
    return not_half(inputs_as_tensor("PairSplit", rows))


def _bytes(block: Tensor | np.ndarray) -> bytes:
    if isinstance(block, Tensor):
        return block.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return np.ascontiguousarray(block).tobytes()

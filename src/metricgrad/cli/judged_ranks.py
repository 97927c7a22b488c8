"""Ranks of the relevant documents, found once for all metrics: of vectors, and of a run that ranks already."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from metricgrad._qrels import Qrels
from metricgrad.cli.trec_files import Run
from metricgrad.metrics import judged_ranks
from metricgrad.metrics.ranks import ExactRanks, Ties

__all__ = ["RankedQueries", "ranks_of_run", "ranks_of_vectors"]

_PLACES = 2**22
"""Places of relevant documents that are held at a time, padding included."""


class RankedQueries(NamedTuple):
    """Some queries, by number, and the ranks of what is relevant to them."""

    rows: np.ndarray
    ranks: ExactRanks


def ranks_of_vectors(
    queries: np.ndarray, documents: np.ndarray, qrels: Qrels, *, ties: Ties, normalize: bool
) -> list[RankedQueries]:
    """Rank the documents for every query that has a relevant one, by the similarity of vectors."""
    everything = torch.arange(qrels.items)
    references = torch.from_numpy(documents)

    def ranked(rows: np.ndarray) -> ExactRanks:
        here = qrels.taking(torch.from_numpy(rows), everything)
        return judged_ranks(torch.from_numpy(queries[rows]), references, here, ties=ties, normalize=normalize)

    return [RankedQueries(rows, ranked(rows)) for rows in _groups(qrels)]


def ranks_of_run(
    run: Run, queries: Sequence[str], documents: Sequence[str], qrels: Qrels
) -> list[RankedQueries]:
    """Find the ranks that a run gives; infinite for a relevant document that it does not have.

    Args:
        run: what was retrieved.
        queries: ids of the queries of the qrels.
        documents: ids of the documents of the qrels, all of the run among them.
        qrels: what is relevant.
    """
    number = {name: place for place, name in enumerate(documents)}
    found = np.array([number[name] for name in run.documents])[run.ranked]
    place = {name: row for row, name in enumerate(run.queries)}

    def retrieved(query: int) -> np.ndarray:
        row = place.get(queries[query])
        return found[:0] if row is None else found[run.offsets[row] : run.offsets[row + 1]]

    return [RankedQueries(rows, _of_lists(rows, retrieved, qrels)) for rows in _groups(qrels)]


def _groups(qrels: Qrels) -> Iterator[np.ndarray]:
    """The queries that have relevant documents, in groups whose ranks, padded to the longest, are not too many."""
    counts = qrels.relevant().offsets.diff().numpy()
    order = np.argsort(-counts, kind="stable")
    order = order[: int((counts > 0).sum())]
    while len(order):
        size = max(1, _PLACES // int(counts[order[0]]))
        yield np.sort(order[:size])
        order = order[size:]


def _of_lists(rows: np.ndarray, retrieved: Callable[[int], np.ndarray], qrels: Qrels) -> ExactRanks:
    """Ranks of the relevant documents of some queries in lists of documents."""
    relevant = [qrels.positives(row).numpy() for row in rows.tolist()]
    shape = len(rows), max(map(len, relevant))
    among_all, among_positives, gain = (np.zeros(shape) for _ in range(3))
    competitors = np.zeros(len(rows), dtype=np.int64)
    kept = qrels.relevant()
    for row, (query, documents) in enumerate(zip(rows.tolist(), relevant, strict=True)):
        many, listed = len(documents), retrieved(query)
        place = np.searchsorted(documents, listed).clip(max=many - 1)
        hit = documents[place] == listed
        among_all[row, :many] = among_positives[row, :many] = np.inf
        among_all[row, place[hit]] = hit.nonzero()[0] + 1
        among_positives[row, place[hit]] = np.arange(1, int(hit.sum()) + 1)
        gain[row, :many] = kept.grades[int(kept.offsets[query]) : int(kept.offsets[query + 1])].numpy()
        competitors[row] = len(listed)
    gains = torch.from_numpy(gain)
    return ExactRanks(
        torch.from_numpy(among_all),
        torch.from_numpy(among_positives),
        gains,
        gains > 0,
        torch.from_numpy(competitors),
    )

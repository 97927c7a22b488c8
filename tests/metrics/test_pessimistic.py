"""Lists of the first items: every relevant one at its exact rank, copies and collapsed vectors included."""

import numpy as np
import pytest
import torch

from metricgrad import Qrels
from metricgrad.metrics import judged_ranks, retrieval_ranks
from metricgrad.metrics.pessimistic import pessimistic_lists


def copies(generator: torch.Generator, count: int = 60) -> torch.Tensor:
    """Vectors of few different ones, and some that differ in the last bit alone."""
    points = torch.randn(12, 4, generator=generator)[torch.randint(12, (count,), generator=generator)]
    points[::7] *= 1 + 2**-23
    return points


@pytest.mark.parametrize("depth", [1, 5, 40, 99])
@pytest.mark.parametrize("entries", [10, 10**6])
def test_relevant_items_stand_at_their_ranks(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch, depth: int, entries: int
) -> None:
    """Of graded judgements, whatever the depth and the number of queries at a time."""
    monkeypatch.setattr("metricgrad.metrics.pessimistic._ENTRIES", entries)
    queries, documents = copies(generator, 20), copies(generator)
    pairs = torch.rand(20, 60, generator=generator).argsort(1)[:, :25]
    grades = torch.randint(-1, 4, (20, 25), generator=generator).double()
    numbers = torch.arange(20)[:, None].expand(20, 25)
    qrels = Qrels.of_pairs(numbers.flatten(), pairs.flatten(), grades.flatten(), queries=20, items=60)
    ranks = judged_ranks(queries, documents, qrels)
    lists = list(pessimistic_lists(queries, documents, depth, qrels.grades_of))
    for query, listed in enumerate(lists):
        assert len(listed.items) == len(set(listed.items.tolist())) == min(depth, 60)
        assert (np.diff(listed.similarities) <= 0).all()
        found = {
            place: qrels.grades_of(query, np.array([item]))[0]
            for place, item in enumerate(listed.items.tolist(), 1)
        }
        here = ranks.valid[query]
        expected = {
            int(rank): float(gain)
            for rank, gain in zip(ranks.among_all[query][here], ranks.gain[query][here], strict=True)
            if rank <= depth
        }
        assert {place: grade for place, grade in found.items() if grade > 0} == expected


def test_collapsed_vectors_have_their_relevant_items_last() -> None:
    """All items are equal: the first places are of what is not relevant, though the relevant have lower numbers."""
    points = torch.ones(200, 3)
    labels = np.arange(200) // 100
    lists = list(
        pessimistic_lists(
            points[:4],
            points,
            100,
            lambda query, items: (labels[items] == labels[query]).astype(float),
            exclude=torch.arange(4),
        )
    )
    for listed in lists:
        assert (labels[listed.items] == 1).all() and len(listed.items) == 100


def test_a_query_is_not_in_its_own_list(generator: torch.Generator) -> None:
    """Among labels: the ranks of the set itself; the whole list has all others."""
    points, labels = copies(generator), np.arange(60) % 7
    ranks = retrieval_ranks(points, labels)
    lists = pessimistic_lists(
        points,
        points,
        60,
        lambda query, items: (labels[items] == labels[query]).astype(float),
        exclude=torch.arange(60),
    )
    for query, listed in enumerate(lists):
        assert query not in listed.items and len(listed.items) == 59
        places = 1 + np.flatnonzero(labels[listed.items] == labels[query])
        assert places.tolist() == sorted(ranks.among_all[query][ranks.valid[query]].int().tolist())

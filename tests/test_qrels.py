"""Graded relevance, sparse: against a dictionary of pairs."""

import numpy as np
import pytest
import torch

import metricgrad
from metricgrad._qrels import Qrels
from metricgrad.errors import InputError
from metricgrad.tune.fingerprint import fingerprint

PAIRS = {(0, 5): 2.0, (0, 1): 1.0, (2, 3): 0.0, (2, 0): -1.0, (3, 5): 0.5}


def made(pairs=PAIRS, queries: int = 4, items: int = 6) -> Qrels:
    """Qrels of a dictionary."""
    query, document = zip(*pairs, strict=True)
    return Qrels.of_pairs(list(query), list(document), list(pairs.values()), queries=queries, items=items)


def pairs_of(qrels: Qrels) -> dict[tuple[int, int], float]:
    """The dictionary again."""
    query = torch.repeat_interleave(torch.arange(qrels.queries), qrels.offsets.diff())
    found = zip(query.tolist(), qrels.documents.tolist(), strict=True)
    return dict(zip(found, qrels.grades.tolist(), strict=True))


def test_pairs_are_kept_with_their_grades() -> None:
    """Also zero and negative ones: they were judged."""
    qrels = made()
    assert metricgrad.Qrels is Qrels
    assert pairs_of(qrels) == PAIRS
    assert [qrels.positives(query).tolist() for query in range(4)] == [[1, 5], [], [], [5]]
    assert pairs_of(qrels.relevant()) == {pair: grade for pair, grade in PAIRS.items() if grade > 0}


def test_random_pairs_against_a_dictionary() -> None:
    """`taking` and `dense`, whatever is asked for, repeated queries and documents among it."""
    generator = np.random.default_rng(0)
    for _ in range(20):
        queries, items = generator.integers(1, 9, 2)
        drawn = generator.integers(0, [queries, items], (generator.integers(1, 30), 2))
        pairs = {(int(q), int(d)): float(generator.integers(-1, 4)) for q, d in drawn}
        qrels = made(pairs, int(queries), int(items))
        asked = generator.integers(0, queries, 5)
        some = generator.permutation(items)[: generator.integers(0, items + 1)]
        taken = qrels.taking(asked, some)
        assert (taken.queries, taken.items) == (5, len(some))
        assert pairs_of(taken) == {
            (row, column): pairs[query, document]
            for row, query in enumerate(asked.tolist())
            for column, document in enumerate(some.tolist())
            if (query, document) in pairs
        }
        repeated = generator.integers(0, items, 7)
        wanted = [[max(pairs.get((q, d), 0.0), 0.0) for d in repeated.tolist()] for q in asked.tolist()]
        assert qrels.dense(asked, torch.from_numpy(repeated)).tolist() == wanted


def test_equal_pairs_are_joined_and_others_refused() -> None:
    """The same pair again is no news; with another grade it is an error in the file."""
    assert len(Qrels.of_pairs([0, 0], [1, 1], [2, 2], queries=1, items=2).documents) == 1
    with pytest.raises(InputError, match="query 0 and document 1 have the grades 2 and 1"):
        Qrels.of_pairs([0, 0], [1, 1], [2, 1], queries=1, items=2)


def test_what_it_is_known_by() -> None:
    """The content, in whatever order it came."""
    same, other = made(dict(reversed(PAIRS.items()))), made({**PAIRS, (1, 1): 1.0})
    assert same.digest == made().digest != other.digest
    assert made(queries=5).digest != made().digest
    assert fingerprint(same).values == fingerprint(made()).values != fingerprint(other).values


def test_nothing_judged() -> None:
    """No pair, no query, no document: empty, not an error."""
    empty = Qrels.of_pairs([], [], queries=2, items=0)
    assert empty.positives(1).tolist() == []
    assert empty.dense([0, 1], []).shape == (2, 0)
    assert empty.taking([1], []).queries == 1
    assert Qrels.of_pairs([], [], queries=0, items=3).dense([], [0]).shape == (0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Qrels.of_pairs([0, 4], [0, 0], queries=4, items=1), r"query_numbers\[1\] is 4"),
        (lambda: Qrels.of_pairs([0], [-1], queries=4, items=1), r"document_numbers\[0\] is -1"),
        (lambda: Qrels.of_pairs([0], [0, 1], queries=4, items=2), "1 query_numbers, 2 document_numbers"),
        (lambda: Qrels.of_pairs([0], [0], [float("nan")], queries=1, items=1), "grades are NaN"),
        (lambda: Qrels.of_pairs(["a"], [0], queries=1, items=1), "whole numbers"),
        (lambda: made().taking([0], [1, 1]), "document 1 is 2 times"),
        (lambda: made().taking([9], [1]), r"query_rows\[0\] is 9"),
        (lambda: made().dense([0], [6]), r"document_rows\[0\] is 6"),
        (
            lambda: Qrels(torch.tensor([0, 2]), torch.tensor([1, 0]), torch.ones(2).double(), 1, 2),
            "do not rise",
        ),
        (lambda: Qrels(torch.tensor([0]), torch.tensor([1]), torch.ones(1).double(), 1, 2), "offsets"),
    ],
)
def test_what_is_refused(call, message: str) -> None:
    """One sentence that names the place."""
    with pytest.raises(InputError, match=message):
        call()

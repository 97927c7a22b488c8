"""Batches of pairs: distinct queries with one relevant document each, drawn by (seed, epoch) alone."""

import numpy as np
import pytest
import torch

from metricgrad import Qrels
from metricgrad.errors import InputError
from metricgrad.tune import ArraySplit, PairSplit, Splits
from metricgrad.tune.splits import check_disjoint
from tests.tune.pair_run import DOCUMENTS, QUERIES, judgements, vectors


def split(**changes) -> PairSplit:
    """Batches of 16 of all queries."""
    return PairSplit(*vectors(), judgements(), **{"batch": 16, **changes})


def batches(one: PairSplit, epoch: int = 0) -> list:
    """All batches of an epoch."""
    one.set_epoch(epoch)
    return list(one)


def test_a_batch_holds_what_it_says():
    """Distinct queries, each with a relevant document; documents once, in order; rows, numbers and grades agree."""
    queries, documents = vectors()
    one = split(hard_negatives=1)
    assert len(one) == QUERIES // 16 == len(batches(one))
    seen = []
    for inputs, targets in batches(one):
        query, document = targets["query"], targets["document"]
        assert len(query.unique()) == 16 and bool((document.diff() > 0).all())
        assert torch.equal(inputs["query"], queries[query])
        assert torch.equal(inputs["document"], documents[document])
        assert torch.equal(targets["relevance"], judgements().dense(query, document).float())
        assert bool((targets["relevance"] > 0).any(1).all())
        seen.append(query)
    assert len(torch.cat(seen).unique()) == 16 * len(one)


def test_epochs_and_seeds_decide():
    """The same seed and epoch draw the same batches, others draw others; passes count on; both grades are drawn."""
    first, again, other = batches(split()), batches(split()), batches(split(seed=1))
    assert torch.equal(first[0][1]["query"], again[0][1]["query"])
    assert not torch.equal(first[0][1]["query"], other[0][1]["query"])
    one = split()
    numbers = [next(iter(one))[1]["query"] for _ in range(2)]
    assert torch.equal(numbers[1], batches(split(), epoch=1)[0][1]["query"])
    alone = PairSplit(*vectors(), judgements(), batch=2, query_numbers=[0, 30])
    brought = {tuple(batches(alone, epoch)[0][1]["document"].tolist()) for epoch in range(12)}
    assert brought == {(0, 30), (1, 30), (0, 31), (1, 31)}


def test_negatives_are_the_judged_ones_or_those_of_a_table():
    """Documents of grade 0; of a table without repetition, -1 being none; several of them."""
    for inputs, targets in batches(split(hard_negatives=1, batch=2)):
        judged = (targets["query"] + 7) % DOCUMENTS
        assert set(judged.tolist()) <= set(targets["document"].tolist())
        assert 3 <= len(inputs["document"]) <= 4
    table = np.full((QUERIES, 3), -1)
    table[:, 1:] = (np.arange(QUERIES)[:, None] + [20, 21]) % DOCUMENTS
    table[0] = -1
    one = split(hard_negatives=2, negatives=table, batch=2, query_numbers=[0, 1])
    for epoch in range(4):
        ((_, targets),) = batches(one, epoch)
        assert set(targets["document"].tolist()) >= {21, 22} and len(targets["document"]) <= 4


@pytest.mark.parametrize("kind", ["f4", "f8", "f2", ">f4"])
def test_reads_a_memory_map_by_rows(tmp_path, kind):
    """A read-only map gives the batches of the array, in PyTorch's default type; the digest is of the content."""
    queries, documents = (part.numpy().astype(kind) for part in vectors())
    np.save(tmp_path / "queries.npy", queries)
    np.save(tmp_path / "documents.npy", documents)
    maps = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("queries", "documents")]
    mapped, held = (
        PairSplit(*maps, judgements(), batch=16),
        PairSplit(queries, documents, judgements(), batch=16),
    )
    assert isinstance(mapped.queries, np.memmap)
    for (found, _), (wanted, _) in zip(batches(mapped), batches(held), strict=True):
        assert found["query"].dtype == found["document"].dtype == torch.float32
        assert torch.equal(found["query"], wanted["query"])
        assert torch.equal(found["document"], wanted["document"])
    assert mapped.digest == held.digest != split(seed=1).digest
    reference = ArraySplit(maps[1], torch.arange(DOCUMENTS), side="document", batch=7)
    rows = torch.cat([inputs["document"] for inputs, _ in reference])
    torch.testing.assert_close(rows, vectors()[1], rtol=1e-3, atol=1e-3)


def test_digest_names_every_part():
    """Another seed, batch, table, relevance or number of queries is another split; a rebatched one keeps the rest."""
    table = torch.zeros(QUERIES, 1, dtype=torch.long)
    others = [
        split(),
        split(seed=1),
        split(batch=8),
        split(hard_negatives=1),
        split(hard_negatives=1, negatives=table),
        split(query_numbers=torch.arange(60)),
        split(shared_documents=False),
    ]
    assert len({one.digest for one in others}) == len(others)
    assert split(hard_negatives=1, negatives=table).rebatch(8).digest == (
        split(hard_negatives=1, negatives=table, batch=8).digest
    )


def test_queries_without_a_document_are_left_out_and_counted():
    """A query to which nothing is relevant brings no pair."""
    qrels = Qrels.of_pairs([0, 1, 2], [0, 1, 2], [1.0, 0.0, 1.0], queries=4, items=3)
    one = PairSplit(torch.eye(4), torch.eye(3), qrels, batch=2, query_numbers=[0, 1, 2])
    assert one.query_numbers.tolist() == [0, 2] and one.without_document == 1
    assert PairSplit(torch.eye(4), torch.eye(3), qrels, batch=2).without_document == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 1000}, "120 queries have a relevant document, and a batch holds 1000"),
        ({"batch": 1}, "batch is 1"),
        ({"query_numbers": [3, 3]}, "a query number comes twice"),
        ({"query_numbers": [0, 120]}, "query_numbers reach from 0 to 120"),
        ({"negatives": np.zeros((QUERIES, 1), dtype=int)}, "negatives came and hard_negatives is 0"),
        ({"negatives": np.zeros((3, 1), dtype=int), "hard_negatives": 1}, "negatives are"),
        ({"negatives": np.full((QUERIES, 1), 60), "hard_negatives": 1}, "below 60"),
    ],
)
def test_refuses(changes, message):
    """Every mistake in a sentence."""
    with pytest.raises(InputError, match=message):
        split(**changes)


def test_refuses_other_arrays():
    """Lengths that are not those of the qrels, and qrels that are none."""
    queries, documents = vectors()
    with pytest.raises(InputError, match="one row for each of the 60"):
        PairSplit(queries, queries, judgements())
    with pytest.raises(InputError, match=r"expected metricgrad\.Qrels"):
        PairSplit(queries, documents, [(0, 1)])
    with pytest.raises(InputError, match="side is 'query' and the reference has none"):
        ArraySplit(
            queries, torch.arange(QUERIES), side="query", reference=ArraySplit(documents, range(DOCUMENTS))
        )
    with pytest.raises(InputError, match="side is 'left'"):
        ArraySplit(queries, torch.arange(QUERIES), side="left")


def test_splits_share_no_query_and_no_document_where_asked():
    """A query of fit is none of select's; its documents may be, unless the split says that they are not."""
    queries, documents = vectors()
    reference = ArraySplit(documents, torch.arange(DOCUMENTS), side="document")

    def splits(numbers, **changes) -> Splits:
        fit = split(query_numbers=torch.arange(50), **changes)
        return Splits(fit, ArraySplit(queries[numbers], numbers, side="query", reference=reference))

    check_disjoint(splits(torch.arange(60, 90)))
    with pytest.raises(
        InputError, match=r"fit and select share 10 queries, e\.g\. 40; expected splits that are disjoint by"
    ):
        check_disjoint(splits(torch.arange(40, 70)))
    with pytest.raises(InputError, match=r"fit and select share 31 relevant documents, e\.g\. 0"):
        check_disjoint(splits(torch.arange(60, 90), shared_documents=False))
    check_disjoint(splits(torch.arange(51, 59), shared_documents=False))

"""Who fits, selects and tests: nothing is in two parts, and the question is the one that is answered."""

import numpy as np
import pytest

from metricgrad import Qrels
from metricgrad.adapting.links import components
from metricgrad.adapting.parts import Parts, label_parts, pair_parts
from metricgrad.errors import InputError
from tests.adapting.small_vectors import vectors


def rows(parts: Parts) -> list[set[int]]:
    """The numbers of each part."""
    return [set(part.tolist()) for part in (parts.fit, parts.select, parts.test)]


def graph(links: list[tuple[int, int]], queries: int, items: int) -> Qrels:
    """Judgements of these pairs."""
    query, document = zip(*links, strict=True)
    return Qrels.of_pairs(list(query), list(document), queries=queries, items=items)


def test_classes_are_not_torn_apart() -> None:
    """Every class is in one part; .6, .2, .2 of the classes; the seed alone decides."""
    _, labels = vectors()
    parts = label_parts(labels, seed=3)
    kinds = [set(labels[list(part)].tolist()) for part in rows(parts)]
    assert [len(kind) for kind in kinds] == [72, 24, 24]
    assert not kinds[0] & kinds[1] and not kinds[0] & kinds[2] and not kinds[1] & kinds[2]
    assert sum(map(len, rows(parts))) == len(labels)
    again, other = label_parts(labels, seed=3), label_parts(labels, seed=4)
    assert rows(parts) == rows(again) != rows(other)


def test_groups_are_not_torn_apart() -> None:
    """A group of items goes to one part, whatever their classes are."""
    labels, groups = np.arange(60) % 6, np.arange(60) // 5
    parts = label_parts(labels, groups=groups)
    kinds = [set(groups[list(part)].tolist()) for part in rows(parts)]
    assert sum(map(len, kinds)) == 12 and parts.question.startswith("new groups")


def test_components_are_those_of_a_search() -> None:
    """Queries are linked as a search from query to query says."""
    draw = np.random.default_rng(0)
    for many in (10, 30, 60):
        links = [(int(draw.integers(40)), int(draw.integers(50))) for _ in range(many)]
        found = components(graph(links, 40, 50).relevant())
        for start in range(40):
            reached, waiting = {start}, [start]
            while waiting:
                query = waiting.pop()
                documents = {document for asked, document in links if asked == query}
                more = {asked for asked, document in links if document in documents} - reached
                reached |= more
                waiting += more
            assert set(np.flatnonzero(found == found[start]).tolist()) == reached


def test_both_parts_documents_too() -> None:
    """With `both` no document is relevant in two parts; that is the default where few are shared."""
    qrels = graph([(query, query // 2) for query in range(100)], 100, 60)
    parts = pair_parts(qrels)
    assert parts.by == "both" and parts.question == "new queries and new documents"
    documents = [{query // 2 for query in part} for part in rows(parts)]
    assert not documents[0] & documents[1] and not documents[0] & documents[2]


def test_shared_documents_part_by_query() -> None:
    """Where queries hang together by documents, documents are known, and `both` is refused with what helps."""
    links = [(query, query % 3) for query in range(100)] + [(query, 3) for query in range(100)]
    qrels = graph(links, 100, 5)
    assert pair_parts(qrels).question == "new queries over known documents"
    with pytest.raises(InputError, match="100% of the queries hang together"):
        pair_parts(qrels, "both")


def test_document_leaves_out_torn_queries() -> None:
    """With `document` a query whose documents lie in two parts is in none, and counted."""
    links = [(query, query) for query in range(90)] + [(query, (query + 1) % 90) for query in range(45)]
    parts = pair_parts(graph(links, 90, 90), "document")
    assert parts.left_out > 0
    assert sum(map(len, rows(parts))) + parts.left_out == 90


def test_queries_without_a_document_are_in_no_part() -> None:
    """Whichever way queries are parted."""
    qrels = graph([(query, query) for query in range(60)], 90, 90)
    for by in (None, "query", "both", "document"):
        assert max(map(max, rows(pair_parts(qrels, by)))) < 60
    given = {"fit": range(40), "select": range(40, 50), "test": range(50, 90)}
    assert rows(pair_parts(qrels, parts=given))[2] == set(range(50, 60))


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        ([0] * 9, {}, "are of one class"),
        (list(range(10)) * 9, {}, "10 classes leave 2 for select"),
        ([0, 1] * 9, {"by": "document"}, "'class' or 'query'"),
        ([0, 1] * 9, {"parts": {"fit": [0, 1], "select": [2], "test": [1]}}, "in fit and in test"),
        ([0, 1] * 9, {"parts": {"fit": [0, 0], "select": [2], "test": [1]}}, "fit names an item twice"),
        ([0, 1] * 9, {"parts": {"fit": [0, 1], "select": [], "test": [3]}}, "select is empty"),
        ([0, 1] * 9, {"parts": {"fit": [0, 99], "select": [1], "test": [3]}}, "numbers from 0 to 17"),
        ([0, 1] * 9, {"parts": {"fit": [0.5], "select": [1], "test": [3]}}, "numbers from 0 to 17"),
        ([0, 1] * 9, {"parts": {"fit": [0]}}, "fit, select and test"),
        ([0, 1] * 9, {"groups": [0, 1]}, "one group per item"),
    ],
)
def test_refused(labels, arguments, message) -> None:
    """One sentence each."""
    with pytest.raises(InputError, match=message):
        label_parts(labels, **arguments)

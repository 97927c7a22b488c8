"""Metrics over judged documents: against trec_eval's definitions by loops, and against the whole matrix."""

import math

import pytest
import torch

from metricgrad import Qrels, metrics
from metricgrad.errors import InputError
from metricgrad.metrics import of_ranks
from metricgrad.tune.fingerprint import fingerprint
from tests.metrics.test_embedded import equal, whole
from tests.oracles import retrieval, trec_eval


def drawn(generator: torch.Generator, queries: int = 12, items: int = 50) -> tuple:
    """Queries, documents (copies among them) and graded judgements; query 0 has no relevant document."""
    documents = torch.randn(items, 6, generator=generator)
    documents[40:] = documents[:10]
    asked = torch.randn(queries, 6, generator=generator) + documents[:queries]
    grades = torch.randint(-1, 4, (queries, items), generator=generator).double()
    grades[torch.rand(queries, items, generator=generator) < 0.8] = 0
    grades[0].clamp_(max=0)
    query, document = grades.nonzero(as_tuple=True)
    qrels = Qrels.of_pairs(query, document, grades[query, document], queries=queries, items=items)
    return asked, documents, grades, qrels


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic", "average"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("tile", [60, 10**6])
def test_ranks_are_those_of_the_whole_matrix(generator, ties, normalize: bool, tile: int) -> None:
    """Grades, ties by grade, copies, queries without a relevant document."""
    asked, documents, grades, qrels = drawn(generator)
    scores = whole(asked, documents, normalize=normalize)
    wanted = metrics.ranks_from_scores(scores, grades.clamp(min=0), ties=ties)
    equal(metrics.judged_ranks(asked, documents, qrels, ties=ties, normalize=normalize, tile=tile), wanted)


@pytest.mark.parametrize("tile", [60, 10**6])
def test_a_document_per_query_is_passed_over(generator: torch.Generator, tile: int) -> None:
    """Relevant or not; -1 is none."""
    asked, documents, grades, qrels = drawn(generator)
    exclude = torch.randint(-1, 50, (12,), generator=generator)
    exclude[3] = grades[3].argmax()
    exclude[4] = -1
    scores = whole(asked, documents, normalize=True)
    found = metrics.judged_ranks(asked, documents, qrels, exclude=exclude, tile=tile)
    wanted = metrics.ranks_from_scores(scores, grades.clamp(min=0), query_item=exclude)
    for name in ("reciprocal_rank", "average_precision", "average_precision_at_r", "ndcg"):
        formula = getattr(of_ranks, name)
        torch.testing.assert_close(formula(found), formula(wanted), rtol=0, atol=1e-15, equal_nan=True)
    assert torch.equal(found.competitors, wanted.competitors)


NAMES = ["ndcg@5", "ndcg", "recall@5", "hit@5", "mrr", "map", "precision@5", "r_precision"]
TREC = ["ndcg_cut_5", "ndcg", "recall_5", "success_5", "recip_rank", "map", "P_5", "Rprec"]


@pytest.mark.parametrize(("name", "measure"), list(zip(NAMES, TREC, strict=True)))
def test_values_are_those_of_trec_eval(generator: torch.Generator, name: str, measure: str) -> None:
    """Its definitions, by loops over a run without ties; queries and documents in an order of their own."""
    asked, documents, grades, qrels = drawn(generator)
    documents += 0.01 * torch.randn(documents.shape, generator=generator)
    scores = whole(asked, documents, normalize=True).tolist()
    metric = metrics.judged(name, qrels)
    rows, columns = (torch.randperm(count, generator=generator) for count in (12, 50))
    found = metric.measure(asked[rows], rows, reference_outputs=documents[columns], reference_targets=columns)
    assert metric.name == name and found.shape == (12, 1)
    for query, value in zip(rows.tolist(), found[:, 0].tolist(), strict=True):
        if query == 0:
            assert math.isnan(value)
            continue
        run, judged = dict(enumerate(scores[query])), dict(enumerate(grades[query].tolist()))
        judged = {document: max(grade, 0) for document, grade in judged.items()}
        assert value == pytest.approx(trec_eval.measured(run, judged, [5])[measure], abs=1e-12)
    assert metric.summarise(found) == pytest.approx(float(found.nanmean()), abs=1e-15)


@pytest.mark.parametrize(
    ("name", "function", "settings"),
    [
        ("mrr@3", retrieval.reciprocal_rank, {"k": 3}),
        ("map@7", retrieval.average_precision, {"k": 7}),
        ("map@r", retrieval.average_precision_at_r, {}),
        ("ndcg@5:gains=exponential", retrieval.ndcg, {"k": 5, "gains": "exponential"}),
        ("map@7:ties=average", retrieval.average_precision, {"k": 7, "ties": "average"}),
    ],
)
def test_cut_values_are_those_of_loops(generator: torch.Generator, name: str, function, settings) -> None:
    """With ties, of copies among the documents."""
    asked, documents, grades, qrels = drawn(generator)
    scores = whole(asked, documents, normalize=True).tolist()
    references = {"reference_outputs": documents, "reference_targets": torch.arange(50)}
    found = metrics.judged(name, qrels).measure(asked, torch.arange(12), **references)[:, 0]
    for value, wanted in zip(
        found.tolist(), function(scores, grades.clamp(min=0).tolist(), **settings), strict=True
    ):
        assert (wanted is None and math.isnan(value)) or value == pytest.approx(wanted, abs=1e-12)


def test_map_at_r_over_labels_is_that_of_pytorch_metric_learning(generator: torch.Generator) -> None:
    """For every query the mean over the first R places of the precision at the relevant ones, by its own code."""
    accuracy_calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    points = torch.randn(60, 8, generator=generator)
    labels = torch.randint(0, 9, (60,), generator=generator)
    own = torch.arange(60)
    order = metrics.nearest_items(points, points, 59, exclude=own).item
    labels_of, given = labels[:, None], {"label_counts": labels.unique(return_counts=True), "at_r": True}
    others = {"avg_of_avgs": False, "return_per_class": False, "label_comparison_fn": torch.eq}
    wanted = accuracy_calculator.mean_average_precision(
        labels[order], labels_of, ref_includes_query=True, **given, **others
    )
    metric = metrics.adapt("map@r")
    assert metric.function is metrics.average_precision_at_r
    assert metric.summarise(metric.measure(points, labels)) == pytest.approx(float(wanted), abs=1e-12)


def test_a_record_is_bound_by_its_function() -> None:
    """Also `recall@10` of labels, which asks for any: it is called what it is."""
    qrels = Qrels.of_pairs([0], [0], queries=1, items=1)
    assert metrics.judged(metrics.adapt("recall@10"), qrels).name == "hit@10"
    assert metrics.judged(metrics.adapt("recall@10"), qrels).function is metrics.hit_at_k
    share = metrics.judged(" Recall@10:ties=mid", qrels)
    assert share.function is metrics.recall_at_k and share.settings["ties"] == "mid"
    assert "share of the relevant items" in share.description and "ties mid" in share.description
    assert metrics.judged(metrics.adapt("ndcg@3"), qrels).name == "ndcg@3"
    assert "gains=exponential" in metrics.judged("ndcg:gains=exponential", qrels).description


def test_it_is_known_by_its_judgements() -> None:
    """Two metrics are the same where function, settings and judgements are."""
    one, same, other = (
        metrics.judged("ndcg@10", Qrels.of_pairs([0], [0], [grade], queries=1, items=1))
        for grade in (1, 1, 2)
    )
    assert one.settings == same.settings != other.settings
    assert fingerprint(one).values == fingerprint(same).values != fingerprint(other).values


QRELS = Qrels.of_pairs([0, 1], [0, 2], queries=2, items=3)
POINTS = torch.eye(3)


def measured(queries, numbers, metric="recall@1") -> torch.Tensor:
    """Of the points as queries and documents."""
    metric = metrics.judged(metric, QRELS)
    return metric.measure(
        POINTS[: len(queries)], queries, reference_outputs=POINTS[: len(numbers)], reference_targets=numbers
    )


def test_a_sampled_index_holds_every_relevant_document() -> None:
    """Distractors may be missing, and documents that are relevant to other queries."""
    assert measured([0], [0]).tolist() == [[1.0]]
    with pytest.raises(
        InputError, match="1 relevant documents are not among the references, first of query 1"
    ):
        measured([0, 1], [0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.judged("accuracy", QRELS), "the function is accuracy"),
        (lambda: metrics.judged("recall", QRELS), "the function is recall"),
        (
            lambda: metrics.judged(metrics.adapt(lambda a, b: 0.0, higher_is_better=True), QRELS),
            "this library",
        ),
        (lambda: metrics.judged("ndcg:gains=square", QRELS), "gains is 'square'"),
        (lambda: metrics.judged("mrr@5", QRELS).measure(POINTS, [0, 1, 1]), "no documents came"),
        (lambda: measured([2], [0]), r"query_rows\[0\] is 2"),
        (lambda: measured([0], [0, 0]), "document 0 is 2 times"),
        (lambda: metrics.judged_ranks(POINTS, POINTS, QRELS), "3 queries and 3 documents came"),
        (lambda: metrics.judged_ranks(POINTS[:2], POINTS[:, :2], QRELS), "one number of dimensions"),
        (
            lambda: metrics.judged_ranks(POINTS[:2], POINTS, QRELS, exclude=torch.tensor([0, 3])),
            r"-1 \(none\) to 2",
        ),
        (lambda: metrics.judged_ranks(POINTS[:2], POINTS, QRELS, tile=0), "tile is 0"),
    ],
)
def test_what_is_refused(call, message: str) -> None:
    """One sentence."""
    with pytest.raises(InputError, match=message):
        call()

"""kNN classification: equal to its loop-written definition, and as a metric with a name."""

import math

import numpy as np
import pytest
import torch

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.metrics.rows import read_rows
from metricgrad.metrics.similarity import Similarities
from tests.oracles.neighbours import classify

LETTERS = ["b", "a", "c", "d"]


def labelled(generator: torch.Generator, items: int = 40, dim: int = 3) -> tuple[torch.Tensor, list[int]]:
    """Overlapping classes with many copies, so that similarities and votes tie, one class with a single row."""
    labels = torch.randint(0, 4, (items,), generator=generator)
    points = torch.randn(items // 3, dim, generator=generator)
    points = points[torch.randint(0, len(points), (items,), generator=generator)]
    labels[7] = 11
    return points, labels.tolist()


@pytest.mark.parametrize("weights", ["uniform", "similarity"])
@pytest.mark.parametrize("k", [1, 4, 7, 100])
@pytest.mark.parametrize("prior", [None, {0: 1.0, 1: 2.5, 2: 0.0, 3: 0.3, 11: 40.0}])
def test_equals_the_slow_definition(generator: torch.Generator, weights, k: int, prior) -> None:
    """Neighbours, probabilities and winner, with and without leaving out an item, ties and k > items included."""
    scores = torch.randint(-3, 4, (12, 9), generator=generator).double() / 2
    labels = [1, 1, 0, 3, 2, 2, 11, 0, 2]
    exclude = torch.randint(-1, 9, (12,), generator=generator)
    settings = {"k": k, "weights": weights, "temperature": 0.4, "prior_ratio": prior}
    found = metrics.knn_classify_from_scores(scores, labels, exclude=exclude, **settings)
    for query, label in enumerate(found.labels()):
        wanted = classify(scores[query].tolist(), labels, exclude=int(exclude[query]), **settings)
        assert label == wanted[0]
        assert [item for item in found.neighbours.item[query].tolist() if item >= 0] == wanted[1]
        candidates, values = found.candidates[query].tolist(), found.probabilities[query].tolist()
        given = {
            int(found.classes[number]): value
            for number, value in zip(candidates, values, strict=True)
            if number >= 0
        }
        assert sorted(given) == sorted(wanted[2])
        for name, value in wanted[2].items():
            torch.testing.assert_close(given[name], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("alone", [True, False])
def test_embeddings_vote_as_their_similarities(
    generator: torch.Generator, normalize: bool, alone: bool
) -> None:
    """The route through tiles gives what all similarities at once give; a query among the items is left out."""
    points, labels = labelled(generator)
    queries = points if alone else points[::3].clone()
    sides = [read_rows("test", "rows", rows, normalize=normalize) for rows in (queries, points)]
    similarities = Similarities(*sides)
    scores = similarities.value(similarities.exact_tile(slice(None), slice(None)))
    settings = {"k": 5, "weights": "similarity", "temperature": 0.3}
    found = metrics.knn_classify(queries, points, labels, normalize=normalize, **settings)
    wanted = metrics.knn_classify_from_scores(
        scores, labels, exclude=torch.arange(40) if alone else None, **settings
    )
    torch.testing.assert_close(found.neighbours.item, wanted.neighbours.item, rtol=0, atol=0)
    torch.testing.assert_close(found.winner, wanted.winner, rtol=0, atol=0)
    torch.testing.assert_close(found.probabilities, wanted.probabilities, rtol=0, atol=1e-12)


def test_strings_vote_as_numbers_do(generator: torch.Generator) -> None:
    """Labels of any type in ascending order: the smaller string wins a tie as the smaller number does."""
    points, labels = labelled(generator)
    numbers = [label % 4 for label in labels]
    found = metrics.knn_classify(points, points, numbers, k=4)
    ranked = sorted(LETTERS)
    named = metrics.knn_classify(points, points, [ranked[number] for number in numbers], k=4)
    assert named.labels() == [ranked[label] for label in found.labels()]
    as_array = metrics.knn_classify(points, points, np.array(numbers), k=4)
    assert as_array.labels() == found.labels()


def test_probabilities_sum_to_one(generator: torch.Generator) -> None:
    """Also after the prior; each lies in [0, 1]."""
    points, labels = labelled(generator)
    prior = {label: 0.5 + label for label in set(labels)}
    for settings in ({}, {"weights": "similarity"}, {"prior_ratio": prior}):
        values = metrics.knn_classify(points, points, labels, k=6, **settings).probabilities
        torch.testing.assert_close(values.sum(1), torch.ones(40, dtype=torch.float64), rtol=0, atol=1e-12)
        assert bool(((values >= 0) & (values <= 1)).all())


def test_nobody_votes() -> None:
    """No item, only the query itself, or prior 0 for all that vote: no winner, and the metric is undefined."""
    one = torch.eye(2)[:1]
    for found in (
        metrics.knn_classify(torch.eye(2), torch.zeros(0, 2), []),
        metrics.knn_classify(one, one, ["a"]),
        metrics.knn_classify_from_scores(one.double(), ["a", "a"], prior_ratio={"a": 0.0}),
    ):
        assert set(found.winner.tolist()) == {-1}
        assert set(found.labels()) == {None}
        assert not bool(found.probabilities.any())
    assert metrics.knn_accuracy(one, ["a"]).isnan().all()
    assert metrics.knn_accuracy(one[:0], []).shape == (0,)


@pytest.mark.parametrize("k", [1, 3])
def test_accuracy_counts_right_votes(generator: torch.Generator, k: int) -> None:
    """Against the definition; with k = 1 and without ties it is recall@1."""
    points = torch.randn(40, 3, generator=generator)
    labels = torch.randint(0, 4, (40,), generator=generator)
    labels[7] = 9
    found = metrics.knn_accuracy(points, labels, k=k)
    similarities = Similarities(*[read_rows("test", "points", points, normalize=True)] * 2)
    scores = similarities.value(similarities.exact_tile(slice(None), slice(None))).tolist()
    wanted = [
        float(classify(scores[query], labels.tolist(), k=k, exclude=query)[0] == labels[query])
        for query in range(40)
    ]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=0)
    torch.testing.assert_close(metrics.knn_error(points, labels, k=k), 1 - found, rtol=0, atol=0)
    assert found[7] == 0  # the only one of its class cannot be right
    if k == 1:
        hits = metrics.retrieval_metric(metrics.hit_at_k, k=1).measure(points, labels)[:, 0]
        torch.testing.assert_close(found, hits.nan_to_num(), rtol=0, atol=0)


def test_order_of_rows_does_not_matter(generator: torch.Generator) -> None:
    """Without ties a permutation of the samples permutes the values."""
    points, labels = torch.randn(30, 4, generator=generator), torch.arange(30) % 3
    order = torch.randperm(30, generator=generator)
    settings = {"k": 4, "weights": "similarity"}
    before = metrics.knn_accuracy(points, labels, **settings)
    after = metrics.knn_accuracy(points[order], labels[order], **settings)
    torch.testing.assert_close(after, before[order], rtol=0, atol=0)


def test_best_and_worst() -> None:
    """Classes apart: 1. Every nearest item of another class: 0."""
    points, labels = torch.eye(4).repeat_interleave(3, 0), torch.arange(4).repeat_interleave(3)
    torch.testing.assert_close(
        metrics.knn_accuracy(points, labels, k=2), torch.ones(12, dtype=torch.float64), rtol=0, atol=0
    )
    pairs = torch.eye(4).repeat_interleave(2, 0)
    torch.testing.assert_close(
        metrics.knn_accuracy(pairs, torch.arange(8) % 2, k=1),
        torch.zeros(8, dtype=torch.float64),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize("name", ["knn_accuracy", "knn_error"])
def test_as_a_named_metric(generator: torch.Generator, name: str) -> None:
    """The name gives a record of one value per query, with references in any portions."""
    points, labels = labelled(generator)
    metric = metrics.adapt(f"{name}@3:weights=similarity")
    function = getattr(metrics, name)
    assert metric.unit == "query" and metric.higher_is_better == (name == "knn_accuracy")
    assert "3 nearest" in metric.description
    wanted = function(points, labels, k=3, weights="similarity")
    torch.testing.assert_close(metric.measure(points, labels)[:, 0], wanted, rtol=0, atol=0)
    torch.testing.assert_close(metric.summarise(metric.measure(points, labels)), float(wanted.nanmean()))
    reference = {"reference_outputs": points[10:], "reference_targets": labels[10:]}
    parts = [
        metric.measure(points[part], labels[part], **reference)
        for part in (slice(0, 4), slice(4, 5), slice(5, 10))
    ]
    torch.testing.assert_close(
        torch.cat(parts), metric.measure(points[:10], labels[:10], **reference), rtol=0, atol=0
    )
    assert metrics.adapt(function).name == f"{name}@5"


def test_a_class_without_items_is_never_right() -> None:
    """A query whose label no reference has is counted, as wrong."""
    found = metrics.knn_accuracy(
        torch.eye(2), ["new", "a"], reference_embeddings=torch.eye(2), reference_labels=["b", "a"], k=1
    )
    assert found.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k is"),
        ({"weights": "distance"}, "weights is 'distance'"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"labels": ["a"]}, "1 labels for 3 items"),
        ({"labels": [0.5, 0.1, 0.2]}, "whole number or string"),
        ({"prior_ratio": {"a": 1.0}}, "2 labels, 'b' first"),
        ({"prior_ratio": {"a": 1.0, "b": -1.0, "c": 1.0}}, r"prior_ratio\['b'\] is -1.0"),
        ({"exclude": torch.tensor([3, 0, 0])}, "exclude"),
        ({"exclude": torch.tensor([0])}, "exclude"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict, message: str) -> None:
    """Both doors say what came and what was expected."""
    given = {"labels": ["a", "b", "c"]} | settings
    with pytest.raises(InputError, match=message):
        metrics.knn_classify(torch.eye(3), torch.eye(3), **given)
    with pytest.raises(InputError, match=message):
        metrics.knn_classify_from_scores(torch.eye(3), **given)


def test_further_refusals() -> None:
    """NaN scores, references without labels, labels of two types, a function of another family."""
    with pytest.raises(InputError, match="finite"):
        metrics.knn_classify_from_scores(torch.full((1, 2), math.nan), [0, 1])
    with pytest.raises(InputError, match="came alone"):
        metrics.knn_accuracy(torch.eye(2), [0, 1], reference_embeddings=torch.eye(2))
    with pytest.raises(InputError, match="one type"):
        metrics.knn_accuracy(
            torch.eye(2), [0, 1], reference_embeddings=torch.eye(2), reference_labels=["a", "b"]
        )
    with pytest.raises(InputError, match="one of knn_accuracy, knn_error"):
        metrics.knn_metric(metrics.hit_at_k)
    for name, message in (
        ("knn_error@0", "k is"),
        ("knn_error:weights=x", "weights"),
        ("knn_error:wights=x", "Did"),
    ):
        with pytest.raises(InputError, match=message):
            metrics.adapt(name)


@pytest.mark.parametrize("offset", [2**53, 2**62, -(2**62)])
def test_large_whole_scores_are_compared_as_such(offset: int) -> None:
    """Similarities that float64 cannot tell apart are ordered as whole numbers, equal ones by index."""
    scores = torch.tensor([[0, 1, 2, 2], [3, 1, 0, 3]]) + offset
    found = metrics.knn_classify_from_scores(scores, ["a", "b", "c", "d"], k=3)
    assert found.neighbours.item.tolist() == [[2, 3, 1], [0, 3, 1]]
    exclude = torch.tensor([2, -1])
    found = metrics.knn_classify_from_scores(scores, ["a", "b", "c", "d"], k=4, exclude=exclude)
    assert found.neighbours.item.tolist() == [[3, 1, 0, -1], [0, 3, 1, 2]]

"""Metrics as records: statistics per unit, summaries that can be resampled, names and descriptions."""

import dataclasses
import math

import pytest
import torch

from metricgrad import metrics
from metricgrad._types import Metric
from metricgrad.errors import InputError
from metricgrad.interval import mean_of_units
from metricgrad.metrics.rows import read_rows
from metricgrad.metrics.similarity import Similarities

RETRIEVAL = [
    (metrics.recall_at_k, {"k": 2}),
    (metrics.recall_at_k, {"k": 2, "normalizer": "min_k_positives"}),
    (metrics.hit_at_k, {"k": 1}),
    (metrics.precision_at_k, {"k": 3}),
    (metrics.r_precision, {}),
    (metrics.average_precision, {}),
    (metrics.average_precision, {"k": 3}),
    (metrics.average_precision_at_r, {}),
    (metrics.reciprocal_rank, {}),
    (metrics.reciprocal_rank, {"k": 2}),
    (metrics.ndcg, {"k": None}),
    (metrics.ndcg, {"k": 4}),
]
CLASSIFICATION = [
    (metrics.accuracy, {}),
    (metrics.error_rate, {}),
    (metrics.balanced_error, {}),
    (metrics.f_beta, {"beta": 2.0, "positive_class": 1}),
    (metrics.f_beta, {"beta": 0.5, "average": "weighted"}),
    (metrics.f_beta, {"average": "macro"}),
    (metrics.f_beta, {"average": "micro"}),
    (metrics.binary_average_precision, {}),
    (metrics.roc_auc, {}),
]


def points(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of overlapping classes, one of them single, some rows copies."""
    labels = torch.randint(0, 6, (40,), generator=generator)
    labels[0] = 9
    found = torch.randn(10, 5, generator=generator)[labels] + torch.randn(40, 5, generator=generator)
    found[10:15] = found[20:25]
    return found, labels


def samples(generator: torch.Generator, function) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and targets that a classification metric takes."""
    if function in (metrics.binary_average_precision, metrics.roc_auc):
        return torch.randint(-3, 4, (50,), generator=generator) / 3, torch.arange(50) % 3 == 0
    return torch.randn(50, 3, generator=generator), torch.randint(0, 3, (50,), generator=generator)


@pytest.mark.parametrize(("function", "settings"), RETRIEVAL)
@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic", "average"])
def test_statistics_are_the_values_of_the_function(
    generator: torch.Generator, function, settings, ties
) -> None:
    """One column, NaN for the query without a relevant item; the summary is the mean of the rest."""
    outputs, targets = points(generator)
    metric = metrics.retrieval_metric(function, ties=ties, tile=200, **settings)
    similarities = Similarities(*[read_rows("test", "outputs", outputs, normalize=True)] * 2)
    scores = similarities.exact_tile(slice(None), slice(None))
    wanted = function(scores, targets[:, None] == targets, ties=ties, query_item=torch.arange(40), **settings)
    statistics = metric.measure(outputs, targets)
    assert statistics.dtype == torch.float64
    rounding = (
        1e-14 if ties == "average" else 0
    )  # a mean over orders is a sum of as many terms as the largest group
    torch.testing.assert_close(statistics[:, 0], wanted, rtol=0, atol=rounding, equal_nan=True)
    assert statistics[0, 0].isnan()
    torch.testing.assert_close(metric.summarise(statistics), float(wanted.nanmean()), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("function", "settings"), RETRIEVAL)
def test_statistics_of_parts_are_parts_of_the_statistics(
    generator: torch.Generator, function, settings
) -> None:
    """With references, queries can be measured in any portions."""
    outputs, targets = points(generator)
    metric = metrics.retrieval_metric(function, **settings)
    reference = {"reference_outputs": outputs[10:], "reference_targets": targets[10:]}
    whole = metric.measure(outputs[:20], targets[:20], **reference)
    parts = [
        metric.measure(outputs[part], targets[part], **reference) for part in (slice(0, 7), slice(7, 20))
    ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("function", "settings"), CLASSIFICATION)
def test_summary_is_the_function(generator: torch.Generator, function, settings) -> None:
    """Of the whole set, of concatenated parts, and of samples drawn with replacement."""
    outputs, targets = samples(generator, function)
    metric = metrics.classification_metric(function, **settings)
    statistics = metric.measure(outputs, targets)
    assert statistics.dtype == torch.float64
    parts = torch.cat([metric.measure(outputs[:9], targets[:9]), metric.measure(outputs[9:], targets[9:])])
    torch.testing.assert_close(parts, statistics, rtol=0, atol=0)
    drawn = torch.randint(0, 50, (50,), generator=generator)
    for rows in (torch.arange(50), drawn):
        wanted = float(function(outputs[rows], targets[rows], **settings))
        torch.testing.assert_close(metric.summarise(statistics[rows]), wanted, rtol=0, atol=1e-12)


def test_directions_bounds_and_units() -> None:
    """What the tuner and the report rely on."""
    lower = {metrics.error_rate, metrics.balanced_error}
    for function, settings in RETRIEVAL:
        metric = metrics.retrieval_metric(function, **settings)
        assert (metric.unit, metric.higher_is_better, metric.per_sample) == ("query", True, False)
        assert metric.bounds == (0.0, 1.0) and metric.summarise is mean_of_units
    for function, settings in CLASSIFICATION:
        metric = metrics.classification_metric(function, **settings)
        assert metric.unit == "sample"
        assert metric.higher_is_better == (function not in lower)
        assert metric.per_sample == (function in (metrics.accuracy, metrics.error_rate))


def test_names_and_descriptions_tell_the_readings_apart() -> None:
    """The two metrics that the field calls recall@k say which one they are."""
    hit = metrics.retrieval_metric(metrics.hit_at_k, k=1)
    share = metrics.retrieval_metric(metrics.recall_at_k, k=10)
    assert (hit.name, share.name) == ("hit@1", "recall_at_10")
    assert hit.description.startswith("any relevant item at rank 1 (metric learning's recall@1)")
    assert share.description.startswith("share of the relevant items within the first 10")
    dot = metrics.retrieval_metric(metrics.ndcg, k=5, normalize=False, ties="mid")
    assert dot.name == "ndcg@5" and dot.description.endswith("dot product, ties mid")


def test_no_defined_unit_is_nan() -> None:
    """Nothing to average over: NaN, without a warning."""
    metric = metrics.retrieval_metric(metrics.average_precision)
    assert math.isnan(metric.summarise(metric.measure(torch.eye(3), [1, 2, 3])))
    assert math.isnan(metric.summarise(metric.measure(torch.zeros(0, 3), [])))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.retrieval_metric(metrics.f_beta), "one of average_precision"),
        (lambda: metrics.classification_metric(metrics.ndcg), "one of accuracy"),
        (lambda: metrics.retrieval_metric(metrics.hit_at_k, k=0), "k is"),
        (lambda: metrics.retrieval_metric(metrics.hit_at_k), "k is missing"),
        (lambda: metrics.retrieval_metric(metrics.hit_at_k, k=1, normalise=True), "no setting 'normalise'"),
        (lambda: metrics.retrieval_metric(metrics.recall_at_k, k=1, normalizer="p"), "normalizer is 'p'"),
        (lambda: metrics.metric_by_name("hit@1:ties=best"), "ties is 'best'"),
        (lambda: metrics.metric_by_name("hit@1:normalize=no"), "true or false"),
        (lambda: metrics.classification_metric(metrics.f_beta, beta=-1), "beta is -1"),
        (lambda: metrics.classification_metric(metrics.f_beta, average="samples"), "average is 'samples'"),
        (lambda: metrics.classification_metric(metrics.f_beta, bta=1), "Did you mean 'beta'"),
    ],
)
def test_what_does_not_fit_is_refused(call, message: str) -> None:
    """A wrong setting is refused when the record is made, not after the first epoch."""
    with pytest.raises(InputError, match=message):
        call()


def test_records_are_metrics() -> None:
    """Both builders return the record type that tune takes."""
    assert isinstance(metrics.retrieval_metric(metrics.ndcg), Metric)
    assert isinstance(metrics.classification_metric(metrics.roc_auc), Metric)


@pytest.mark.parametrize(
    ("name", "function", "settings"),
    [
        ("recall@1", metrics.hit_at_k, {"k": 1, "ties": "pessimistic", "normalize": True}),
        ("F1", metrics.f_beta, {"beta": 1, "average": None, "positive_class": None, "threshold": None}),
        ("accuracy:threshold=0", metrics.accuracy, {"threshold": 0}),
        ("map", metrics.average_precision, {"k": None, "ties": "pessimistic", "normalize": True}),
        ("cer", metrics.character_error_rate, {}),
        ("iou_above:threshold=0.7", metrics.iou_above, {"threshold": 0.7}),
        (
            "knn_error@3",
            metrics.knn_error,
            {"k": 3, "weights": "uniform", "temperature": 0.07, "normalize": True},
        ),
    ],
)
def test_a_record_is_known_by_function_and_settings(name: str, function, settings) -> None:
    """Whatever it is called; a setting that was not given stands there at its default."""
    known = metrics.adapt(name)
    renamed = dataclasses.replace(known, name="mine")
    assert renamed.function is known.function is function
    assert renamed.settings == known.settings == settings
    assert isinstance(hash(known), int)


def test_only_metrics_of_ours_have_a_function() -> None:
    """One of the user is known by itself."""
    found = metrics.adapt(lambda outputs, targets: 1.0, higher_is_better=True)
    assert found.function is None and found.settings == {}


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        (metrics.log_loss, {}),
        (metrics.expected_calibration_error, {"bins": 5}),
        (metrics.partial_roc_auc, {"max_fpr": 0.5}),
        (metrics.roc_auc_ovr, {"average": "weighted"}),
        (metrics.multilabel_jaccard, {"average": "samples"}),
        (metrics.mean_iou, {"ignore_index": 255}),
    ],
)
def test_every_metric_of_a_classifier_has_a_record(function, settings) -> None:
    """Of scores, probabilities, labels and pixels as of decided classes."""
    metric = metrics.classification_metric(function, **settings)
    assert metric.function is function and metric.settings.items() >= settings.items()

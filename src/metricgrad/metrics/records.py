"""Metrics as `Metric` records: facts, statistics per unit and a summary that can be resampled.

`tune` measures a split with them, and the bootstrap draws their units. A metric that is a mean over units keeps one
column and `mean_of_units` as its summary; one that needs all samples at once (AUC, macro F) keeps what it needs of
each sample and is computed in the summary. Everything particular stands in the `Facts` beside the metric's function.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from metricgrad._types import Metric, Reading
from metricgrad.interval import mean_of_units
from metricgrad.metrics.confusion import Confusion
from metricgrad.metrics.facts import Facts, settings_of
from metricgrad.metrics.known import FAMILIES, facts_of
from metricgrad.metrics.of_rows import OfRows
from metricgrad.metrics.own_references import same_rows, warn_of_queries_among
from metricgrad.metrics.ranks import TILE, Ties

__all__ = [
    "classification_metric",
    "knn_metric",
    "metric_record",
    "of_classes",
    "of_labels",
    "of_pixels",
    "retrieval_metric",
    "sample_metric",
]

_NOTHING: Mapping[Reading, tuple[Any, Any]] = {
    "embeddings": (torch.eye(2), [0, 1]),
    "classes": (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)),
    "probabilities": (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)),
    "scores": (torch.zeros(0), torch.zeros(0, dtype=torch.long)),
    "values": (torch.zeros(0), torch.zeros(0)),
    "labels": (torch.zeros(0, 2), torch.zeros(0, 2)),
    "pixels": (torch.zeros(0, 1, 1, dtype=torch.long), torch.zeros(0, 1, 1, dtype=torch.long)),
    "texts": ([], []),
    "boxes": (torch.zeros(0, 4), torch.zeros(0, 4)),
}
"""The least outputs and targets of every kind, on which settings are tried."""

_WITH_A_THRESHOLD: Mapping[Reading, tuple[Any, Any]] = {
    "classes": _NOTHING["scores"],
    "labels": _NOTHING["labels"],
    "pixels": (torch.zeros(0, 1, 1), torch.zeros(0, 1, 1, dtype=torch.long)),
}
"""The same where a threshold decides."""


_OF_CLASSIFIERS = (
    "classification",
    "classes",
    "label_shares",
    "multilabel",
    "one_vs_rest",
    "probabilities",
    "score_thresholds",
    "segmentation",
)
"""Families of metrics that `classification_metric` makes records of."""


def retrieval_metric(
    function: Callable[..., Tensor],
    *,
    name: str | None = None,
    ties: Ties = "pessimistic",
    normalize: bool = True,
    tile: int = TILE,
    **settings: Any,
) -> Metric:
    """Make the record of a retrieval metric over embeddings (exact; the unit is the query).

    Args:
        function: one of the functions of `metrics.retrieval`, e.g. `hit_at_k`.
        name: what tables call it; by default the field's short form, e.g. `hit@1`.
        ties: order of equal similarities; `average` for the mean over all orders.
        normalize: rank by cosine; False by dot product.
        tile: similarities held at a time.
        **settings: settings of the function (`k`, `normalizer`).

    Returns:
        A record whose `measure(embeddings, labels, *, reference_outputs=None, reference_targets=None)` gives
        [query, 1], NaN for a query without a relevant item, and whose `summarise` is the mean of the others.
        Every embedding is ranked against the references, or against all the others.

    Raises:
        InputError: not a retrieval function, a setting that it does not have or that does not fit.

    Edge cases:
        ties: by the rule, copies tie exactly. No query with a relevant item: the summary is NaN.

    Gradient: none.

    Cost: as `retrieval_ranks`, in the memory of a few tiles.

    Example:
        >>> from metricgrad.metrics import retrieval
        >>> metric = retrieval_metric(retrieval.hit_at_k, k=1)
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
        >>> metric.name, metric.summarise(metric.measure(points, ["a", "a", "b", "b"]))
        ('hit@1', 0.75)
    """
    facts = facts_of("retrieval_metric", function, "retrieval")
    return _record(facts, name, {**settings, "ties": ties, "normalize": normalize, "tile": tile})


def knn_metric(function: Callable[..., Tensor], *, name: str | None = None, **settings: Any) -> Metric:
    """Make the record of kNN classification over embeddings (exact; the unit is the query).

    Args:
        function: `knn_accuracy` or `knn_error`.
        name: what tables call it; by default e.g. `knn_accuracy@5`.
        **settings: settings of the function (`k`, `weights`, `temperature`, `normalize`).

    Returns:
        A record whose `measure(embeddings, labels, *, reference_outputs=None, reference_targets=None)` gives
        [query, 1] and whose `summarise` is the mean. The references vote, or all the other embeddings.

    Raises:
        InputError: another function, a setting that it does not have or that does not fit.

    Edge cases:
        No item to vote: NaN, left out of the mean.

    Gradient: none.

    Cost: as `knn_classify`.

    Example:
        >>> from metricgrad.metrics import neighbours
        >>> metric = knn_metric(neighbours.knn_error, k=1)
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
        >>> metric.name, metric.summarise(metric.measure(points, ["a", "a", "b", "b"]))
        ('knn_error@1', 0.25)
    """
    return _record(facts_of("knn_metric", function, "neighbours"), name, settings)


def sample_metric(function: Callable[..., Tensor], *, name: str | None = None, **settings: Any) -> Metric:
    """Make the record of a metric of texts or boxes (exact; the unit is the sample).

    Args:
        function: one of the functions of `metrics.sequence` or `metrics.overlap`, e.g. `edit_distance`.
        name: what tables call it; by default the name of the function.
        **settings: settings of the function (`normalizer`, `threshold`).

    Returns:
        A record whose `measure(predictions, targets)` can be pickled and gives, for each sample, its value; for the two
        error rates (edits, length of the target). A metric of single samples is `per_sample`; so is
        `total_edit_distance`, whose summary is a sum: the sum over n samples is n times a mean.
        Where the outputs of a network are no predictions, `of_kind` puts their decoding before.

    Raises:
        InputError: not a function of those modules, a setting that it does not have or that does not fit.

    Edge cases: as the function; an undefined summary is NaN, and the bootstrap leaves such resamples out.

    Gradient: none.

    Cost: as the function; a summary reads a column or two.

    Example:
        >>> from metricgrad.metrics import sequence
        >>> metric = sample_metric(sequence.character_error_rate)
        >>> rows = metric.measure(["kitten", "flaw"], ["sitting", "law"])
        >>> rows.tolist(), metric.summarise(rows)
        ([[3.0, 7.0], [1.0, 3.0]], 0.4)
    """
    return _record(facts_of("sample_metric", function, "sequence", "overlap"), name, settings)


def classification_metric(
    function: Callable[..., Tensor], *, name: str | None = None, **settings: Any
) -> Metric:
    """Make the record of a metric of a classifier (exact; the unit is the sample, of pixels the image).

    Args:
        function: a metric of decided classes, scores, probabilities, several labels or pixels, e.g. `f_beta`.
        name: what tables call it; by default the name of the function.
        **settings: settings of the function (`beta`, `average`, `positive_class`).

    Returns:
        A record. `accuracy` and `error_rate` keep one value per sample and are `per_sample`; the others keep
        (prediction or score, target) of each sample and compute in `summarise`.

    Raises:
        InputError: another function, a setting that it does not have or that does not fit.

    Edge cases: as the function; an undefined summary is NaN, and the bootstrap leaves such resamples out.

    Gradient: none.

    Cost: as the function, also for every summary.

    Example:
        >>> from metricgrad.metrics import classification
        >>> metric = classification_metric(classification.f_beta, average="macro")
        >>> rows = metric.measure(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1]))
        >>> tuple(rows.shape), metric.summarise(rows)
        ((4, 2), 0.5)
    """
    return _record(facts_of("classification_metric", function, *_OF_CLASSIFIERS), name, settings)


def metric_record(function: Callable[..., Tensor], *, name: str | None = None, **settings: Any) -> Metric:
    """Make the record of any metric function of ours."""
    return _record(facts_of("metric_record", function, *FAMILIES), name, settings)


def of_classes(metric: Metric) -> Metric | None:
    """What a metric is of decided classes; None where it is no metric of these.

    One that compares one score of class 1 with 0, a logit, or with 0.5, a probability, is itself without that cut: a
    rule finds a better one. With any other cut nobody knows what the score is.
    """
    if metric.reads == "classes":
        return metric
    if metric.function is None or metric.settings.get("threshold") not in (0, 0.5):
        return None
    settings = {
        key: value for key, value in metric.settings.items() if key != "threshold" and value is not None
    }
    plain = metric_record(metric.function, name=metric.name, **settings)
    return plain if plain.reads == "classes" else None


def of_labels(metric: Metric) -> Metric | None:
    """What a metric is of labels that are decided; None where it reads no labels. A cut of 0 or 0.5 is left out too."""
    if metric.reads != "labels" or metric.settings.get("threshold") not in (None, 0, 0.5):
        return None
    if metric.function is None or metric.settings.get("threshold") is None:
        return metric
    settings = {key: value for key, value in metric.settings.items() if key != "threshold"}
    return metric_record(metric.function, name=metric.name, **settings)


def of_pixels(metric: Metric) -> Metric | None:
    """What a metric is of the decided classes of pixels; None where it reads none, or is no formula of their table."""
    if metric.reads != "pixels" or metric.settings.get("threshold") not in (None, 0, 0.5):
        return None
    plain = metric
    if metric.function is not None and metric.settings.get("threshold") is not None:
        settings = {key: value for key, value in metric.settings.items() if key != "threshold"}
        plain = metric_record(metric.function, name=metric.name, **settings)
    return None if plain.of_table is None else plain


def _record(facts: Facts, name: str | None, given: Mapping[str, Any]) -> Metric:
    """The record of a metric with settings, which are tried before anything is measured."""
    settings = facts.complete(given)
    given = {setting: settings.get(setting, value) for setting, value in given.items()}  # in its plain form
    label = name or facts.label(given)
    rows = partial(facts.rows, **_own(facts.rows, given))
    summarise = mean_of_units
    if facts.of_rows is not None:
        summarise = OfRows(partial(facts.of_rows, **_own(facts.of_rows, given)))
    of_threshold = facts.reads in _WITH_A_THRESHOLD and settings.get("threshold") is not None
    tried = rows(*(facts.nothing or (_WITH_A_THRESHOLD if of_threshold else _NOTHING)[facts.reads]))
    if isinstance(summarise, OfRows):
        summarise(_table(tried))
    return Metric(
        name=label,
        measure=partial(_statistics, label, rows),
        summarise=summarise,
        higher_is_better=facts.higher_is_better,
        bounds=facts.bounds(settings) if callable(facts.bounds) else facts.bounds,
        per_sample=facts.per_sample,
        unit=facts.unit,
        description=facts.description(given),
        reads="scores" if of_threshold and facts.reads == "classes" else facts.reads,
        function=facts.function,
        settings=settings,
        of_table=None if of_threshold else _of_table(facts, given),
        of_label_tables=None if of_threshold else facts.of_label_tables(settings),
    )


def _of_table(facts: Facts, given: Mapping[str, Any]) -> Callable[[Tensor], Tensor] | None:
    """The metric as a function of tables, where it is one."""
    if facts.of_confusion is None:
        return None
    return partial(_value_of_table, partial(facts.of_confusion, **_own(facts.of_confusion, given)))


def _value_of_table(
    formula: Callable[[Confusion], Tensor], table: Shaped[Tensor, "*batch true predicted"]
) -> Float[Tensor, "*batch"]:
    return formula(Confusion.of_table(table))


def _statistics(
    caller: str,
    rows: Callable[..., Tensor],
    outputs: Any,
    targets: Any,
    **references: Any,
) -> Float[Tensor, "unit stat"]:
    """Rows of a metric, on the CPU.

    Warns of queries that stand in another tensor of references; the very rows are left out by the functions.
    """
    items, labels = references.get("reference_outputs"), references.get("reference_targets")
    if isinstance(items, Tensor) and isinstance(outputs, Tensor) and labels is not None:
        if not same_rows(items, outputs):
            warn_of_queries_among(caller, outputs, targets, items, labels)
    return _table(rows(outputs, targets, **references))


def _table(rows: Tensor) -> Float[Tensor, "unit stat"]:
    return (rows if rows.ndim == 2 else rows[:, None]).cpu()


def _own(function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a function takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(settings)
    return {key: value for key, value in settings.items() if key in settings_of(function)}

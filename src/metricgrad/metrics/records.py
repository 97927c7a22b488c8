"""Metrics as `Metric` records: facts, statistics per unit and a summary that can be resampled.

`tune` measures a split with them, and the bootstrap draws their units. A metric that is a mean over units keeps one
column and `mean_of_units` as its summary; one that needs all samples at once (AUC, macro F) keeps what it needs of
each sample and is computed in the summary.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import describe, fail, nearest
from metricgrad._labels import Labels
from metricgrad._types import Metric
from metricgrad.interval import mean_of_units
from metricgrad.metrics import (
    class_rows,
    class_summaries,
    classification,
    neighbours,
    of_ranks,
    overlap,
    retrieval,
    sequence,
)
from metricgrad.metrics.embedded import rank_tiles
from metricgrad.metrics.of_rows import OfCounts, OfRows
from metricgrad.metrics.own_references import same_rows, warn_of_queries_among
from metricgrad.metrics.ranks import TILE, ExactRanks, Ties, require_ties

__all__ = ["classification_metric", "knn_metric", "metric_record", "retrieval_metric", "sample_metric"]

_LOWER_IS_BETTER = {"error_rate", "balanced_error", "knn_error"}
_OF_NEIGHBOURS = ("knn_accuracy", "knn_error")
_OF_SCORES = ("binary_average_precision", "roc_auc")
_OF_ROWS: Mapping[str, tuple[Callable[..., Tensor], Callable[..., OfCounts]]] = {
    "balanced_error": (class_rows.prediction_rows, class_summaries.balanced_error_of_rows),
    "f_beta": (class_rows.f_beta_rows, class_summaries.f_beta_of_rows),
    "binary_average_precision": (class_rows.score_rows, class_summaries.average_precision_of_rows),
    "roc_auc": (class_rows.score_rows, class_summaries.roc_auc_of_rows),
}


class _SampleFacts(NamedTuple):
    """How a metric of texts or boxes is kept and summarised.

    Attributes:
        rows: (predictions, targets, **settings) -> [sample] or [sample, stat].
        of_rows: rows -> how often each comes -> value; None for a mean over samples.
        highest: upper bound; the lower one is 0.
        higher_is_better: the direction.
        per_sample: whether it is made of one value for each sample.
    """

    rows: Callable[..., Tensor]
    of_rows: Callable[[Tensor], OfCounts] | None = None
    highest: float = 1.0
    higher_is_better: bool = True
    per_sample: bool = True


_OF_SAMPLES: Mapping[str, _SampleFacts] = {
    "edit_distance": _SampleFacts(sequence.edit_distance, None, math.inf, False),
    "total_edit_distance": _SampleFacts(sequence.edit_distance, sequence.total_of_rows, math.inf, False),
    "character_error_rate": _SampleFacts(
        sequence.character_rows, sequence.rate_of_rows, math.inf, False, False
    ),
    "word_error_rate": _SampleFacts(sequence.word_rows, sequence.rate_of_rows, math.inf, False, False),
    "sequence_accuracy": _SampleFacts(sequence.exact_rows),
    "iou": _SampleFacts(overlap.iou),
    "rotated_iou": _SampleFacts(overlap.rotated_iou),
    "iou_above": _SampleFacts(overlap.reached_rows),
    "rotated_iou_above": _SampleFacts(overlap.rotated_reached_rows),
}


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
        >>> metric = retrieval_metric(retrieval.hit_at_k, k=1)
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
        >>> metric.name, metric.summarise(metric.measure(points, ["a", "a", "b", "b"]))
        ('hit@1', 0.75)
    """
    caller = getattr(function, "__name__", describe(function))
    if caller not in retrieval.__all__ or getattr(retrieval, caller) is not function:
        raise fail("retrieval_metric", f"the function is {caller}", f"one of {', '.join(retrieval.__all__)}")
    require_ties(caller, ties)
    if not isinstance(normalize, bool):
        raise fail(caller, f"normalize is {normalize!r}", "true or false")
    of_these = getattr(of_ranks, caller)
    _check_settings(caller, of_these, settings)
    nothing = torch.zeros(0, 0, dtype=torch.float64)
    of_these(
        ExactRanks(nothing, nothing, nothing, nothing > 0, torch.zeros(0).long()), **settings
    )  # checks them

    def measure(
        outputs: Float[Tensor, "query dim"],
        targets: Labels,
        *,
        reference_outputs: Float[Tensor, "item dim"] | None = None,
        reference_targets: Labels | None = None,
    ) -> Float[Tensor, "query 1"]:
        _warn_of_copies(name or caller, outputs, targets, reference_outputs, reference_targets)
        tiles = rank_tiles(
            outputs, targets, reference_embeddings=reference_outputs, reference_labels=reference_targets,
            ties=ties, normalize=normalize, tile=tile, caller=caller,
        )  # fmt: skip
        return torch.cat([of_these(ranks, **settings) for ranks in tiles]).cpu()[:, None]

    return Metric(
        name=name or _short_name(caller, settings),
        measure=measure,
        summarise=mean_of_units,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        unit="query",
        description=(
            f"{_reading(caller, settings)}; mean over the queries that have a relevant item, "
            f"{'cosine similarity' if normalize else 'dot product'}, ties {ties}"
        ),
        reads="embeddings",
        function=function,
        settings={**_all_settings(of_these, settings), "ties": ties, "normalize": normalize},
    )


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
        >>> metric = knn_metric(neighbours.knn_error, k=1)
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
        >>> metric.name, metric.summarise(metric.measure(points, ["a", "a", "b", "b"]))
        ('knn_error@1', 0.25)
    """
    caller = getattr(function, "__name__", describe(function))
    if caller not in _OF_NEIGHBOURS or getattr(neighbours, caller) is not function:
        raise fail("knn_metric", f"the function is {caller}", f"one of {', '.join(_OF_NEIGHBOURS)}")
    _check_settings(caller, function, settings)
    settings = {"k": 5, **settings}
    if not isinstance(settings.get("normalize", True), bool):
        raise fail(caller, f"normalize is {settings['normalize']!r}", "true or false")
    function(torch.eye(2), [0, 1], **settings)  # checks the others

    def measure(
        outputs: Float[Tensor, "query dim"],
        targets: Labels,
        *,
        reference_outputs: Float[Tensor, "item dim"] | None = None,
        reference_targets: Labels | None = None,
    ) -> Float[Tensor, "query 1"]:
        _warn_of_copies(name or caller, outputs, targets, reference_outputs, reference_targets)
        references = {"reference_embeddings": reference_outputs, "reference_labels": reference_targets}
        return function(outputs, targets, **references, **settings).cpu()[:, None]

    k, weights = settings["k"], settings.get("weights", "uniform")
    right = "right" if caller == "knn_accuracy" else "wrong"
    return Metric(
        name=name or _short_name(caller, settings),
        measure=measure,
        summarise=mean_of_units,
        higher_is_better=caller not in _LOWER_IS_BETTER,
        bounds=(0.0, 1.0),
        unit="query",
        description=(
            f"share of the queries for which the vote ({weights}) of the {k} nearest items is {right}, "
            f"{'cosine similarity' if settings.get('normalize', True) else 'dot product'}, equals by index"
        ),
        reads="embeddings",
        function=function,
        settings=_all_settings(function, settings),
    )


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
        >>> metric = sample_metric(sequence.character_error_rate)
        >>> rows = metric.measure(["kitten", "flaw"], ["sitting", "law"])
        >>> rows.tolist(), metric.summarise(rows)
        ([[3.0, 7.0], [1.0, 3.0]], 0.4)
    """
    caller = getattr(function, "__name__", describe(function))
    of_texts = getattr(sequence, caller, None) is function
    if caller not in _OF_SAMPLES or not (of_texts or getattr(overlap, caller, None) is function):
        raise fail("sample_metric", f"the function is {caller}", f"one of {', '.join(_OF_SAMPLES)}")
    _check_settings(caller, function, settings)
    nothing = [] if of_texts else torch.zeros(0, 5 if caller.startswith("rotated") else 4)
    function(nothing, nothing, **settings)  # checks the values of the settings
    facts = _OF_SAMPLES[caller]
    highest = 1.0 if caller == "edit_distance" and settings.get("normalizer") else facts.highest
    return Metric(
        name=name or _short_name(caller, settings),
        measure=partial(_sample_rows, facts.rows, settings),
        summarise=mean_of_units if facts.of_rows is None else OfRows(facts.of_rows),
        higher_is_better=facts.higher_is_better,
        bounds=(0.0, highest),
        per_sample=facts.per_sample,
        unit="sample",
        description=_reading(caller, settings),
        reads="texts" if of_texts else "boxes",
        function=function,
        settings=_all_settings(function, settings),
    )


def metric_record(function: Callable[..., Tensor], **settings: Any) -> Metric:
    """Make the record of any metric function of ours, by the maker of its family."""
    name = getattr(function, "__name__", "")
    if name in _OF_NEIGHBOURS:
        return knn_metric(function, **settings)
    if name in _OF_SAMPLES:
        return sample_metric(function, **settings)
    return (retrieval_metric if name in retrieval.__all__ else classification_metric)(function, **settings)


def classification_metric(
    function: Callable[..., Tensor], *, name: str | None = None, **settings: Any
) -> Metric:
    """Make the record of a metric of a classifier (exact; the unit is the sample).

    Args:
        function: one of the functions of `metrics.classification`, e.g. `f_beta`.
        name: what tables call it; by default the name of the function.
        **settings: settings of the function (`beta`, `average`, `positive_class`).

    Returns:
        A record. `accuracy` and `error_rate` keep one value per sample and are `per_sample`; the others keep
        (prediction or score, target) of each sample and compute in `summarise`.

    Raises:
        InputError: not a function of that module, a setting that it does not have or that does not fit.

    Edge cases: as the function; an undefined summary is NaN, and the bootstrap leaves such resamples out.

    Gradient: none.

    Cost: as the function, also for every summary.

    Example:
        >>> metric = classification_metric(classification.f_beta, average="macro")
        >>> rows = metric.measure(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1]))
        >>> tuple(rows.shape), metric.summarise(rows)
        ((4, 2), 0.5)
    """
    caller = getattr(function, "__name__", describe(function))
    known = classification.__all__
    if caller not in known or getattr(classification, caller) is not function:
        raise fail("classification_metric", f"the function is {caller}", f"one of {', '.join(known)}")
    _check_settings(caller, function, settings)
    per_sample = caller in ("accuracy", "error_rate")
    if per_sample:
        measure, summarise = partial(_right_or_wrong, caller, **settings), mean_of_units
    else:
        rows, of_rows = _OF_ROWS[caller]
        of_measure, of_summary = (_own(one, settings) for one in (rows, of_rows))
        of_rows(torch.zeros(1, 2, dtype=torch.float64), **of_summary)
        measure, summarise = (
            partial(rows, caller, **of_measure),
            OfRows(partial(of_rows, **of_summary)),
        )
    if caller not in _OF_SCORES:
        nothing = torch.zeros(0, 2) if settings.get("threshold") is None else torch.zeros(0)
        measure(nothing, torch.zeros(0).long())  # checks the settings, as the line above does
    return Metric(
        name=name or _short_name(caller, settings),
        measure=measure,
        summarise=summarise,
        higher_is_better=caller not in _LOWER_IS_BETTER,
        bounds=(0.0, 1.0),
        per_sample=per_sample,
        unit="sample",
        description=_reading(caller, settings),
        reads="scores" if caller in _OF_SCORES or settings.get("threshold") is not None else "classes",
        function=function,
        settings=_all_settings(function, settings),
    )


def _warn_of_copies(
    caller: str, outputs: Tensor, targets: Labels, references: Tensor | None, reference_targets: Labels | None
) -> None:
    """Warn of queries that stand in another tensor of references; the very rows are left out by the functions."""
    if (
        isinstance(references, Tensor)
        and reference_targets is not None
        and not same_rows(references, outputs)
    ):
        warn_of_queries_among(caller, outputs, targets, references, reference_targets)


def _sample_rows(
    rows: Callable[..., Tensor], settings: Mapping[str, Any], predictions: Any, targets: Any
) -> Float[Tensor, "sample stat"]:
    """Statistics of a metric of texts or boxes, on the CPU."""
    found = rows(predictions, targets, **settings).cpu()
    return found if found.ndim == 2 else found[:, None]


def _right_or_wrong(
    caller: str, outputs: Tensor, targets: Tensor, *, threshold: float | None = None
) -> Float[Tensor, "sample 1"]:
    """1 for every sample that counts (right for accuracy, wrong for the error rate), else 0."""
    guess, target = class_rows.prediction_rows(caller, outputs, targets, threshold=threshold).unbind(1)
    return ((guess == target) == (caller == "accuracy")).double()[:, None]


def _own(function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a function takes."""
    known = inspect.signature(function).parameters
    return {key: value for key, value in settings.items() if key in known}


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The settings of a metric function, as parameters by name."""
    return {
        parameter.name: parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and not parameter.name.startswith("reference_")
    }


def _all_settings(function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by name, those that were not given at their defaults."""
    return {**{name: one.default for name, one in _parameters(function).items()}, **settings}


def _check_settings(caller: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Raise InputError for a setting that the function does not have and for one that it lacks."""
    known = _parameters(function)
    for setting in settings:
        if setting not in known:
            raise fail(
                caller,
                f"there is no setting {setting!r}",
                f"one of its settings ({', '.join(known) or 'it has none'})",
                nearest(setting, known) if known else "",
            )
    missing = [
        name
        for name, parameter in known.items()
        if parameter.default is parameter.empty and name not in settings
    ]
    if missing:
        raise fail(caller, f"{missing[0]} is missing", f"a value for {missing[0]}")


def _short_name(caller: str, settings: Mapping[str, Any]) -> str:
    """What tables call a metric: `hit@1`, `recall_at_10`, `f_beta`; settings other than k in brackets."""
    k = settings.get("k")
    name = caller
    if k is not None:
        name = f"recall_at_{k}" if caller == "recall_at_k" else f"{caller.removesuffix('_at_k')}@{k}"
    others = ", ".join(f"{key}={value}" for key, value in settings.items() if key != "k")
    return f"{name} ({others})" if others else name


def _reading(caller: str, settings: Mapping[str, Any]) -> str:
    """Which reading of an ambiguous name this is, in one sentence."""
    k = settings.get("k")
    if caller == "hit_at_k":
        place = "at rank 1" if k == 1 else f"within the first {k}"
        return f"any relevant item {place} (metric learning's recall@{k})"
    if caller == "recall_at_k":
        return f"share of the relevant items within the first {k} (metric learning's recall@{k} is hit@{k})"
    modules = (retrieval, classification, sequence, overlap)
    function = next(getattr(module, caller) for module in modules if caller in module.__all__)
    sentence = (inspect.getdoc(function) or "").partition("\n")[0].removesuffix(".")
    values = ", ".join(f"{key}={value}" for key, value in settings.items())
    return f"{sentence} [{values}]" if values else sentence

"""What the units of an evaluator of sentence-transformers are, and how it is called with some of them."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from metricgrad._checks import extra

_package = extra(
    "sentence_transformers.sentence_transformer.evaluation",
    "sentence-transformers",
    "An evaluator of sentences",
)

__all__ = ["Parts", "is_mean", "number_of_units", "only", "parts_of", "values_of_units"]


class Parts(NamedTuple):
    """Where an evaluator holds its units.

    Attributes:
        texts: attributes with one text per unit, and the task that each is embedded with.
        facts: attributes with one score or label per unit.
    """

    texts: Mapping[str, str | None]
    facts: Sequence[str] = ()


_PAIRS = {"sentences1": None, "sentences2": None}
_PARTS: Mapping[type, Parts] = {
    _package.BinaryClassificationEvaluator: Parts(_PAIRS, ["labels"]),
    _package.EmbeddingSimilarityEvaluator: Parts(_PAIRS, ["scores"]),
    _package.TripletEvaluator: Parts({"anchors": "query", "positives": "document", "negatives": "document"}),
}
"""Pairs and triplets: the value of some of them follows from their embeddings alone."""


def parts_of(evaluator: Any) -> Parts | None:
    """Return where an evaluator holds pairs or triplets; None for any other, and for a class of the user."""
    return _PARTS.get(type(evaluator))


def is_mean(evaluator: Any) -> bool:
    """Whether all values of an evaluator are means over its queries, each ranked by itself."""
    return type(evaluator) in _VALUES


def number_of_units(evaluator: Any) -> int:
    """Return how many pairs, triplets, queries or samples an evaluator has that is known."""
    parts = parts_of(evaluator)
    if parts is not None:
        return len(getattr(evaluator, next(iter(parts.texts))))
    return len(evaluator.queries if hasattr(evaluator, "queries") else evaluator.samples)


def only(evaluator: Any, parts: Parts, units: Sequence[int]) -> Any:
    """Return a copy of an evaluator of pairs or triplets with some of its units, which may come several times."""
    some = copy.copy(evaluator)
    for name in (*parts.texts, *parts.facts):
        held = getattr(evaluator, name)
        setattr(some, name, [held[unit] for unit in units])
    return some


def values_of_units(evaluator: Any, model: Any, value: Callable[[Any, Any], float]) -> list[float]:
    """Return the value of every query of an evaluator whose values are means over queries.

    Args:
        evaluator: one for which `is_mean` holds.
        model: it is called with.
        value: `(evaluator, model) -> number`.
    """
    return _VALUES[type(evaluator)](evaluator, model, value)


def _of_queries(evaluator: Any, model: Any, value: Callable[[Any, Any], float]) -> list[float]:
    """Rank once, as the evaluator does; then let it compute the values of each query's ranking."""
    rankings = []  # for each similarity, a list per query
    whole = copy.copy(evaluator)

    def noted(found: list[Any]) -> Any:
        rankings.append(found)
        return evaluator.compute_metrics(found)

    whole.compute_metrics = noted
    value(whole, model)
    names, values = list(whole.score_functions), []
    for place in range(len(evaluator.queries)):
        single = copy.copy(evaluator)
        single.queries_ids = evaluator.queries_ids[place : place + 1]
        single.queries = evaluator.queries[place : place + 1]
        found = {
            name: single.compute_metrics([ranking[place]])
            for name, ranking in zip(names, rankings, strict=True)
        }
        single.compute_all_metrics = lambda *_, found=found, **__: found
        values.append(value(single, model))
    return values


def _of_samples(evaluator: Any, model: Any, value: Callable[[Any, Any], float]) -> list[float]:
    """Call the evaluator with each of its samples: a query with texts of its own to rank."""
    values = []
    for sample in evaluator.samples:
        single = copy.copy(evaluator)
        single.samples = [sample]
        values.append(value(single, model))
    return values


_VALUES: Mapping[type, Callable[[Any, Any, Callable[[Any, Any], float]], list[float]]] = {
    _package.InformationRetrievalEvaluator: _of_queries,
    _package.RerankingEvaluator: _of_samples,
}

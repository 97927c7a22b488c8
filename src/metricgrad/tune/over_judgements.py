"""A retrieval metric that is named for pairs is one over their judgements: numbers of queries are no labels."""

from typing import Any

from metricgrad._types import Metric
from metricgrad.metrics.judgements import judged, qrels_of
from metricgrad.tune.pair_split import PairSplit

__all__ = ["over_judgements"]


def over_judgements(metric: Metric, given: Any, fit: Any) -> Metric:
    """Return the metric of a run, bound to the judgements of fit where that has some.

    Args:
        metric: as `adapt` gives it.
        given: what it was made of; a name has the meaning of information retrieval, see `metrics.judged`.
        fit: the fit split of the run.
    """
    of_labels = metric.reads == "embeddings" and metric.function is not None and qrels_of(metric) is None
    if not isinstance(fit, PairSplit) or not of_labels:
        return metric
    return judged(given if isinstance(given, str) else metric, fit.qrels)

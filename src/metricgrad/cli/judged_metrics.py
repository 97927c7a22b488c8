"""Metrics over judgements: their records by name, in which order they read documents, and their values from ranks."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from metricgrad._qrels import Qrels
from metricgrad._types import Metric
from metricgrad.cli.judged_ranks import RankedQueries
from metricgrad.errors import InputError
from metricgrad.metrics import adapt, judged, of_ranks
from metricgrad.metrics.facts import settings_of
from metricgrad.metrics.ranks import Ties

__all__ = ["metrics_of", "of_order", "one_order", "values"]


def metrics_of(names: Sequence[str], qrels: Qrels) -> list[Metric]:
    """The records of metrics by name; InputError for no metric of ranked documents, and for one that comes twice."""
    for name in names:
        function = adapt(name, higher_is_better=True).function
        if function is None or function.__name__ not in of_ranks.__all__:
            raise InputError(
                f"evaluate: {name} is no metric of ranked documents; expected one such as ndcg@10, recall@100, mrr@10 "
                "or map@100 with --qrels."
            )
        if names.count(name) > 1:
            raise InputError(f"evaluate: --metric {name} came twice; expected each metric once.")
    return [judged(name, qrels) for name in names]


def one_order(metrics: Sequence[Metric]) -> tuple[Ties, bool]:
    """The rule for ties, and whether similarity is the cosine; InputError unless all metrics have the same."""
    orders = {(metric.settings["ties"], metric.settings["normalize"]) for metric in metrics}
    if len(orders) > 1:
        raise InputError(
            "evaluate: the metrics rank in different ways (ties, normalize); expected one way for all that are "
            "measured together. Measure them one after the other."
        )
    return orders.pop()


def of_order(metric: Metric) -> Metric:
    """The metric as it reads a run."""
    if metric.settings["ties"] != "pessimistic":
        raise InputError(
            f"evaluate: {metric.name} came with --run-file; expected no rule for ties: equal scores of a run go by "
            "document id, last first, as in trec_eval."
        )
    reading = metric.description.partition(";")[0]
    how = "order of the run, equal scores by document id, last first (trec_eval)"
    return replace(
        metric, description=f"{reading}; mean over the queries that have a relevant document, {how}"
    )


def values(metric: Metric, found: Sequence[RankedQueries], queries: int) -> Tensor:
    """The metric of each query [query, 1]; NaN where nothing is relevant."""
    assert metric.function is not None
    formula = getattr(of_ranks, metric.function.__name__)
    own = {name: metric.settings[name] for name in settings_of(formula)}
    rows = torch.full((queries, 1), torch.nan, dtype=torch.float64)
    for some, ranks in found:
        rows[torch.from_numpy(some), 0] = formula(ranks, **own)
    return rows

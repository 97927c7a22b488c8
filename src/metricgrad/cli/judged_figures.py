"""`evaluate --queries --corpus --qrels`: documents are ranked once for all metrics, and the run may be kept."""

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from metricgrad._types import Metric
from metricgrad.cli.figure_document import Progress, told
from metricgrad.cli.judged_input import JudgedVectors, read_judged_vectors
from metricgrad.cli.judged_metrics import metrics_of, one_order, values
from metricgrad.cli.judged_ranks import order_of, ranks_of_vectors
from metricgrad.cli.measured import Measured
from metricgrad.cli.trec_files import require_ids_of_runs, write_run
from metricgrad.errors import InputError
from metricgrad.metrics.progress import watched

__all__ = ["measured_of_vectors"]


def measured_of_vectors(
    names: Sequence[str], given: Mapping[str, Any], progress: Progress, save_run: Path | None, depth: int
) -> Measured:
    """Rank the documents of a corpus for every judged query.

    Args:
        names: of metrics.
        given: the options by name: queries, corpus, qrels, query_ids, corpus_ids, query_texts, corpus_texts,
            vector_column.
        progress: is told.
        save_run: where the run goes.
        depth: documents per query in the run.
    """
    files = read_judged_vectors("evaluate", given)
    queries, corpus, qrels = files.queries, files.corpus, files.qrels
    metrics = metrics_of(names, qrels)
    ties, normalize = one_order(metrics)
    if save_run is not None:
        _require_a_run(metrics, files, depth)
    with watched(partial(told, progress, ", ".join(names), "query")):
        found = ranks_of_vectors(queries.array, corpus.array, qrels, ties=ties, normalize=normalize)
    asked = (qrels.offsets.diff() > 0).nonzero()[:, 0]
    rows = [(metric, values(metric, found, qrels.queries)[asked]) for metric in metrics]
    names_of_queries = queries.row_ids
    if save_run is not None:
        order = order_of(queries.array, corpus.array, qrels, found, depth, normalize=normalize)
        ranked = sorted(order)
        documents = map(order.__getitem__, ranked)
        write_run(save_run, [names_of_queries[row] for row in ranked], corpus.row_ids, documents)
    facts = {
        "items": len(corpus.array),
        "dim": corpus.array.shape[1],
        "unjudged": qrels.queries - len(asked),
        "read": files.words,
    }
    return Measured([names_of_queries[row] for row in asked.tolist()], rows, facts)


def _require_a_run(metrics: Sequence[Metric], files: JudgedVectors, depth: int) -> None:
    """Refuse what no run can show, and warn of metrics that look beyond it."""
    if (ties := metrics[0].settings["ties"]) != "pessimistic":
        raise InputError(
            f"evaluate: --save-run came with ties={ties}; expected pessimistic ties, which are an order."
        )
    for vectors in (files.queries, files.corpus):
        require_ids_of_runs(str(vectors.path), vectors.row_ids)
    items = files.qrels.items
    beyond = [metric.name for metric in metrics if (metric.settings.get("k") or items) > depth]
    if beyond and depth < items:
        warnings.warn(
            f"--save-run holds the first {depth:,} documents per query, and {', '.join(beyond)} may read more of them: "
            "of the run alone the figure may be lower. --depth sets how many.",
            stacklevel=2,
        )

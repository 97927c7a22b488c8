"""`evaluate --queries --corpus --qrels`: documents are ranked once for all metrics, and the run may be kept."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from metricgrad.cli.figure_document import Progress, told
from metricgrad.cli.judged_input import read_judged_vectors
from metricgrad.cli.judged_metrics import metrics_of, one_order, values
from metricgrad.cli.judged_ranks import ranks_of_vectors
from metricgrad.cli.measured import Measured
from metricgrad.cli.saved_run import require_a_run, write_run_of
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
        require_a_run(metrics, files, depth)
    with watched(partial(told, progress, ", ".join(names), "embedding")):
        found = ranks_of_vectors(queries.array, corpus.array, qrels, ties=ties, normalize=normalize)
    asked = (qrels.offsets.diff() > 0).nonzero()[:, 0]
    rows = [(metric, values(metric, found, qrels.queries)[asked]) for metric in metrics]
    if save_run is not None:
        write_run_of(save_run, files, depth, normalize=normalize)
    facts = {
        "items": len(corpus.array),
        "dim": corpus.array.shape[1],
        "unjudged": qrels.queries - len(asked),
        "read": files.words,
    }
    ids = queries.row_ids
    return Measured([ids[row] for row in asked.tolist()], rows, facts)

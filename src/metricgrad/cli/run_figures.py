"""`evaluate --run-file`: the figures of a run as it is ranked, without vectors."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from metricgrad.cli.judged_metrics import metrics_of, of_order, values
from metricgrad.cli.judged_ranks import ranks_of_run
from metricgrad.cli.judgements import Side, first_few, joined
from metricgrad.cli.measured import Measured
from metricgrad.cli.relevance_files import read_relevance
from metricgrad.cli.trec_files import read_run
from metricgrad.errors import InputError

__all__ = ["measured_of_run"]


def measured_of_run(names: Sequence[str], path: Path, qrels_path: Path) -> Measured:
    """Measure a run as it is ranked; a judged query that it does not have counts 0."""
    run, judgements = read_run(path), read_relevance(qrels_path)
    queries = list(dict.fromkeys(judgements.queries))
    documents = list(dict.fromkeys([*judgements.documents, *run.documents]))
    missing = set(queries) - set(run.queries)
    if len(missing) == len(queries):
        raise InputError(
            f"none of the {len(run.queries):,} queries of {path} ({first_few(run.queries)}) is judged in "
            f"{judgements.path} ({first_few(queries)}); expected the same ids."
        )
    sides = Side("query", str(path), queries), Side("document", str(path), documents)
    qrels = joined(judgements, *sides)
    metrics = [of_order(metric) for metric in metrics_of(names, qrels)]
    found = ranks_of_run(run, queries, documents, qrels)
    asked = qrels.relevant().offsets.diff() > 0
    lacking = [
        name for name, relevant in zip(queries, asked.tolist(), strict=True) if relevant and name in missing
    ]
    if lacking:
        warnings.warn(
            f"{path} has nothing for {len(lacking):,} queries that have a relevant document ({first_few(lacking)}); "
            "each counts 0.",
            stacklevel=2,
        )
    facts = {
        "run": {"entries": len(run.ranked), "queries": len(run.queries), "missing": len(lacking)},
        "unjudged": len(set(run.queries) - set(queries)),
        "read": {
            "run file": f"{path}: TREC run, {len(run.ranked):,} documents of {len(run.queries):,} queries",
            "judged": judgements.words,
        },
    }
    return Measured(queries, [(metric, values(metric, found, len(queries))) for metric in metrics], facts)

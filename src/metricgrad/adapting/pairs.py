"""Adapt vectors of queries and documents that have judgements."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad._qrels import Qrels
from metricgrad._types import Metric, Observer
from metricgrad.adapting.adapt import Adapted, Training, adapted
from metricgrad.adapting.given import Labels, require_fitting, vectors_of
from metricgrad.adapting.kept_files import files_of_pairs
from metricgrad.adapting.pair_job import Side, pair_job
from metricgrad.adapting.parts import PairSplitBy, pair_parts
from metricgrad.metrics import judged

__all__ = ["adapt_pairs"]


def adapt_pairs(
    queries: np.ndarray,
    documents: np.ndarray,
    qrels: Qrels,
    *,
    metric: str | Metric = "ndcg@10",
    split: PairSplitBy | None = None,
    side: Side = "both",
    groups: Labels | None = None,
    parts: Mapping[str, Any] | None = None,
    training: Training | None = None,
    seed: int = 0,
    query_ids: Sequence[str] | None = None,
    document_ids: Sequence[str] | None = None,
    folder: str | Path | None = None,
    notes: Sequence[str] = (),
    recipe: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
    force: bool = False,
) -> Adapted:
    """Adapt vectors of queries and documents to a metric over judgements, and show on test what it brings.

    As `adapt_embeddings`, with a map for each side, closed forms of pairs, InfoNCE as the usual loss, and an index of
    all documents for test.

    Args:
        queries: float16, float32 or float64 [query, dim].
        documents: likewise [document, dim], with another number of dimensions if need be.
        qrels: graded relevance of documents (rows) to queries (rows).
        metric: `ndcg@10`, `recall@10` (share of the relevant), `hit@10`, `mrr@10`, `map@100`, ...
        split: `query` (documents are known), `both` (new queries and documents) or `document` (the same where they
            hang together). None: `both` where few documents are shared, else `query`.
        side: `both`, or `query`: documents stay as they are, so that an index of them need not be built again.
        groups: one per query, in place of `split`.
        parts: numbers of queries by `fit`, `select` and `test`, in place of `split`.
        training: as `adapt_embeddings`, as are the others.
        seed: of parts and samples.
        query_ids: one per query, for the files of the run; None: the numbers of the rows, from 0.
        document_ids: one per document, likewise.
        folder: where the run lives.
        notes: further sentences on the data.
        recipe: kept in config.yaml.
        observer: receives every event.
        force: resume although something has changed.

    Raises:
        InputError: vectors and judgements that do not fit each other, queries that cannot be parted.
    """
    queries = vectors_of("adapt_pairs", "queries", queries)
    documents = vectors_of("adapt_pairs", "documents", documents)
    require_fitting(queries, documents, qrels, side)
    found = pair_parts(qrels, split, groups=groups, parts=parts, seed=seed)
    training = training or Training()
    exact = judged(metric, qrels)
    job = pair_job(queries, documents, qrels, found, exact, side=side, batch=training.batch, seed=seed)
    files = files_of_pairs(exact, job.splits.test, qrels, query_ids, document_ids)
    job = replace(job, files=files, notes=[*job.notes, *notes, *files.notes])
    return adapted(job, training, folder=folder, observer=observer, recipe=recipe, force=force)

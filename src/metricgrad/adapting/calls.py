"""The two calls: vectors with labels, and queries with documents and judgements."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad._checks import describe, fail
from metricgrad._labels import Labels
from metricgrad._qrels import Qrels
from metricgrad._types import Metric, Observer
from metricgrad.adapting.adapt import adapted
from metricgrad.adapting.adapted import Adapted
from metricgrad.adapting.contenders import Training
from metricgrad.adapting.embeddings import label_job
from metricgrad.adapting.pairs import Side, pair_job
from metricgrad.adapting.parts import LabelSplit, PairSplitBy
from metricgrad.metrics import adapt, judged
from metricgrad.metrics.among_others import among_others
from metricgrad.tune.launch import plain_lines

__all__ = ["adapt_embeddings", "adapt_pairs"]


def adapt_embeddings(
    vectors: np.ndarray,
    labels: Labels,
    *,
    metric: str | Metric = "recall@1",
    split: LabelSplit = "class",
    groups: Labels | None = None,
    parts: Mapping[str, Any] | None = None,
    training: Training | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    notes: Sequence[str] = (),
    recipe: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
    force: bool = False,
) -> Adapted:
    """Adapt vectors of items with labels to a retrieval metric by one map, and show on test what it brings.

    Closed forms (`projection.label_grid`) are fitted on fit and chosen on select; SupCon and surrogates of the metric
    train on from the best of them, in one contest (`tune.compare`); the best by select is returned, and test is read
    once. Select is judged against a sample of select and fit (16,000 items), test against all items.

    Args:
        vectors: float16, float32 or float64 [item, dim], a memory map for instance. Computed in float32, closed forms
            in float64.
        labels: one per item, whole numbers or texts; items of one label are relevant to each other.
        metric: a retrieval metric over labels, such as `recall@1` (any relevant), `map@r`, `ndcg@10`.
        split: which question is answered: `class` (new classes) or `query` (new items of known classes).
        groups: one per item: whole groups go to one of fit, select and test, in place of `split`.
        parts: numbers of items by `fit`, `select` and `test`, in place of `split`.
        training: how much is trained, and how; None: the defaults.
        seed: of parts and samples.
        folder: where the run lives; one that holds the same run unfinished is resumed. None: a temporary folder.
        notes: further sentences on the data, for record and report.
        recipe: kept in config.yaml, so that a command can rebuild the call.
        observer: receives every event; default: plain lines on standard error.
        force: resume although data, versions or thread count have changed; the run is marked.

    Returns:
        The map, what it brings over the vectors as they came, and the contest.

    Raises:
        InputError: vectors or labels that do not fit, too few classes to part.
        RunFolderError: the folder cannot be used.
        Interrupted: SIGINT or SIGTERM; the same call resumes.

    Edge cases:
        Fewer than 50 classes of fit (items, with split="query"), or a select on which a closed form is perfect: nothing
        is trained. Nothing better than the vectors as they came: these are returned.

    Cost: some seconds for closed forms, then as `tune.compare`; memory of the rows of select and test, whatever there
        are more.

    Reference:
        [fukunaga1990introduction]
    """
    array = _vectors("adapt_embeddings", "vectors", vectors)
    training = training or Training()
    job = label_job(
        array,
        labels,
        among_others(adapt(metric)),
        split=split,
        groups=groups,
        parts=parts,
        batch=training.batch,
        seed=seed,
    )
    job = replace(job, notes=[*job.notes, *notes])
    return adapted(job, training, folder=folder, observer=observer or plain_lines, recipe=recipe, force=force)


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
        folder: where the run lives.
        notes: further sentences on the data.
        recipe: kept in config.yaml.
        observer: receives every event.
        force: resume although something has changed.

    Raises:
        InputError: vectors and judgements that do not fit each other, queries that cannot be parted.
    """
    arrays = [
        _vectors("adapt_pairs", name, one) for name, one in (("queries", queries), ("documents", documents))
    ]
    if not isinstance(qrels, Qrels) or (len(arrays[0]), len(arrays[1])) != (qrels.queries, qrels.items):
        raise fail(
            "adapt_pairs",
            f"{len(arrays[0]):,} queries, {len(arrays[1]):,} documents and qrels {describe(qrels)}",
            "metricgrad.Qrels of as many queries and documents",
        )
    training = training or Training()
    job = pair_job(
        *arrays,
        qrels,
        judged(metric, qrels),
        split=split,
        side=side,
        groups=groups,
        parts=parts,
        batch=training.batch,
        seed=seed,
    )
    job = replace(job, notes=[*job.notes, *notes])
    return adapted(job, training, folder=folder, observer=observer or plain_lines, recipe=recipe, force=force)


def _vectors(caller: str, name: str, given: Any) -> np.ndarray:
    array = given if isinstance(given, np.ndarray) else np.asarray(given)
    if array.ndim != 2 or array.dtype.kind != "f" or 0 in array.shape:
        raise fail(
            caller, f"{name} is {describe(given)}", "an array of float16, float32 or float64 [row, dim]"
        )
    return array

"""Adapt vectors that have labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad._types import Metric, Observer
from metricgrad.adapting.adapt import Adapted, Training, adapted
from metricgrad.adapting.given import Labels, classes_of, vectors_of
from metricgrad.adapting.kept_files import files_of_labels
from metricgrad.adapting.label_job import label_job
from metricgrad.adapting.parts import LabelSplit, label_parts
from metricgrad.metrics import adapt
from metricgrad.metrics.among_others import among_others

__all__ = ["adapt_embeddings"]


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
    ids: Sequence[str] | None = None,
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
        ids: one per item, for the files of the run; None: the numbers of the rows, from 0.
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
    array = vectors_of("adapt_embeddings", "vectors", vectors)
    codes = classes_of(array, labels)
    found = label_parts(codes, split, groups=groups, parts=parts, seed=seed)
    training = training or Training()
    exact = among_others(adapt(metric))
    job = label_job(array, codes, found, exact, batch=training.batch, seed=seed)
    files = files_of_labels(exact, job.splits.test, codes, ids)
    job = replace(job, files=files, notes=[*job.notes, *notes, *files.notes])
    return adapted(job, training, folder=folder, observer=observer, recipe=recipe, force=force)

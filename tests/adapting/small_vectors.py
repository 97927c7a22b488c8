"""Vectors that a run of `adapt` takes seconds for: 120 classes that share a few directions of no meaning."""

from pathlib import Path
from typing import Any

import numpy as np

from metricgrad import Qrels
from metricgrad.adapting import Adapted, Training, adapt_embeddings, adapt_pairs

QUICK = Training(steps=4, grid=1, batch=64, evaluate_every=2)
NO_TRAINING = Training(methods=[])


def vectors(classes: int = 120, many: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [item, 24] in float32, and their classes."""
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), many)
    signal = draw.normal(size=(classes, 8))[labels] @ draw.normal(size=(8, 24))
    nuisance = draw.normal(size=(len(labels), 4)) @ draw.normal(size=(4, 24))
    noise = draw.normal(size=(len(labels), 24))
    return (signal + 3 * nuisance + 2.5 * noise).astype(np.float32), labels


def pairs(count: int = 150, noise: float = 0.9) -> tuple[np.ndarray, np.ndarray, Qrels]:
    """Queries and documents [row, 12], each query with one document of its own."""
    draw = np.random.default_rng(0)
    documents = draw.normal(size=(count, 12)).astype(np.float32)
    shared = 2 * draw.normal(size=(count, 3)) @ draw.normal(size=(3, 12))
    queries = (documents + shared + noise * draw.normal(size=(count, 12))).astype(np.float32)
    rows = np.arange(count)
    return queries, documents, Qrels.of_pairs(rows, rows, queries=count, items=count)


def of_labels(folder: Path, observer: Any = lambda event: None, **changes: Any) -> Adapted:
    """Adapt the vectors with labels."""
    x, y = vectors()
    given = {"vectors": x, "labels": y, "training": QUICK, "folder": folder, "observer": observer}
    return adapt_embeddings(**(given | changes))


def of_pairs(folder: Path, observer: Any = lambda event: None, **changes: Any) -> Adapted:
    """Adapt the queries and documents."""
    queries, documents, qrels = pairs()
    given = {"queries": queries, "documents": documents, "qrels": qrels}
    given |= {"training": QUICK, "folder": folder, "observer": observer}
    return adapt_pairs(**(given | changes))

"""Small sets of vectors, and every form that can be fitted to them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from metricgrad import projection
from metricgrad.projection import PairProjection, Projection

ROWS, DIMS, CLASSES = 60, 6, 7

OF_LABELS: dict[str, Callable[[], Any]] = {
    "identity": projection.Identity,
    "centre": projection.Centre,
    "whitening": lambda: projection.Whitening(0.1, -0.25),
    "plain whitening": lambda: projection.Whitening(0.0),
    "within-class whitening": lambda: projection.WithinClassWhitening(0.1),
    "lda": lambda: projection.LDA(0.1, 3),
    "plain lda": lambda: projection.LDA(0.0),
    "all but the top": lambda: projection.AllButTheTop(2),
    "pca": lambda: projection.PCA(3),
}

OF_PAIRS = {
    "within-pair whitening": lambda: projection.WithinPairWhitening(0.1),
    "procrustes": projection.Procrustes,
    "cca": lambda: projection.CCA(0.1, 0.5),
    "ridge": lambda: projection.Ridge(0.1),
}


def vectors(seed: int = 0, rows: int = ROWS, dims: int = DIMS) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in classes, away from the origin, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % CLASSES)
    centres = rng.normal(size=(CLASSES, dims))
    return centres[labels] + 0.6 * rng.normal(size=(rows, dims)) * (1 + np.arange(dims)) / dims + 1, labels


def pairs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Queries and their documents, turned against one another."""
    rng = np.random.default_rng(seed)
    documents = rng.normal(size=(ROWS, DIMS)) + 0.5
    turn = rng.normal(size=(DIMS, DIMS))
    return documents @ turn + 0.5 * rng.normal(size=(ROWS, DIMS)), documents


def cosines(form: Projection | PairProjection, queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Cosines [query, document] after a form."""
    if isinstance(form, PairProjection):
        return form.query.transform(queries) @ form.document.transform(documents).T
    return form.transform(queries) @ form.transform(documents).T

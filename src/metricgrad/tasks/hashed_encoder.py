"""Vectors of texts without a network: hashed words, weighted by their rarity, drawn together to some directions.

Seconds where the sentence encoder takes half an hour, and no package but scikit-learn: for tests and first trials.

Reference:
    [deerwester1990indexing]
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int

from metricgrad._checks import extra, fail

__all__ = ["hashed_vectors"]

_COLUMNS = 2**16  # of hashed words
_SAMPLE = 20_000  # texts that the directions are computed from: more take longer and bring nothing


def hashed_vectors(
    texts: Sequence[str], fit: Int[np.ndarray, "row"], *, dim: int, seed: int = 0
) -> Float32[np.ndarray, "text dim"]:
    """Count hashed words, weight them by tf-idf, and keep the leading directions of fit.

    Args:
        texts: all of them.
        fit: rows of the texts that weights and directions are computed from; the directions from 20,000 of them.
        dim: directions that are kept, fewer than texts of fit.
        seed: of the sample and of the randomised decomposition.

    Returns:
        float32 [text, dim], rows of length 1; a text without a known word is a row of zeros.

    Raises:
        InputError: fewer texts of fit than directions.
        MissingExtraError: scikit-learn is not installed.

    Cost:
        About 5 seconds for 120,000 short texts and 256 directions on one core.
    """
    if not 1 <= dim < len(fit):
        raise fail(
            "hashed_vectors", f"dim is {dim} with {len(fit)} texts of fit", "dim from 1 to below that number"
        )
    words = extra("sklearn.feature_extraction.text", "scikit", "the hashed encoder")
    decomposition = extra("sklearn.decomposition", "scikit", "the hashed encoder")
    counts = words.HashingVectorizer(n_features=_COLUMNS, alternate_sign=False, norm=None).transform(texts)
    weighted = words.TfidfTransformer(sublinear_tf=True).fit(counts[fit]).transform(counts)
    sample = np.random.default_rng(seed).permutation(fit)[:_SAMPLE]
    directions = decomposition.TruncatedSVD(dim, n_iter=2, random_state=seed).fit(weighted[sample])
    vectors = directions.transform(weighted).astype(np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)

"""What the calls are given: vectors, labels and judgements that fit each other."""

from typing import Any

import numpy as np

from metricgrad._checks import describe, fail
from metricgrad._labels import Labels, number_labels
from metricgrad._qrels import Qrels

__all__ = ["Labels", "classes_of", "require_fitting", "vectors_of"]


def vectors_of(caller: str, name: str, given: Any) -> np.ndarray:
    """Vectors as an array, a memory map as it is; InputError for anything else."""
    array = given if isinstance(given, np.ndarray) else np.asarray(given)
    if array.ndim != 2 or array.dtype.kind != "f" or 0 in array.shape:
        raise fail(
            caller, f"{name} is {describe(given)}", "an array of float16, float32 or float64 [row, dim]"
        )
    return array


def classes_of(vectors: np.ndarray, labels: Labels) -> np.ndarray:
    """The class of every vector as a number; InputError for labels that are none, or not one per vector."""
    codes = number_labels("adapt_embeddings", {"labels": labels}, device="cpu").codes[0].numpy()
    if len(codes) != len(vectors):
        raise fail("adapt_embeddings", f"{len(codes):,} labels for {describe(vectors)}", "one label per row")
    return codes


def require_fitting(queries: np.ndarray, documents: np.ndarray, qrels: Any, side: str) -> None:
    """Raise InputError where judgements are of other rows, or documents that stay have another space."""
    if not isinstance(qrels, Qrels):
        raise fail(
            "adapt_pairs", f"qrels are {describe(qrels)}", "metricgrad.Qrels", "Qrels.of_pairs makes them."
        )
    if (len(queries), len(documents)) != (qrels.queries, qrels.items):
        raise fail(
            "adapt_pairs",
            f"there are {len(queries):,} queries and {len(documents):,} documents, and qrels of {qrels.queries:,} and "
            f"{qrels.items:,}",
            "as many in both",
        )
    if side not in ("both", "query"):
        raise fail("adapt_pairs", f"side is {side!r}", "'both' or 'query'")
    if side == "query" and queries.shape[1] != documents.shape[1]:
        raise fail(
            "adapt_pairs",
            f"queries have {queries.shape[1]} dimensions and documents {documents.shape[1]}",
            "one number of dimensions where documents stay as they are (side query)",
        )

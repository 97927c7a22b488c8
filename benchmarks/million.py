"""`metricgrad evaluate` and `adapt` of many vectors as whole processes, beside a flat index of faiss and the product.

Each command has a process of its own, from its start to its end: files are read, checked and joined, intervals drawn,
the report written. What a process held is said twice (`followed.py`): memory of its own, and that with the pages of the
files that it maps. faiss and the bare float32 product rank for fewer queries, in processes of their own.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.followed import follow
from metricgrad.bench.counting import measured

__all__ = ["COMMANDS", "Figure", "figures"]

FEWER = 10
"""Queries of faiss and the product: one in so many."""

_JUDGED = ["--queries", "queries.npy", "--corpus", "documents.npy", "--qrels", "qrels.tsv"]
_LABELLED = ["--labels", "labels.npy"]
_TO_ALL = ["--embeddings", "queries.npy", "--labels", "query_labels.npy", "--reference", "documents.npy"]

COMMANDS = {
    "evaluate, judgements": ["evaluate", *_JUDGED, "--metric", "ndcg@10"],
    "evaluate, labels": ["evaluate", *_TO_ALL, "--reference-labels", "labels.npy", "--metric", "map@r"],
    "adapt, judgements": ["adapt", *_JUDGED, "--quick", "--run", "run-judgements"],
    "adapt, labels": ["adapt", "--embeddings", "documents.npy", *_LABELLED, "--quick", "--run", "run-labels"],
}
"""What is measured, by name; `adapt` with one setting an arm and 100 steps."""


@dataclass(frozen=True)
class Figure:
    """What one contestant took.

    Attributes:
        name: of the contestant.
        queries: that it ranked for; 0 for `adapt`, which draws its own.
        seconds: of the process; of faiss and the product, of their work alone.
        peak_bytes: the most memory, with pages of mapped files.
        own_bytes: the most memory of its own that was seen; None where it was not looked for.
    """

    name: str
    queries: int
    seconds: float
    peak_bytes: float
    own_bytes: float | None


def figures(folder: Path, queries: int, *, peer: bool = True) -> Iterator[Figure]:
    """Yield the figures of one contestant after the other.

    Args:
        folder: with the files of `million_data.make`.
        queries: how many the files hold.
        peer: whether faiss is installed.
    """
    fewer = max(1, queries // FEWER)
    for name in ("product", *(["faiss"] if peer else [])):
        found = measured(name, folder, fewer)
        yield Figure(name, fewer, found["seconds"], found["peak_mb"] * 1e6, None)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))}
    for name, words in COMMANDS.items():
        took = follow([sys.executable, "-m", "metricgrad", *words], folder=folder, environment=environment)
        asked = queries if words[0] == "evaluate" else 0
        yield Figure(name, asked, took.seconds, took.peak_bytes, took.own_bytes)

"""Exact ranks and nearest items of a memory map beside faiss and beside the product alone, each in its own process.

Documents are N(0, 1), in no unit; a query is a document plus noise times N(0, 1), and that document is relevant.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from metricgrad._qrels import Qrels
from metricgrad.metrics import judged_ranks, nearest_items, of_ranks

__all__ = ["CONTESTANTS", "make", "measured"]

NOISE, NEAREST, BLOCK = 5.0, 10, 16_384


def make(folder: Path, items: int, queries: int, dims: int) -> None:
    """Write `documents.npy` and `queries.npy`, block by block."""
    generator = np.random.default_rng(0)
    shape = (items, dims)
    documents = np.lib.format.open_memmap(folder / "documents.npy", mode="w+", dtype=np.float32, shape=shape)
    for first in range(0, items, BLOCK):
        block = documents[first : first + BLOCK]
        block[:] = generator.standard_normal(block.shape, np.float32)
    documents.flush()
    noise = generator.standard_normal((queries, dims), np.float32)
    np.save(folder / "queries.npy", documents[:queries] + NOISE * noise)


def measured(contestant: str, folder: Path, queries: int) -> dict[str, float]:
    """Run a contestant in a process of its own; return its seconds and the most megabytes that the process held."""
    program = f"import sys; sys.path[:] = {sys.path!r}; from metricgrad.bench.counting import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", program, contestant, str(folder), str(queries)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def run() -> None:
    """Run the contestant that the command line names and print what it took."""
    contestant, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    documents = np.load(folder / "documents.npy", mmap_mode="r")
    queries = np.load(folder / "queries.npy")[:count]
    CONTESTANTS[contestant](queries[:8], documents[:70_000])  # loops are compiled before time is taken
    began = time.perf_counter()
    value = CONTESTANTS[contestant](queries, documents)
    seconds = time.perf_counter() - began
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak_mb": kilobytes / 1e3, "value": value}))


def _ranks(queries: np.ndarray, documents: np.ndarray) -> float:
    """Mean reciprocal rank over all documents, by exact ranks."""
    numbers = torch.arange(len(queries))
    qrels = Qrels.of_pairs(numbers, numbers, queries=len(queries), items=len(documents))
    return float(of_ranks.reciprocal_rank(judged_ranks(queries, documents, qrels)).mean())


def _nearest(queries: np.ndarray, documents: np.ndarray) -> float:
    """Share of the queries whose document is among the 10 nearest, exactly."""
    found = nearest_items(queries, documents, NEAREST, engine="torch").item
    return float((found == torch.arange(len(queries))[:, None]).any(1).double().mean())


def _faiss(queries: np.ndarray, documents: np.ndarray) -> float:
    """The same by a flat index of faiss, in float32: cosines that differ by less than 1e-5 are in any order."""
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    for first in range(0, len(documents), BLOCK):
        index.add(_unit(documents[first : first + BLOCK]))
    _, found = index.search(_unit(queries), NEAREST)
    return float((found == np.arange(len(queries))[:, None]).any(1).mean())


def _product(queries: np.ndarray, documents: np.ndarray) -> float:
    """A bound: the float32 product of all with all, block by block, and nothing done with it."""
    rows, largest = torch.from_numpy(_unit(queries)), 0.0
    for first in range(0, len(documents), BLOCK):
        items = torch.from_numpy(_unit(documents[first : first + BLOCK]))
        for some in rows.split(256):
            largest = max(largest, float((some @ items.T)[0, 0]))
    return largest


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


CONTESTANTS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "product": _product,
    "ranks": _ranks,
    "nearest": _nearest,
    "faiss": _faiss,
}
"""What is measured, by name."""

"""Files as they come from a vector store: documents, queries, judgements and labels, written in blocks.

Vectors are those of an encoder that was not made for the task: a common direction, a centre for each class, about ten
documents a class, and noise that is three times as strong in a tenth of the dimensions.
"""

from pathlib import Path

import numpy as np

__all__ = ["make"]

BLOCK = 16_384
OF_A_CLASS, JUDGED = 10, 3
NOISE, STRONG, OFFSET = 1.2, 3.0, 1.0


def make(folder: Path, items: int, queries: int, dims: int = 384) -> None:
    """Write `documents.npy`, `labels.npy`, `queries.npy`, `query_labels.npy` (numbers of classes) and `qrels.tsv`.

    Args:
        folder: that is there.
        items: documents.
        queries: each of one class, with up to three documents of it as relevant ones.
        dims: of a vector.
    """
    random = np.random.default_rng(0)
    classes = max(2, items // OF_A_CLASS)
    centres = random.standard_normal((classes, dims), np.float32)
    noise = np.full(dims, NOISE, np.float32)
    noise[: dims // 10] *= STRONG

    def vectors(labels: np.ndarray) -> np.ndarray:
        return centres[labels] + noise * random.standard_normal((len(labels), dims), np.float32) + OFFSET

    labels = random.integers(0, classes, items)
    documents = np.lib.format.open_memmap(folder / "documents.npy", "w+", np.float32, (items, dims))
    for first in range(0, items, BLOCK):
        documents[first : first + BLOCK] = vectors(labels[first : first + BLOCK])
    documents.flush()
    asked = random.choice(np.unique(labels), queries, replace=queries > classes // 2)
    np.save(folder / "queries.npy", vectors(asked))
    np.save(folder / "labels.npy", labels)
    np.save(folder / "query_labels.npy", asked)
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], asked)
    last = np.minimum(np.searchsorted(labels[order], asked, side="right"), first + JUDGED)
    lines = [
        f"{query}\t{document}\t1\n"
        for query, (start, stop) in enumerate(zip(first, last, strict=True))
        for document in order[start:stop]
    ]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), encoding="utf-8")

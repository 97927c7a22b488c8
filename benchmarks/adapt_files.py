"""Write the development part of a task as the files that `metricgrad adapt` takes, and print the command.

    .venv/bin/python -m benchmarks.adapt_files emoji runs/emoji-files
    .venv/bin/python -m benchmarks.adapt_files text_retrieval runs/text-files --data '{"folder": "..."}'
    .venv/bin/python -m benchmarks.adapt_files sections runs/sections-files --data '{"folder": "..."}'

Vectors with labels (and groups), or queries, documents and judgements, of fit and select alone: `adapt` parts them.
Documents are all there, those of the closed test queries as well; no judgement of these queries is written.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad.tasks import emoji
from metricgrad.tasks.text_data import FIT, SELECT, TextOptions, text_data


def emoji_files(folder: Path, options: dict[str, Any]) -> str:
    """Features of the drawings as they are, and the class of each."""
    splits = emoji.load({**options, "views": 1}).splits
    parts: list[Any] = [splits.fit, splits.select]
    np.save(folder / "x.npy", np.concatenate([part.inputs.numpy() for part in parts]))
    _lines(folder / "y.csv", (f"c{int(one)}" for part in parts for one in part.targets))
    return "--embeddings x.npy --labels y.csv --metric recall@1"


def sections_files(folder: Path, options: dict[str, Any]) -> str:
    """Vectors of descriptions, the section of each, and the source that it comes from."""
    data = text_data("sections", TextOptions(**options))
    rows = np.flatnonzero(np.isin(data.document_part, [FIT, SELECT]))
    np.save(folder / "x.npy", data.vectors(data.texts.documents, data.document_part)[rows])
    _lines(folder / "y.csv", (data.texts.sections[row] for row in rows))
    _lines(folder / "g.csv", (f"s{data.texts.document_groups[row]}" for row in rows))
    return "--embeddings x.npy --labels y.csv --groups g.csv --split query --metric recall@1"


def text_retrieval_files(folder: Path, options: dict[str, Any]) -> str:
    """Vectors of short and of long descriptions, and which belong together."""
    data = text_data("text_retrieval", TextOptions(**options))
    queries, documents = data.pair_vectors()
    np.save(folder / "q.npy", queries)
    np.save(folder / "d.npy", documents)
    asked = data.texts.pairs[np.isin(data.query_part[data.texts.pairs[:, 0]], [FIT, SELECT])]
    _lines(
        folder / "qrels.tsv",
        ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t1" for query, document in asked)],
    )
    return "--queries q.npy --corpus d.npy --qrels qrels.tsv --split both --metric ndcg@10 --curve"


WRITERS = {"emoji": emoji_files, "sections": sections_files, "text_retrieval": text_retrieval_files}


def _lines(path: Path, lines: Iterable[object]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main() -> None:
    """Write the files and say what to do with them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=sorted(WRITERS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="{}", help="Options of the task as JSON, folders for instance.")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    words = WRITERS[chosen.task](chosen.folder, json.loads(chosen.data))
    print(f"cd {chosen.folder} && metricgrad adapt {words} --run run")


if __name__ == "__main__":
    main()

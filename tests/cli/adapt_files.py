"""Files for `metricgrad adapt`, and run folders that the command makes of them in a second or two."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from metricgrad.cli.main import app
from tests.adapting.small_vectors import pairs, vectors

LABELS = ("adapt", "--embeddings", "x.npy", "--labels", "y.csv")
PAIRS = ("adapt", "--queries", "q.npy", "--corpus", "d.npy", "--qrels", "qrels.tsv")
CLOSED = ("--method", "none", "--quiet")
TRAINED = ("--quick", "--steps", "4", "--quiet")


def write_labels(folder: Path) -> None:
    """720 vectors of 120 classes."""
    x, y = vectors()
    np.save(folder / "x.npy", x)
    (folder / "y.csv").write_text("\n".join(map(str, y)) + "\n", encoding="utf-8")


def write_pairs(folder: Path) -> None:
    """150 queries, each with a document of grade 2 of its own and the next one in grade 1, ids beside the vectors."""
    queries, documents, _ = pairs()
    np.save(folder / "q.npy", queries)
    np.save(folder / "d.npy", documents)
    for name in "qd":
        lines = [f"{name}{row:03d}\n" for row in range(len(queries))]
        (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    lines = [f"q{row:03d}\td{row:03d}\t2\n" for row in range(len(queries))]
    lines += [f"q{row:03d}\td{row + 1:03d}\t1\n" for row in range(0, len(queries) - 1, 2)]
    lines += [f"q{row:03d}\td{row - 1:03d}\t0\n" for row in range(2, len(queries), 3)]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), encoding="utf-8")


def made(folder: Path, *arguments: str) -> Path:
    """The run folder that the command leaves."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        result = CliRunner().invoke(app, [*arguments, "--run", "run"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return folder / "run"

"""Files whose bytes were damaged: a figure or one sentence, never a traceback, and nothing that hangs."""

import random
from pathlib import Path

import numpy as np
import pandas
import pytest
from safetensors.numpy import save_file

from tests.cli.outcome import Command


@pytest.fixture
def sound(tmp_path: Path) -> dict[str, tuple[bytes, list[str]]]:
    """Content of a sound file of each kind, and the call that reads it."""
    draw = np.random.default_rng(0)
    labels = np.arange(30) % 5
    np.save(tmp_path / "x.npy", draw.normal(size=(30, 4)).astype(np.float32))
    np.save(tmp_path / "y.npy", labels)
    np.save(tmp_path / "z.npy", np.array([f"Klasse {label} \u00e4" for label in labels]))
    (tmp_path / "y.csv").write_text("".join(f'"class {label}"\n' for label in labels), encoding="utf-8")
    frame = pandas.DataFrame(
        {"target": labels % 2, "prediction": draw.integers(2, size=30), "score": draw.random(30)}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.astype({"target": str}).to_parquet(tmp_path / "t.parquet")
    pandas.DataFrame({"label": pandas.Categorical(labels.astype(str))}).to_parquet(tmp_path / "y.parquet")
    frame = pandas.DataFrame({"id": [f"d{row}" for row in range(30)], "v": list(draw.normal(size=(30, 4)))})
    frame.to_parquet(tmp_path / "v.parquet")
    save_file({"v": draw.normal(size=(30, 4))}, tmp_path / "v.safetensors")
    pandas.DataFrame(draw.normal(size=(30, 4))).to_csv(tmp_path / "v.csv")
    pairs = [(f"{row % 5}", f"d{row}") for row in range(30)]
    (tmp_path / "q.txt").write_text("".join(f"{one} 0 {two} 1\n" for one, two in pairs), encoding="utf-8")
    (tmp_path / "q.jsonl").write_text(
        "".join(f'{{"query": "{one}", "pos": ["{two}"]}}\n' for one, two in pairs), encoding="utf-8"
    )
    run = "".join(f"{one} Q0 {two} 1 {row / 7!r} me\n" for row, (one, two) in enumerate(pairs))
    (tmp_path / "r.trec").write_text(run, encoding="utf-8")
    judged = ["--run-file", "r.trec", "--metric", "ndcg@5", "--qrels"]
    vectors = ["--labels", "y.npy", "--metric", "map", "--embeddings"]
    of_labels = ["--embeddings", "x.npy", "--metric", "recall@1", "--labels"]
    calls = {
        "x.npy": ["--labels", "y.npy", "--metric", "map", "--embeddings"],
        "y.npy": of_labels,
        "z.npy": of_labels,
        "y.csv": of_labels,
        "y.parquet": of_labels,
        "v.parquet": ["--queries", "x.npy", "--qrels", "q.txt", "--metric", "ndcg@5", "--corpus"],
        "v.safetensors": vectors,
        "v.csv": vectors,
        "q.txt": judged,
        "q.jsonl": judged,
        "r.trec": ["--qrels", "q.txt", "--metric", "map", "--run-file"],
        "t.csv": ["--metric", "f1"],
        "t.parquet": ["--metric", "auc"],
    }
    return {name: ((tmp_path / name).read_bytes(), call) for name, call in calls.items()}


def damaged(content: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, or a piece cut out, doubled or cut off."""
    found = bytearray(content)
    first, last = sorted(draw.choices(range(len(found)), k=2))
    kind = draw.randrange(5)
    if kind == 0:
        return bytes(found[:first])
    if kind == 1:
        return bytes(found[:first] + found[last:])
    if kind == 2:
        return bytes(found[:last] + found[first:])
    reach = len(found) if kind == 3 else min(len(found), 140)  # the header of a .npy file
    for _ in range(draw.randint(1, 6)):
        found[draw.randrange(reach)] = draw.choice([0, 10, 34, 44, 48, 57, 59, 255, draw.randrange(256)])
    return bytes(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "x.npy",
        "y.npy",
        "z.npy",
        "y.csv",
        "y.parquet",
        "t.csv",
        "t.parquet",
        "v.parquet",
        "v.safetensors",
        "v.csv",
        "q.txt",
        "q.jsonl",
        "r.trec",
    ],
)
def test_damaged_bytes(command: Command, sound: dict, tmp_path: Path, name: str) -> None:
    """Fifty damages of each file; `command` raises whatever is no refusal."""
    content, call = sound[name]
    draw = random.Random(name)
    for turn in range(50):
        broken = damaged(content, draw)
        path = tmp_path / f"broken{turn}{Path(name).suffix}"
        path.write_bytes(broken)
        outcome = command("evaluate", *call, path, "--resamples", "5", "--json")
        assert outcome.code in (0, 2), (turn, outcome)
        if outcome.code == 2:
            outcome.refused()


def test_damages_of_headers(command: Command, sound: dict, tmp_path: Path) -> None:
    """A shape beyond the file, a text where numbers were, a cut table: each says what is wrong."""
    x, call = sound["x.npy"]
    for name, broken, word in (
        ("huge", x.replace(b"(30, 4)", b"(9999999999, 9999)"[:7] + b")"), "cannot be read as .npy"),
        ("larger", x.replace(b"(30, 4)", b"(90, 4)"), "ends before"),
        ("objects", x.replace(b"<f4", b"|O8"), "pickled objects"),
        ("picture", b"\x89PNG\r\n\x1a\n" + x, "begins with"),
        ("text", b"1,2\n3,4\n", "begins with"),
        ("mark", x[:6], "cannot be read as .npy"),
    ):
        (tmp_path / f"{name}.npy").write_bytes(broken)
        command("evaluate", *call, f"{name}.npy").refused(word)
    table, call = sound["t.parquet"]
    (tmp_path / "cut.parquet").write_bytes(table[:-20])
    command("evaluate", *call, "cut.parquet").refused("cannot be read as Parquet")

"""`metricgrad adapt --table` and `metricgrad predict`: from a file to a folder to classes, and what does not fit."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from metricgrad.cli.main import app
from tests.cli.outcome import Command
from tests.tabular.small_tables import table

TABLE = ("adapt", "--table", "t.csv", "--target", "y", "--metric", "f1")


def write(path: Path, cells: dict[str, list[Any]], delimiter: str = ",") -> None:
    """Write a table as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(cells)
        writer.writerows(zip(*cells.values(), strict=True))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder that the command leaves, and what it prints as JSON."""
    folder = tmp_path_factory.mktemp("table")
    write(folder / "t.csv", table(), delimiter=";")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = [*TABLE, "--groups", "group", "--minutes", "0.1", "--out", "run", "--quiet", "--json"]
        found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.stderr
    return folder / "run", json.loads(found.stdout)


@pytest.mark.slow
def test_the_record(run: tuple[Path, Any]) -> None:
    """What was read, who learned, what is used, gains over the controls, tables, other metrics."""
    folder, found = run
    assert found["read"][0] == "t.csv: 700 rows, 6 columns, parted by a semicolon"
    assert found["classes"] == ["no", "yes"] and found["positive_class"] == "yes"
    kinds = {one["name"]: one["kind"] for one in found["schema"]["columns"]}
    assert kinds == {"x": "number", "z": "number", "colour": "category", "day": "date"}
    assert [one["name"] for one in found["schema"]["dropped"]] == ["group"]
    assert "by group" in found["parts"]["words"]
    assert sum(line["used"] for line in found["lines"]) == 1
    assert {gain["over"] for gain in found["gains"]} <= {line["name"] for line in found["lines"]}
    assert any(one["metric"] == "mcc" for one in found["others"])
    assert all(np.sum(rows) == found["parts"]["test"] for rows in found["tables"].values())
    names = {path.name for path in folder.iterdir()}
    assert {
        "model.json",
        "network.safetensors",
        "network-rule.json",
        "leaderboard.csv",
        "result.json",
    } <= names
    assert not [name for name in names if name.endswith((".pkl", ".pt", ".joblib"))]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert found["used"]["name"] in page and "network, argmax" in page
    assert page.count("<script") == 1 and "script-src 'sha256-" in page and " src=" not in page
    every_class = page[page.index('id="every-class"') :].partition("</table>")[0]
    assert [name for name in ("no", "yes") if f'<th scope="row">{name}</th>' in every_class] == ["no", "yes"]


def program(path: Path, content: str) -> str:
    """Write a program; returns the metric."""
    path.write_text(f"#!/bin/sh\n{content}\n", encoding="utf-8")
    path.chmod(0o755)
    return f"cmd: ./{path.name} {{predictions}}"


@pytest.mark.slow
def test_a_program_is_the_metric(command: Command, tmp_path: Path) -> None:
    """It is run as often as its own list of calls says, about as often as was said first; nothing is claimed."""
    write(tmp_path / "t.csv", table(120))
    line = program(
        tmp_path / "hits.sh",
        """echo >> calls
awk -F, 'NR > 1 { rows++; hits += $2 == $3 } END { printf "%.6f\\n", hits / rows }' "$1\"""",
    )
    asked = ("adapt", "--table", "t.csv", "--target", "y", "--metric", line)
    command(*asked).refused("--higher-is-better or --lower-is-better")
    found = command(*asked, "--higher-is-better", "--minutes", "0.05", "--out", "run", "--json")
    assert found.code == 0, found.err
    assert "hits: 1 where the true classes of select are the decisions" in found.err
    said = int(re.findall("about ([0-9,]+) calls", found.err)[0].replace(",", ""))
    calls = (tmp_path / "calls").read_text().count("\n")
    assert calls == found.json["calls"] and 100 < calls <= said + 20
    assert {gain["claim"] for gain in found.json["gains"]} == {"nothing claimed"}
    (used,) = [one for one in found.json["lines"] if one["used"]]
    assert used["test"] == pytest.approx(np.trace(found.json["tables"][used["name"]]) / 24, abs=1e-5)


def test_a_program_that_fails_costs_no_training(command: Command, tmp_path: Path) -> None:
    """It is tried first."""
    write(tmp_path / "t.csv", table(120))
    line = program(tmp_path / "fails.sh", "echo no such column >&2; exit 3")
    found = command(
        "adapt", "--table", "t.csv", "--target", "y", "--metric", line, "--higher-is-better", "--out", "run"
    )
    found.refused("no such column")
    assert not (tmp_path / "run" / "parts").exists()


@pytest.mark.slow
def test_new_rows(run: tuple[Path, Any], command: Command, tmp_path: Path) -> None:
    """Classes of the rule and probabilities; ids; strange cells are told; no other row changes by them."""
    folder, _ = run
    cells = table(40, seed=5)
    cells["x"][0], cells["colour"][1] = "many", "violet"
    write(tmp_path / "new.csv", cells)
    found = command("predict", folder, "new.csv", "--id-column", "group", "--json")
    assert found.code == 0, found.err
    assert found.json["rows"] == 40 and sum(found.json["decided"].values()) == 40
    assert any("'many'" in note for note in found.json["notes"])
    assert any("colour: 1 cells have a level" in note for note in found.json["notes"])
    with (tmp_path / "new-predicted.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == cells["group"]
    assert all(abs(float(row["score_no"]) + float(row["score_yes"]) - 1) < 1e-4 for row in rows)
    command("predict", folder, "new.csv").refused("is there already")
    write(tmp_path / "less.csv", {name: one for name, one in cells.items() if name != "day"})
    command("predict", folder, "less.csv").refused("no column 'day'")
    command("predict", tmp_path, "new.csv", "--out", "other.csv").refused("has no model.json")


@pytest.mark.slow
def test_a_folder_is_taken_once(run: tuple[Path, Any], command: Command) -> None:
    """A finished run is not written over; files of others are left alone; another run's parts are not mixed in."""
    folder, _ = run
    write(Path("t.csv"), table())
    command(*TABLE, "--out", folder).refused("holds a finished model")
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("dear")
    command(*TABLE, "--out", "mine").refused("holds files of others")
    Path("other").mkdir()
    Path("other/run.json").write_text('{"digest": "another"}')
    command(*TABLE, "--out", "other").refused("holds another run")
    command(*TABLE, "--out", "t.csv").refused("which is a file")


@pytest.mark.slow
def test_onnx_decides_the_same(run: tuple[Path, Any]) -> None:
    """The graph of network and rule gives the classes that both give here."""
    runtime = pytest.importorskip("onnxruntime")
    import torch

    from metricgrad.decision import load_rule
    from metricgrad.tabular.ensemble import Ensemble
    from metricgrad.tune.checkpoint import load_weights

    folder, found = run
    assert found["onnx"] == "run/network.onnx"
    network = Ensemble(load_weights(folder / "network.safetensors")).eval()
    x = torch.randn(50, network.features, generator=torch.Generator().manual_seed(0))
    session = runtime.InferenceSession(str(folder / "network.onnx"))
    (classes,) = session.run(None, {"inputs": x.numpy()})
    with torch.no_grad():
        wanted = load_rule(folder / "network-rule.json").decide(network(x))
    assert np.mean(classes == wanted.numpy()) > 0.97  # scores at the cut may fall to either side


def cells_of(**columns: list[Any]) -> Callable[[Path], None]:
    """Write the table with other columns."""
    return lambda path: write(path, {**table(60), **columns})


def bytes_of(content: bytes) -> Callable[[Path], None]:
    """Write bytes."""

    def write_them(path: Path) -> None:
        path.write_bytes(content)

    return write_them


def three_rows(path: Path) -> None:
    """Write three rows."""
    write(path, {name: cells[:3] for name, cells in table().items()})


CHOICES = ["a", "b", "c"] * 20


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (cells_of(y=["no"] * 60), (), "y is 'no' in all rows; expected two classes"),
        (cells_of(y=[f"{row / 7:.3f}" for row in range(60)]), (), "60 different values in 60 rows"),
        (cells_of(y=CHOICES), (), "f1"),
        (cells_of(y=["a", "b"] * 30), (), "--positive-class"),
        (cells_of(y=["yes", "no", ""] * 20), (), "row 3: y is an empty cell"),
        (cells_of(), ("--target", "label"), "expected 'label', that of --target, among them"),
        (cells_of(), ("--groups", "grupp"), "no column 'grupp', that of --groups. Did you mean 'group'"),
        (cells_of(), ("--time", "colour"), "--time colour has"),
        (cells_of(), ("--sample-weight", "z"), "--sample-weight z has '-"),
        (cells_of(), ("--groups", "group", "--time", "day"), "--groups and --time came together"),
        (cells_of(), ("--metric", "recall@1"), "recall@1"),
        (cells_of(), ("--metric", "auc"), "auc"),
        (cells_of(), ("--steps", "3"), "--steps came with --table"),
        (cells_of(), ("--train", "t.csv"), "--table and --train came together"),
        (cells_of(), ("--minutes", "0"), "--minutes is 0"),
        (cells_of(), ("--test", "nowhere.csv"), "nowhere.csv"),
        (three_rows, (), "t.csv has 3 rows; expected at least 50"),
        (bytes_of(b""), (), "t.csv is empty"),
        (bytes_of(b"x,y\n\xff\xfe\xfa,1\n"), (), "expected UTF-8 text"),
        (bytes_of(b"x,x,y\n1,2,no\n"), (), "has the column 'x' twice"),
        (bytes_of(b"x,y\n1,2,3\n"), (), "line 2 has 3 cells; expected 2"),
        (bytes_of(b"x,y\n"), (), "t.csv has 0 rows"),
        (lambda path: write(path, {"k": ["k"] * 60, "y": ["no", "yes"] * 30}), (), "no column is left to learn from"),
    ],
)  # fmt: skip
def test_what_does_not_fit(
    command: Command, tmp_path: Path, make: Callable[[Path], None], options: tuple[str, ...], words: str
) -> None:
    """One sentence, exit code 2, nothing trained, no folder."""
    make(tmp_path / "t.csv")
    found = command(*TABLE, *options)
    found.refused(words)
    assert not (tmp_path / "runs").exists()


def test_options_of_other_doors(command: Command) -> None:
    """Options of a table without a table, and a train file without its test."""
    command("adapt", "--embeddings", "x.npy", "--labels", "y.csv", "--target", "y").refused(
        "came without a table"
    )
    command("adapt", "--train", "t.csv", "--target", "y", "--metric", "f1").refused(
        "--train came without --test"
    )
    command("adapt", "--table", "t.csv", "--target", "y").refused("without --metric")
    command("adapt", "--table", "t.csv", "--metric", "f1").refused("without --target")


def test_classes_that_only_test_has(command: Command, tmp_path: Path) -> None:
    """They cannot be learned, and are named."""
    write(tmp_path / "a.csv", table(100))
    write(tmp_path / "b.csv", {**table(100, seed=1), "y": ["maybe"] * 100})
    found = command("adapt", "--train", "a.csv", "--test", "b.csv", "--target", "y", "--metric", "macro_f1")
    found.refused("has the class 'maybe', which no row of a.csv has")


def test_parquet(tmp_path: Path) -> None:
    """Numbers, dates, truth values and missing cells of a typed file are read as those of a CSV file."""
    pytest.importorskip("pyarrow")
    import datetime

    import pyarrow
    from pyarrow import parquet

    from metricgrad.cli.table_files import read_question
    from metricgrad.metrics import adapt
    from metricgrad.tabular.prepared import prepared

    draw = np.random.default_rng(0)
    columns = {
        "x": [None if row % 9 == 0 else float(value) for row, value in enumerate(draw.normal(size=120))],
        "n": [int(value) for value in draw.integers(0, 50, 120)],
        "ok": [bool(value) for value in draw.integers(0, 2, 120)],
        "at": [datetime.date(2024, 1, 1 + int(value)) for value in draw.integers(0, 28, 120)],
        "y": [int(value) for value in draw.integers(0, 2, 120)],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    given: dict[str, Any] = dict.fromkeys(
        ("train", "test", "delimiter", "positive_class", "groups", "time", "id_column", "sample_weight")
    )
    given |= {"table": tmp_path / "t.parquet", "target": "y", "seed": 0}
    cells, question, words = read_question(given, adapt("f1"))
    job = prepared(cells, question, tabm=False)
    kinds = {column.name: column.kind for column in job.encoder.schema.columns}
    assert kinds == {"x": "number", "n": "number", "ok": "category", "at": "date"}
    assert question.classes == ["0", "1"] and question.positive == "1" and "120 rows" in words[0]
    assert np.isnan(job.raw.numbers[::9, 0]).all()


@pytest.mark.slow
def test_a_stopped_run_goes_on(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130 and the command that goes on; what was finished is kept and not made again."""
    from metricgrad.tabular.models import Models

    write(tmp_path / "t.csv", table())
    train, made = Models.train, []

    def stopped(self: Models, arm: str, model: int, seconds: float) -> None:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append((arm, model))
        train(self, arm, model, 0.1)

    monkeypatch.setattr(Models, "train", stopped)
    found = command(*TABLE, "--minutes", "0.1", "--quiet")
    assert found.code == 130 and "go on with: metricgrad" in found.err and "runs/adapt-f1-001" in found.err
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs/adapt-f1-001/parts").iterdir()}
    assert len(kept) == 2
    monkeypatch.setattr(Models, "train", train)
    again = command(*TABLE, "--minutes", "0.1", "--quiet", "--out", "runs/adapt-f1-001")
    assert again.code == 0, again.err
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs/adapt-f1-001/parts").iterdir()}
    assert kept.items() <= after.items() and len(after) > 7

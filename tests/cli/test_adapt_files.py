"""The files that `adapt` leaves of test: other programs get the figures of the record from them."""

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metricgrad.adapting import query_files
from metricgrad.tune.checkpoint import load_weights
from tests.cli.adapt_files import CLOSED, LABELS, PAIRS, TRAINED, made, write_labels, write_pairs
from tests.cli.outcome import Command

NAMES = ("raw", "control", "adapted")


def events(run: Path, name: str) -> list[dict[str, Any]]:
    """Of a record, by name."""
    lines = map(json.loads, (run / "record.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == name]


def figures(run: Path) -> dict[str, float]:
    """Of the record: the vectors as they came, the opponent of the verdict, what is returned."""
    arms = {
        "control": events(run, "verdict")[-1]["baseline"],
        "adapted": events(run, "chosen")[-1]["returned"]["0"],
    }
    tested = {event["arm"]: event["value"] for event in events(run, "tested")}
    raw = json.loads((run / "adapted.json").read_text())["gain"]["raw"]
    return {"raw": raw, **{name: tested[arm] for name, arm in arms.items()}}


def per_query(run: Path) -> dict[str, dict[str, float]]:
    """The columns of per-query.csv by query."""
    with (run / "per-query.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: {row["query"]: float(row[name]) for row in rows if row[name]}
        for name in rows[0]
        if name != "query"
    }


def evaluated(run: Path, measure: str) -> dict[str, dict[str, float]]:
    """The measure of every query in the three files, by ir_measures."""
    ir_measures = pytest.importorskip("ir_measures")
    parsed = ir_measures.parse_measure(measure)
    qrels = list(ir_measures.read_trec_qrels(str(run / "qrels.test.tsv")))
    return {
        name: {
            one.query_id: one.value
            for one in ir_measures.iter_calc(
                [parsed], qrels, list(ir_measures.read_trec_run(str(run / f"run.{name}.trec")))
            )
        }
        for name in NAMES
    }


@pytest.mark.parametrize("how", [CLOSED, pytest.param(TRAINED, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("files", "write", "metric", "measure"),
    [
        (PAIRS, write_pairs, "ndcg@10", "nDCG@10"),
        (PAIRS, write_pairs, "mrr", "RR"),
        (LABELS, write_labels, "recall@1", "Success@1"),
        pytest.param(LABELS, write_labels, "map", "AP", marks=pytest.mark.slow),
    ],
)
def test_other_programs_get_the_figures_of_the_record(
    tmp_path: Path, files: tuple[str, ...], write: Any, metric: str, measure: str, how: tuple[str, ...]
) -> None:
    """Of the vectors as they came, the strongest control and the map: query by query, and in the mean."""
    write(tmp_path)
    run = made(tmp_path, *files, "--metric", metric, *how)
    ours, theirs, expected = per_query(run), evaluated(run, measure), figures(run)
    for name in NAMES:
        assert theirs[name] == pytest.approx(ours[name], abs=1e-6)
        assert np.mean(list(theirs[name].values())) == pytest.approx(expected[name], abs=1e-6)
    for name in ("raw", "control"):
        differences = {query: ours["adapted"][query] - value for query, value in ours[name].items()}
        assert ours[f"adapted-{name}"] == pytest.approx(differences, abs=1e-12)
    lists = [line.split()[0] for line in (run / "run.raw.trec").read_text().splitlines()]
    depth = {len(list(group)) for _, group in itertools.groupby(lists)}
    whole = 150 if files is PAIRS else 719
    assert depth == ({100} if "@" in metric else {whole})


def test_the_ids_are_those_of_the_files(tmp_path: Path) -> None:
    """Queries and documents are called as beside their vectors; judged and not relevant is kept."""
    write_pairs(tmp_path)
    run = made(tmp_path, *PAIRS, *CLOSED)
    judged = [line.split("\t") for line in (run / "qrels.test.tsv").read_text().splitlines()]
    assert {len(line) for line in judged} == {4} and {line[3] for line in judged} == {"0", "1", "2"}
    asked = {line[0] for line in judged}
    given = [line.split("\t") for line in (tmp_path / "qrels.tsv").read_text().splitlines()[1:]]
    assert sorted(map(tuple, given_of(given, asked))) == sorted(
        (one, item, grade) for one, _, item, grade in judged
    )
    assert asked == set(per_query(run)["raw"])


def given_of(rows: list[list[str]], asked: set[str]) -> list[tuple[str, ...]]:
    """The judgements of some queries."""
    return [tuple(row) for row in rows if row[0] in asked]


@pytest.mark.slow
def test_the_control_is_that_of_the_verdict(tmp_path: Path) -> None:
    """Of a contest: the figures per query of the arm that the verdict stands against."""
    write_labels(tmp_path)
    run = made(tmp_path, *LABELS, *TRAINED)
    arm = events(run, "verdict")[-1]["baseline"]
    expected = load_weights(run / "test.safetensors")[f"{arm}/0"][:, 0].tolist()
    assert list(per_query(run)["control"].values()) == expected


def test_evaluate_reads_what_is_written(command: Command, tmp_path: Path) -> None:
    """The run and the judgements through `metricgrad evaluate`: the printed digits."""
    write_pairs(tmp_path)
    run = made(tmp_path, *PAIRS, *CLOSED)
    asked = ("--qrels", run / "qrels.test.tsv", "--metric", "ndcg@10", "--json")
    for name, value in figures(run).items():
        found = command("evaluate", "--run-file", run / f"run.{name}.trec", *asked).json
        assert found["value"] == pytest.approx(value, abs=1e-12)


@pytest.mark.slow
def test_files_that_would_be_too_large_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No runs and no judgements, the note says how large they would be; the figures per query are there."""
    monkeypatch.setattr(query_files, "MOST_LINES", 500)
    monkeypatch.setattr(query_files, "MOST_JUDGEMENTS", 500)
    write_labels(tmp_path)
    run = made(tmp_path, *LABELS, *CLOSED)
    notes = [event["text"] for event in events(run, "note")]
    assert any(note.startswith("no run.*.trec is written: each would have 14,400 lines") for note in notes)
    assert any(note.startswith("no qrels.test.tsv is written: it would have 720 lines") for note in notes)
    assert not list(run.glob("*.trec")) and not (run / "qrels.test.tsv").exists()
    assert len(per_query(run)["adapted"]) == 144


@pytest.mark.slow
def test_ids_with_spaces_and_ties_have_no_runs(tmp_path: Path) -> None:
    """What a TREC file cannot hold is told; a run that shows only the first items of a metric without k, too."""
    write_pairs(tmp_path)
    text = (tmp_path / "d.txt").read_text()
    (tmp_path / "d.txt").write_text(text.replace("d149", "the last"))
    qrels = (tmp_path / "qrels.tsv").read_text().replace("d149", "the last")
    (tmp_path / "qrels.tsv").write_text(qrels)
    run = made(tmp_path, *PAIRS, *CLOSED)
    notes = " ".join(event["text"] for event in events(run, "note"))
    assert "the id 'the last' has a space within" in notes and not list(run.glob("*.trec"))
    write_labels(tmp_path)
    (tmp_path / "run").rename(tmp_path / "other")
    run = made(tmp_path, *LABELS, *CLOSED, "--metric", "recall@1:ties=mid")
    notes = " ".join(event["text"] for event in events(run, "note"))
    assert (
        "ties=mid is no order" in notes and not list(run.glob("*.trec")) and (run / "qrels.test.tsv").exists()
    )


@pytest.mark.slow
def test_a_short_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric without k reads beyond the run."""
    monkeypatch.setattr(query_files, "DEPTH_WITHOUT_K", 30)
    write_labels(tmp_path)
    run = made(tmp_path, *LABELS, *CLOSED, "--metric", "map")
    notes = " ".join(event["text"] for event in events(run, "note"))
    assert "hold the first 30 of 719 items per query, and map may read more of them" in notes


def test_sides_without_a_common_space_have_no_raw_run(tmp_path: Path) -> None:
    """Without a figure of the vectors as they came there is no file of theirs."""
    from metricgrad.adapting import adapt_pairs
    from tests.adapting.small_vectors import NO_TRAINING, pairs

    queries, documents, qrels = pairs()
    adapt_pairs(
        queries[:, :9],
        documents,
        qrels,
        training=NO_TRAINING,
        folder=tmp_path / "run",
        observer=lambda _: None,
    )
    assert sorted(path.name for path in (tmp_path / "run").glob("*.trec")) == ["run.adapted.trec"]
    assert list(per_query(tmp_path / "run")) == ["adapted"]

"""`evaluate` over judgements: the figures of vectors and of runs are those of trec_eval."""

import csv
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metricgrad.cli import judged_ranks
from metricgrad.cli.trec_files import read_run, write_run
from tests.cli.outcome import Command

NAMES = {
    "ndcg@10": "ndcg_cut.10",
    "recall@5": "recall.5",
    "hit@5": "success.5",
    "precision@5": "P.5",
    "mrr": "recip_rank",
    "map": "map",
    "map@10": "map_cut.10",
    "r_precision": "Rprec",
    "ndcg": "ndcg",
}
"""Our words, and those of trec_eval."""
ASKED = ["--resamples", "50", *itertools.chain.from_iterable(("--metric", name) for name in NAMES)]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Files of 12 queries, 60 documents (some of them copies, in float16) and graded judgements with all edge cases."""
    draw = np.random.default_rng(1)
    documents = draw.normal(size=(60, 6)).astype(np.float16)
    documents[20:40] = documents[:20]
    np.save(tmp_path / "q.npy", np.asfortranarray(draw.normal(size=(12, 6)).astype(np.float32)))
    np.save(tmp_path / "d.npy", documents)
    queries, items = [f"q{row}" for row in range(12)], [f"{row:03d}" for row in range(60)]
    (tmp_path / "q.txt").write_text("\n".join(queries), encoding="utf-8")
    (tmp_path / "d.txt").write_text("\n".join(items), encoding="utf-8")
    pairs = {
        (row, int(one)): int(draw.integers(-1, 4)) for row in range(10) for one in draw.choice(60, 12, False)
    }
    pairs |= {(10, 5): 0}  # judged, nothing relevant; query 11 is not judged
    lines = [f"{queries[row]} 0 {items[one]} {grade}\n" for (row, one), grade in pairs.items()]
    (tmp_path / "qrels.txt").write_text("".join(lines), encoding="utf-8")
    return tmp_path


VECTORS = ("evaluate", "--queries", "q.npy", "--corpus", "d.npy", "--qrels", "qrels.txt")
RUN = ("evaluate", "--run-file", "run.trec", "--qrels", "qrels.txt")


def of_trec_eval(folder: Path, run: str = "run.trec") -> dict[str, dict[str, float]]:
    """Figures of each query that has a relevant document, by pytrec_eval; 0 for one that the run does not have."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.txt").read_text().splitlines():
        query, _, document, grade = line.split()
        qrels.setdefault(query, {})[document] = int(grade)
    ranked: dict[str, dict[str, float]] = {}
    for line in (folder / run).read_text().splitlines():
        query, _, document, _, score, _ = line.split()
        ranked.setdefault(query, {})[document] = float(score)
    found = pytrec_eval.RelevanceEvaluator(qrels, set(NAMES.values())).evaluate(ranked)
    kept = [query for query, grades in qrels.items() if max(grades.values()) > 0]
    return {
        ours: {query: found[query][theirs.replace(".", "_")] if query in found else 0.0 for query in kept}
        for ours, theirs in NAMES.items()
    }


def per_query(path: Path) -> dict[str, dict[str, float]]:
    """The columns of a file of figures per query, those that are defined."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "query"]
    return {name: {row["query"]: float(row[name]) for row in rows if row[name]} for name in names}


def test_vectors_equal_trec_eval_of_the_run_that_is_written(command: Command, index: Path) -> None:
    """Copies, grades, negative grades: figures printed, per query, of the run and by trec_eval agree."""
    found = command(*VECTORS, *ASKED, "--save-run", "run.trec", "--per-query", "p.csv", "--json").json
    theirs, ours = of_trec_eval(index), per_query(index / "p.csv")
    again = command(*RUN, *ASKED, "--per-query", "r.csv", "--json").json
    for one, other, name in zip(found, again, NAMES, strict=True):
        assert ours[name] == pytest.approx(theirs[name], abs=1e-12)
        assert one["value"] == pytest.approx(float(np.mean(list(theirs[name].values()))), abs=1e-12)
        assert other["value"] == pytest.approx(one["value"], abs=1e-12)
        assert (one["units"], one["undefined"], one["unjudged"], one["groups"]) == (11, 1, 1, None)
        assert one["low"] < one["value"] < one["high"]
    scores = [float(line.split()[4]) for line in (index / "run.trec").read_text().splitlines()]
    blocks = np.array(scores, dtype=np.float32).reshape(10, 60)
    assert (np.diff(blocks) < 0).all()


def test_groups_of_queries_change_nothing(
    command: Command, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranked a few at a time, every query has the same figures, and the run is the same."""
    command(*VECTORS, *ASKED, "--save-run", "a.trec", "--per-query", "a.csv")
    monkeypatch.setattr(judged_ranks, "_PLACES", 25)
    command(*VECTORS, *ASKED, "--save-run", "b.trec", "--per-query", "b.csv")
    assert (index / "a.csv").read_text() == (index / "b.csv").read_text()
    assert (index / "a.trec").read_text() == (index / "b.trec").read_text()


def test_ir_measures_gives_the_printed_digits(command: Command, index: Path) -> None:
    """The run and the judgements, read by ir_measures from the files."""
    ir_measures = pytest.importorskip("ir_measures")
    words = {"ndcg@10": "nDCG@10", "recall@5": "R@5", "mrr": "RR", "map": "AP", "hit@5": "Success@5"}
    asked = itertools.chain.from_iterable(("--metric", name) for name in words)
    text = command(*VECTORS, *asked, "--save-run", "run.trec").out
    measures = [ir_measures.parse_measure(name) for name in words.values()]
    qrels = [one for one in ir_measures.read_trec_qrels(str(index / "qrels.txt")) if one.query_id != "q10"]
    theirs = ir_measures.calc_aggregate(measures, qrels, ir_measures.read_trec_run(str(index / "run.trec")))
    for measure in measures:
        assert f"{theirs[measure]:.4f}  (higher is better)" in text


@pytest.mark.parametrize("depth", [1, 7, 30, 59])
def test_a_short_run_has_the_places_of_the_whole_one(command: Command, index: Path, depth: int) -> None:
    """Equals at the edge of the run: relevant documents stay last of them; metrics that look beyond it are told."""
    small = ("--metric", f"recall@{depth}", "--metric", f"ndcg@{depth}")
    whole = command(*VECTORS, *small, "--save-run", "run.trec", "--depth", depth, "--json").json
    again = command(*RUN, *small, "--json").json
    for one, other in zip(whole, again, strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=1e-12)
        assert one["notes"] == []
    said = command(*VECTORS, "--metric", "map", "--save-run", "run.trec", "--depth", depth, "--force")
    assert "map may read more of them" in said.err


@pytest.mark.parametrize("seed", range(6))
def test_random_runs_equal_trec_eval(command: Command, tmp_path: Path, seed: int) -> None:
    """Few distinct scores, grades from -1 to 3, documents that are not judged, queries on one side only."""
    pytest.importorskip("pytrec_eval")
    draw = np.random.default_rng(seed)
    documents = [f"{'dD'[int(one % 2)]}{one}" for one in draw.permutation(40)]
    run, qrels = [], []
    for query in range(12):
        scores = draw.choice([-1.5, 0.25, 0.25 + 1e-12, 1, 1e30], 40)
        listed = draw.choice(40, int(draw.integers(1, 30)), False)
        run += [f"{query} Q0 {documents[one]} 0 {scores[one]!r} x\n" for one in listed if query != 3]
        judged = draw.choice(40, 15, False)
        qrels += [f"{query} 0 {documents[one]} {draw.integers(-1, 4)}\n" for one in judged if query != 5]
    (tmp_path / "run.trec").write_text(
        "".join(draw.permutation(run)).replace("np.float64", ""), encoding="utf-8"
    )
    content = (tmp_path / "run.trec").read_text().replace("(", "").replace(")", "")
    (tmp_path / "run.trec").write_text(content, encoding="utf-8")
    (tmp_path / "qrels.txt").write_text("".join(draw.permutation(qrels)), encoding="utf-8")
    found = command(*RUN, *ASKED, "--per-query", "p.csv", "--json")
    ours, theirs = per_query(tmp_path / "p.csv"), of_trec_eval(tmp_path)
    for name in NAMES:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-12), name
    assert "has nothing for 1 queries" in found.err and "'3'" in found.err
    assert found.json[0]["unjudged"] == 1
    assert "single precision" in found.err


def test_words_of_metrics_say_what_they_are(command: Command, index: Path) -> None:
    """Recall is the share that is found, hit asks for any, gains are linear unless said; all in the text."""
    names = ("recall@5", "hit@5", "ndcg@10", "ndcg@10:gains=exponential")
    asked = itertools.chain.from_iterable(("--metric", name) for name in names)
    recall, hit, linear, exponential = command(*VECTORS, *asked, "--json").json
    assert "share of the relevant" in recall["means"] and "any relevant" in hit["means"]
    assert hit["value"] > recall["value"]
    assert linear["value"] != exponential["value"] and "exponential" in exponential["means"]
    text = command(*VECTORS, "--metric", "recall@5").out
    for words in (
        "share of the relevant",
        "TREC (qid 0 docid rel)",
        "float16 .npy",
        "q.txt",
        "left out: 1",
    ):
        assert words in text


def test_runs_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Order and ids survive, equal scores included; scores that fall keep all digits."""
    order = [
        (np.array([2, 0, 1]), np.array([0.1 + 0.2, 0.3, -1.0])),
        (np.array([1, 2, 0]), np.array([5.0, 5.0, 5.0])),
    ]
    write_run(tmp_path / "r.trec", ["a", "\u00e9"], ["x", "y", "z"], order)
    run = read_run(tmp_path / "r.trec")
    assert run.queries == ["a", "\u00e9"]
    assert [run.documents[one] for one in run.ranked.tolist()] == ["z", "x", "y", "y", "z", "x"]
    assert "0.30000000000000004" in (tmp_path / "r.trec").read_text(encoding="utf-8")


def _no_such_ids(folder: Path) -> tuple[str, ...]:
    (folder / "q.txt").unlink()
    return VECTORS


def _one_file(folder: Path) -> tuple[str, ...]:
    return ("evaluate", "--queries", "d.npy", "--corpus", "d.npy", "--qrels", "qrels.txt")


def _spaces(folder: Path) -> tuple[str, ...]:
    text = (folder / "d.txt").read_text().replace("059", "the last")
    (folder / "d.txt").write_text(text)
    return (*VECTORS, "--save-run", "run.trec")


def _dimensions(folder: Path) -> tuple[str, ...]:
    np.save(folder / "q.npy", np.ones((12, 5)))
    return VECTORS


def _line(text: str) -> Callable[[Path], tuple[str, ...]]:
    def make(folder: Path) -> tuple[str, ...]:
        (folder / "run.trec").write_text(text)
        return RUN

    return make


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_no_such_ids, ("none of its 11 queries", "'q0'", "rows are called 0, 1, 2", "--query-ids")),
        (_one_file, ("as --queries and as --corpus", "--embeddings")),
        (_spaces, ("'the last' has a space within",)),
        (_dimensions, ("5 dimensions", "6; expected vectors of one model")),
        (lambda folder: (*VECTORS, "--save-run", "qrels.txt"), ("qrels.txt would be written over",)),
        (lambda folder: (*VECTORS, "--per-query", "d.txt"), ("d.txt is there already", "--force")),
        (lambda folder: (*VECTORS, "--save-run", "no/run.trec"), ("no/run.trec cannot be written",)),
        (lambda folder: (*VECTORS, "--depth", "5"), ("--depth came without --save-run",)),
        (lambda folder: VECTORS[:5] + VECTORS[7:], ("no --qrels",)),
        (lambda folder: VECTORS[:3] + VECTORS[5:], ("without --corpus",)),
        (lambda folder: (*VECTORS, "--labels", "y.csv"), ("--labels came with --queries", "--embeddings")),
        (lambda folder: (*VECTORS, "--metric", "recall@3:ties=average"), ("rank in different ways",)),
        (lambda folder: (*VECTORS, "--metric", "recall@1"), ("recall@1 came twice",)),
        (lambda folder: (*VECTORS, "--metric", "f1"), ("f1 is no metric of ranked documents",)),
        (_line("q0 Q0 d1 1 0.5\n"), ("line 1 is 'q0 Q0 d1 1 0.5'", "qid Q0 docid rank score tag")),
        (_line("q0 Q0 d1 1 nan x\n"), ("line 1", "a number as score")),
        (_line("q0 Q0 d1 1 1 x\nq0 Q0 d1 2 0 x\n"), ("'d1' twice for the query 'q0'",)),
        (_line("x Q0 d1 1 1 x\n"), ("none of the 1 queries", "'x'", "'q0'")),
        (_line("\n\n"), ("no line with content",)),
    ],
)
def test_bad_input(
    command: Command, index: Path, make: Callable[[Path], tuple[str, ...]], words: tuple[str]
) -> None:
    """One sentence says what came and what to do; nothing is written."""
    command(*make(index), "--metric", "recall@1").refused(*words)


def test_queries_that_are_documents_are_told(command: Command, index: Path) -> None:
    """The same id with the same vector: each finds itself."""
    documents = np.load(index / "d.npy")
    np.save(index / "q.npy", documents[:12])
    (index / "q.txt").write_text("\n".join(f"{row:03d}" for row in range(12)))
    (index / "qrels.txt").write_text("001 0 005 1\n")
    assert "12 queries are documents, by id and by vector" in command(*VECTORS, "--metric", "mrr").err


def test_forms_of_embeddings_with_labels(
    command: Command, embeddings: tuple[Path, Path], tmp_path: Path
) -> None:
    """Labels go with every form of vectors, and the figures are the same."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    x, y = embeddings
    points = np.load(x)
    parquet.write_table(arrow.table({"v": list(points)}), tmp_path / "x.parquet")
    values = [
        command("evaluate", "--embeddings", path, "--labels", y, "--metric", "map", "--json").json["value"]
        for path in (x, tmp_path / "x.parquet")
    ]
    assert values[0] == values[1]
    text = command("evaluate", "--embeddings", tmp_path / "x.parquet", "--labels", y, "--metric", "map").out
    assert "column v of lists" in text

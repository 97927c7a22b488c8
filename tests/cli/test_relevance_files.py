"""Judgements from every form of file, joined to rows; each bad one is refused in one sentence."""

import warnings
from pathlib import Path

import pytest

from metricgrad._qrels import Qrels
from metricgrad.cli.judgements import Side, joined
from metricgrad.cli.relevance_files import read_relevance
from metricgrad.errors import InputError

QUERIES, DOCUMENTS = ["q1", "007", "q3"], ["d1", "d2", "7", "\u00e9 4"]

BEIR = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n007\t7\t1\n"
TREC = "q1 0 d1 2\nq1 0 d2 -1\n007 0 7 1\n"
LINES = '{"query": "q1", "pos": ["d1"], "neg": ["d2"]}\n{"query": "007", "pos": ["7"]}\n'
PASSAGES = """{"query": "q1", "relevant_passages": ["d1"], "hard_negatives": ["d2"]}
{"query": "007", "relevant_passages": [7]}
"""
WHOLE = '{"queries": {"q1": "x"}, "corpus": {},\n "relevant_docs": {"q1": {"d1": 2, "d2": 0}, "007": ["7"]}}'


def sides(**texts: list[str]) -> tuple[Side, Side]:
    """What the rows are called."""
    return (
        Side("query", "q.npy", QUERIES, texts.get("queries"), "Say --query-ids."),
        Side("document", "d.npy", DOCUMENTS, texts.get("documents"), "Say --corpus-ids."),
    )


def dense(path: Path, **texts: list[str]) -> list[list[float]]:
    """Gains of all pairs."""
    qrels = joined(read_relevance(path), *sides(**texts))
    return qrels.dense(list(range(qrels.queries)), list(range(qrels.items))).tolist()


@pytest.mark.parametrize(
    ("name", "text", "form", "grade"),
    [
        ("test.tsv", BEIR, "BEIR (query-id, corpus-id, score)", 2),
        ("test.csv", BEIR.replace("\t", ","), "BEIR (query-id, corpus-id, score)", 2),
        ("qrels.txt", TREC, "TREC (qid 0 docid rel)", 2),
        ("x.jsonl", LINES, "JSON (query, pos, neg)", 1),
        ("x.jsonl", PASSAGES, "relevant_passages", 1),
        ("x.json", WHOLE, "JSON (queries, corpus, relevant_docs)", 2),
        (
            "x.csv",
            "anchor,positive,negative_1\nq1,d1,d2\n007,7,\n",
            "table (anchor, positive, negative_1)",
            1,
        ),
        ("x.tsv", "id_1\tid_2\tlabel\nq1\td1\t1\nq1\td2\t0\n007\t7\t1\n", "table (id_1, id_2, label)", 1),
    ],
)
def test_every_form(tmp_path: Path, name: str, text: str, form: str, grade: int) -> None:
    """The form is told, grades and judged documents without relevance are kept, 007 is not 7."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    judged = read_relevance(tmp_path / name)
    assert form in judged.words
    assert dense(tmp_path / name) == [[grade, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    qrels = joined(judged, *sides())
    assert isinstance(qrels, Qrels) and len(qrels.documents) == 3


def test_parquet_and_folders(tmp_path: Path) -> None:
    """A BEIR folder holds its table in qrels; numbers are ids, too."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(
        arrow.table({"query-id": ["q1", "007"], "corpus-id": [7, 7], "score": [1, 2]}), tmp_path / "q.parquet"
    )
    assert dense(tmp_path / "q.parquet") == [[0, 0, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]
    with pytest.raises(InputError, match=r"holds no \.tsv file"):
        read_relevance(tmp_path)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(BEIR, encoding="utf-8")
    assert dense(tmp_path)[0] == [2, 0, 0, 0]
    (tmp_path / "qrels" / "dev.tsv").write_text(BEIR, encoding="utf-8")
    with pytest.raises(InputError, match=r"holds dev.tsv, test.tsv.*--qrels .*test.tsv"):
        read_relevance(tmp_path)


def test_exact_texts(tmp_path: Path) -> None:
    """Texts are looked up where no id fits, in one Unicode form, in all rows that have them."""
    (tmp_path / "x.jsonl").write_text(
        '{"query": "a question", "pos": [" cafe\u0301 ", "d1"]}', encoding="utf-8"
    )
    texts = {"queries": ["a question", "b", "a question"], "documents": ["x", "caf\u00e9", "y", "z"]}
    assert dense(tmp_path / "x.jsonl", **texts) == [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]]


def test_unknown_ids_are_counted(tmp_path: Path) -> None:
    """Some are left out with a note that counts them; judgements of one query do not change."""
    (tmp_path / "q.txt").write_text(TREC + "q9 0 d1 1\nq8 0 d1 1\nq1 0 d9 1\n", encoding="utf-8")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert dense(tmp_path / "q.txt")[0] == [2, 0, 0, 0]
    said = [str(one.message) for one in heard]
    assert "2 of 4 judged queries have no vector in q.npy ('q9', 'q8')" in said[0]
    assert "1 of 4 judged documents have no vector in d.npy ('d9')" in said[1] and "trec_eval" in said[1]


def test_a_query_relevant_to_everything(tmp_path: Path) -> None:
    """It is told of one query, and refused of all."""
    (tmp_path / "q.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"q1\t{name}\t1\n" for name in DOCUMENTS), encoding="utf-8"
    )
    with pytest.raises(InputError, match="every document is relevant to each of its 1 queries"):
        dense(tmp_path / "q.tsv")
    with (tmp_path / "q.tsv").open("a", encoding="utf-8") as file:
        file.write("007\t7\t1\n")
    with pytest.warns(UserWarning, match=r"every document is relevant to 1 queries \('q1'\)"):
        dense(tmp_path / "q.tsv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query-id\tcorpus-id\tscore\n", "holds no judgement"),
        ("", "is empty"),
        ("q1 0 d1 0\n", "no document is relevant"),
        (
            "q8 0 d1 1\nq9 0 d1 1\n",
            r"none of its 2 queries \('q8', 'q9'\) is known; .*q.npy \('q1', .*--query-ids",
        ),
        ("q1 0 d8 1\n", "none of its 1 documents .*--corpus-ids"),
        ("q1 0 d1 1\nq1 0 d1 1\nq1 0 d1 2\n", "query 'q1' and the document 'd1' have the grades 1 and 2"),
        ("q1 0 d1 1\nq1 0 d2\n", "line 2 is 'q1 0 d2'; expected qid 0 docid rel"),
        ("q1 Q0 d1 1 0.5 me\n", "is a TREC run"),
        ("q1\td1\t1\n", "begins with .*expected judgements: a BEIR table"),
        ("query-id\tcorpus-id\tscore\nq1\td1\tyes\n", "row 1: score is 'yes'; expected a number"),
        ("query-id\tcorpus-id\tscore\n\td1\t1\n", "the id of row 0 .* is empty"),
        ('{"query": "q1"}\n', "has the keys 'query'; expected query, pos and neg"),
        ('{"query": "q1", "pos": [1.5]}\n', "holds 1.5; expected ids or texts"),
        ('{"query": "q1", "pos": ["d1"]}\n{"query": \n', "line 2 is no JSON"),
        ('{"relevant_docs": ["d1"]}\n', "relevant_docs is .*; expected the documents by query"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    """One sentence says what came, and where."""
    (tmp_path / "q.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        dense(tmp_path / "q.txt")

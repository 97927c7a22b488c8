"""`metricgrad adapt` with files that do not fit: one sentence, exit code 2, no run folder; what can be used is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapting.small_vectors import pairs, vectors
from tests.cli.adapt_files import LABELS, PAIRS, write_labels, write_pairs
from tests.cli.outcome import Command

X, Y = vectors()
HEADER = "query-id\tcorpus-id\tscore\n"
FILES = ("--fit-ids", "f.txt", "--select-ids", "s.txt", "--test-ids", "t.txt")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The files of both kinds."""
    write_labels(tmp_path)
    write_pairs(tmp_path)
    return tmp_path


def labels_of(*values: object) -> Callable[[Path], Any]:
    """Write other labels."""
    return lambda folder: (folder / "y.csv").write_text("".join(f"{one}\n" for one in values))


def vectors_of(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], Any]:
    """Write changed vectors."""
    return lambda folder: np.save(folder / name, change(np.load(folder / name)))


def text_of(name: str, text: str) -> Callable[[Path], Any]:
    """Write a text."""
    return lambda folder: (folder / name).write_text(text)


def qrels_of(*judged: tuple[int, int, int]) -> Callable[[Path], Any]:
    """Write other judgements."""
    lines = [f"q{query:03d}\td{document:03d}\t{grade}\n" for query, document, grade in judged]
    return text_of("qrels.tsv", HEADER + "".join(lines))


def parts_of(fit: list[object], select: list[object], test: list[object]) -> Callable[[Path], Any]:
    """Write the ids of the parts."""

    def write(folder: Path) -> None:
        for name, ids in (("f", fit), ("s", select), ("t", test)):
            (folder / f"{name}.txt").write_text("".join(f"{one}\n" for one in ids))

    return write


def nothing(folder: Path) -> None:
    """Change nothing."""


def broken(x: np.ndarray) -> np.ndarray:
    """Two rows that are no vectors."""
    x[4, 1], x[9] = np.nan, np.inf
    return x


def _twice(folder: Path) -> None:
    ids = (folder / "d.txt").read_text().replace("d007", "d000")
    (folder / "d.txt").write_text(ids)


def _objects(folder: Path) -> None:
    np.save(folder / "x.npy", np.array([{}] * 720, dtype=object), allow_pickle=True)


def _perfect(folder: Path) -> None:
    np.save(folder / "q.npy", pairs()[1])
    qrels_of(*((row, row, 1) for row in range(150)))(folder)


def _headed(folder: Path) -> None:
    """Labels and groups whose first line is a name that may be a label as well."""
    labels_of("section", *(f"c{one}" for one in Y))(folder)
    text_of("g.csv", "source\n" + "".join(f"s{row // 2}\n" for row in range(720)))(folder)


def _floats(folder: Path) -> None:
    np.save(folder / "y.npy", Y + 0.5)


@pytest.mark.parametrize(
    ("prepare", "arguments", "words"),
    [
        (labels_of(*Y[:-1]), LABELS, ("holds 719 labels, but there are 720 embeddings",)),
        (labels_of(*(Y + 0.5)), LABELS, ("'0.5' as a label", "whole numbers or texts")),
        (_floats, (*LABELS[:-1], "y.npy"), ("y.npy[0] is 0.5", "round or number them first")),
        (
            nothing,
            (*LABELS[:-1], "x.npy"),
            ("x.npy are (720, 24) of float32", "one whole number or string per item"),
        ),
        (labels_of(*["a"] * 720), LABELS, ("all 720 labels are of one class",)),
        (labels_of(*(Y % 2)), LABELS, ("there are 2 classes to be parted", "--split query")),
        (labels_of(*(Y % 6)), LABELS, ("6 classes leave 1 for select", "--split query")),
        (labels_of(*range(720)), LABELS, ("0 classes of fit have two items",)),
        (nothing, (*LABELS[:-1], "no.csv"), ("there is no file no.csv",)),
        (
            vectors_of("x.npy", lambda x: x[:, 0]),
            LABELS,
            ("x.npy holds (720,) of float32", "one row per item"),
        ),
        (
            vectors_of("x.npy", lambda x: x.astype(int)),
            LABELS,
            ("(720, 24) of int64", "float16, float32 or float64"),
        ),
        (vectors_of("x.npy", broken), LABELS, ("NaN or infinite values in 2 of 720 rows (rows 4, 9)",)),
        (_objects, LABELS, ("pickled objects, which are never loaded",)),
        (
            nothing,
            (*LABELS, "--metric", "f1"),
            ("f1 is no metric of ranked items", "recall@1, map@r or ndcg@10"),
        ),
        (nothing, (*LABELS, "--metric", "recal@1"), ("no such metric", "recall@k")),
        (nothing, (*LABELS, "--split", "both"), ("split is 'both'", "'class' or 'query'")),
        (nothing, (*LABELS, "--method", "surrogate:nothing"), ("there is no loss 'nothing'",)),
        (text_of("g.csv", "a\nb\na\n"), (*LABELS, "--groups", "g.csv"), ("g.csv holds 3 labels", "720")),
        (
            parts_of(list(range(300)), list(range(300, 500)), list(range(499, 720))),
            (*LABELS, *FILES),
            ("'499' is in s.txt and in t.txt",),
        ),
        (parts_of(["a"], [1], [2]), (*LABELS, *FILES), ("f.txt: 1 of 1 ids have no vector in x.npy", "'a'")),
        (parts_of([1, 2], [3], []), (*LABELS, *FILES), ("t.txt is empty",)),
        (parts_of([1, 2], [3], [4]), (*LABELS, *FILES[:4]), ("together, or none of them",)),
        (
            nothing,
            (*PAIRS[:3], "--corpus", "q.npy", *PAIRS[5:]),
            ("as --queries and as --corpus", "expected two files"),
        ),
        (nothing, (*PAIRS[:-1], "q.npy"), ("q.npy cannot be read",)),
        (
            text_of("q.txt", "".join(f"z{row}\n" for row in range(150))),
            PAIRS,
            ("none of its 150 queries", "--query-ids"),
        ),
        (
            text_of("d.txt", "".join(f"z{row}\n" for row in range(150))),
            PAIRS,
            ("none of its 150 documents", "--corpus-ids"),
        ),
        (text_of("q.txt", "a\n"), PAIRS, ("q.txt holds 1 ids, but q.npy 150 vectors",)),
        (_twice, PAIRS, ("the id 'd000' stands in rows 0 and 7",)),
        (text_of("qrels.tsv", ""), PAIRS, ("qrels.tsv is empty",)),
        (text_of("qrels.tsv", HEADER), PAIRS, ("qrels.tsv holds no judgement",)),
        (qrels_of((1, 1, 0)), PAIRS, ("no document is relevant to a query",)),
        (qrels_of((1, 1, 1), (1, 1, 2)), PAIRS, ("have the grades 1 and 2",)),
        (qrels_of((1, 1, 1), (2, 2, 1)), PAIRS, ("there are 2 queries", "fit, select and test")),
        (
            qrels_of(*((query, document, 1) for query in range(3) for document in range(150))),
            PAIRS,
            ("every document is relevant to each of its 3 queries",),
        ),
        (
            qrels_of(*((query, document, 1) for query in range(1, 150) for document in {0, query})),
            (*PAIRS, "--split", "both"),
            ("100% of the queries hang together", "document"),
        ),
        (
            vectors_of("q.npy", lambda x: x[:, :9]),
            PAIRS,
            ("9 dimensions", "12; expected vectors of one model"),
        ),
        (
            vectors_of("d.npy", broken),
            PAIRS,
            ("d.npy has NaN or infinite values in 2 of 150 rows (rows 4, 9)",),
        ),
        (nothing, (*PAIRS, "--side", "document"), ("--side is 'document'", "both or query")),
        (nothing, (*LABELS, "--side", "query"), ("--side came with --embeddings",)),
        (nothing, (*PAIRS, "--labels", "y.csv"), ("files of both kinds came",)),
        (nothing, PAIRS[:5], ("without --qrels",)),
        (nothing, ("adapt",), ("no file came", "--embeddings and --labels")),
    ],
)
def test_refused(
    command: Command,
    files: Path,
    prepare: Callable[[Path], None],
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    """Nothing is left behind."""
    prepare(files)
    command(*arguments).refused(*words)
    assert not (files / "runs").exists()


ALSO_TOLD = [
    (vectors_of("x.npy", np.asfortranarray), LABELS, "720 x 24, float32 .npy"),
    (
        vectors_of("x.npy", lambda x: x * (np.arange(720) % 360 > 0)[:, None]),
        LABELS,
        "all zeros (rows 0, 360)",
    ),
    (labels_of(*(Y % 30)), LABELS, "18 classes of fit are fewer than 50"),
    (_headed, (*LABELS, "--groups", "g.csv", "--header"), "question: new groups"),
    (
        text_of("g.csv", "source\n" + "".join(f"s{row // 2}\n" for row in range(150))),
        (*PAIRS, "--groups", "g.csv", "--header"),
        "question: new groups",
    ),
    (
        qrels_of(*((row, row % 5, 1) for row in range(150))),
        PAIRS,
        "question: new queries over known documents",
    ),
    (
        qrels_of(*((row, row, 1) for row in range(149)), *((149, row, 1) for row in range(150))),
        (*PAIRS, "--split", "query"),
        "every document is relevant to 1 queries ('q149')",
    ),
    (
        parts_of(list(range(300)), list(range(300, 498)), list(range(498, 720))),
        (*LABELS, *FILES),
        "question: the parts that were given; of test, none of the 37 classes is in fit, too",
    ),
    (
        parts_of(*([f"q{row:03d}" for row in rows] for rows in (range(90), range(90, 121), range(121, 150)))),
        (*PAIRS, *FILES),
        "of test, none of the 29 documents that are relevant there is in fit, too",
    ),
    (
        parts_of(*([f"q{row:03d}" for row in range(first, 150, 3)] for first in range(3))),
        (*PAIRS, *FILES),
        "documents that are relevant there are in fit, too",
    ),
]


@pytest.mark.parametrize(
    ("prepare", "arguments", "words"),
    [
        (vectors_of("x.npy", lambda x: x.astype(np.float16)), LABELS, "720 x 24, float16 .npy"),
        (qrels_of(*((row, row, 1) for row in range(60))), PAIRS, "36 queries of fit are fewer than 50"),
        (_perfect, PAIRS, "Nothing to gain"),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ALSO_TOLD),
    ],
)
def test_told(
    command: Command, files: Path, prepare: Callable[[Path], None], arguments: tuple[str, ...], words: str
) -> None:
    """What can be used is used, and the text says what is the matter with it."""
    prepare(files)
    found = command(*arguments, "--method", "none", "--quiet")
    assert found.code == 0, found.err
    assert words in found.out, found.out

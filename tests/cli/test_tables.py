"""Tables of predictions: each metric takes the column that it reads, as classes, scores, values or texts."""

import os
import threading
import unicodedata
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import metrics as scikit

from metricgrad.cli.columns import Predictions
from metricgrad.cli.reading import read_predictions
from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from tests.cli.outcome import Command


def value(path: Path, metric: str, positive_class: str | None = None) -> float:
    """The figure of a file."""
    exact = adapt(metric)
    found = Predictions(read_predictions(path), positive_class).of(exact)
    return exact.summarise(exact.measure(found.outputs, found.targets))


def table(folder: Path, text: str, name: str = "t.csv") -> Path:
    """A file of a text; spaces part lines, for short tests."""
    path = folder / name
    path.write_text(text.replace(" ", "\n") + "\n", encoding="utf-8")
    return path


# ---------------------------------------------------------------------------------------------- spellings of classes

ONE_CLASS = {
    "whole floats": "target,prediction 1,1.0 0,0.0 1,0.00",
    "texts in Parquet's place": 'target,prediction "1",1 "0",0 1,"0"',
    "negative": "target,prediction -1,-1.0 7,7.0 7,-1",
    "forms": "target,prediction caf\u00e9,cafe\u0301 tea,tea tea,caf\u00e9",
    "case of pairs": "target,prediction Yes,Yes No,No Yes,No",
}


@pytest.mark.parametrize("text", ONE_CLASS.values(), ids=ONE_CLASS)
@pytest.mark.filterwarnings("ignore:.*Unicode")
def test_spellings_of_one_class(tmp_path: Path, text: str) -> None:
    """Two of three samples are right, however numbers and letters are written."""
    assert value(table(tmp_path, text), "accuracy") == pytest.approx(2 / 3)


LOOK_ALIKE = {
    "bool and number": "target,prediction True,1 False,0",
    "zeros": "target,prediction 007,7 008,8",
    "case": "target,prediction Yes,yes No,no",
    "sign": "target,prediction +1,1 -1,-1",
    "width": "target,prediction \uff11,1 0,0",
    "power": "target,prediction 1e1,10 2,2",
    "partly": "target,prediction a,a B,b",
}


@pytest.mark.parametrize("text", LOOK_ALIKE.values(), ids=LOOK_ALIKE)
def test_look_alikes_are_refused(command: Command, tmp_path: Path, text: str) -> None:
    """Two columns that spell a class in two ways would never agree: it is asked, and no figure is given."""
    command("evaluate", table(tmp_path, text), "--metric", "accuracy").refused("look like one class")


def test_spellings_that_are_classes_of_their_own(tmp_path: Path) -> None:
    """What both columns know stays apart; scores among the predictions are refused; other classes are told."""
    assert value(table(tmp_path, "target,prediction 007,007 7,7 7,007"), "accuracy") == pytest.approx(2 / 3)
    assert value(table(tmp_path, f"target,prediction {2**53},{2**53 + 1} 5,5"), "accuracy") == 0.5
    with pytest.raises(InputError, match="a column named score"):
        value(table(tmp_path, "target,prediction 1,0.9 0,0.25"), "accuracy")
    with pytest.warns(UserWarning, match="no prediction occurs among the targets"):
        assert value(table(tmp_path, "target,prediction a,c b,d"), "accuracy") == 0


@pytest.mark.parametrize("missing", ["NaN", "NA", "None", "null", "<NA>", "", "NaT"])
@pytest.mark.parametrize("column", ["target", "prediction"])
def test_missing_classes(command: Command, tmp_path: Path, missing: str, column: str) -> None:
    """They are refused with the row, in CSV and in Parquet."""
    cells = {"target": ["1", "0", "1"], "prediction": ["1", "0", "1"]}
    cells[column][1] = missing
    rows = " ".join(f"{one},{two}" for one, two in zip(*cells.values(), strict=True))
    for metric in ("accuracy", "macro_f1", "sklearn.metrics:accuracy_score"):
        command("evaluate", table(tmp_path, f"target,prediction {rows}"), "--metric", metric).refused(
            f"row 2: {column}"
        )
    frame = pandas.DataFrame(cells)
    frame.loc[1, column] = None
    frame.to_parquet(tmp_path / "t.parquet")
    command("evaluate", tmp_path / "t.parquet", "--metric", "accuracy").refused(f"row 2: {column}")


PARQUET = {
    "integers": ([1, 0, 1], [1, 0, 0]), "mixed types": ([1, 0, 1], [1.0, 0.0, 0.0]),
    "text and number": (["1", "0", "1"], [1, 0, 0]),
    "bool and number": ([True, False, True], [1, 0, 0]), "bool and text": ([True, False, True], ["1", "0", "0"]),
    "bytes and text": ([b"cat", b"dog", b"cat"], ["cat", "dog", "dog"]),
    "decimals": ([Decimal("1"), Decimal("0"), Decimal("1")], [1, 0, 0]),
    "categories": (pandas.Categorical(["cat", "dog", "cat"]), ["cat", "dog", "dog"]),
    "dates and text": (
        pandas.to_datetime(["2024-01-02", "2024-01-03", "2024-01-02"]).date,
        ["2024-01-02", "2024-01-03", "2024-01-03"],
    ),
    "large": ([2**62 + 1, 2**62 + 2, 2**62 + 1], [2**62 + 1, 2**62 + 2, 2**62 + 2]),
    "nullable": (pandas.array([1, 0, 1], dtype="Int64"), [1, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize(("target", "prediction"), PARQUET.values(), ids=PARQUET)
def test_types_of_parquet(tmp_path: Path, target, prediction) -> None:
    """The columns may be of two types: values that are equal are one class."""
    pandas.DataFrame({"target": target, "prediction": prediction}).to_parquet(tmp_path / "t.parquet")
    assert value(tmp_path / "t.parquet", "accuracy") == pytest.approx(2 / 3)


def test_columns_that_parquet_cannot_give(command: Command, tmp_path: Path) -> None:
    """Lists, and bytes that are no text, end in one sentence; in other columns they are nothing."""
    good = {"target": [1, 0], "prediction": [1, 1]}
    for name, cells in {"target": [[1], [0]], "prediction": [b"\xff", b"\xfe"]}.items():
        pandas.DataFrame(good | {name: cells}).to_parquet(tmp_path / "t.parquet")
        command("evaluate", tmp_path / "t.parquet", "--metric", "accuracy").refused(
            f"column {name}", "Parquet"
        )
    pandas.DataFrame(good | {"other": [[1], b"\xff"][:1] * 2}).to_parquet(tmp_path / "t.parquet")
    assert value(tmp_path / "t.parquet", "accuracy") == 0.5


# ----------------------------------------------------------------------------------------------------- what is read


def test_score_and_prediction_column(tmp_path: Path) -> None:
    """Ours and theirs take the column that they read."""
    path = table(tmp_path, "target,prediction,score 1,0,0.9 0,1,0.2 1,1,0.6 0,0,0.1 1,1,0.15")
    for ours, theirs in (
        ("roc_auc", "roc_auc_score"), ("binary_average_precision", "average_precision_score"),
        ("accuracy", "accuracy_score"), ("f1", "f1_score"),
    ):  # fmt: skip
        assert value(path, ours) == pytest.approx(value(path, f"sklearn.metrics:{theirs}"), abs=1e-12)
    frame = pandas.read_csv(path)
    assert value(path, "sklearn.metrics:log_loss") == pytest.approx(
        scikit.log_loss(frame.target, frame.score)
    )
    assert value(path, "sklearn.metrics:mean_squared_error") == pytest.approx(0.4)


VALUES = "target,prediction 10,12 -2.5,-2 1e1,9.5 .5,1."


def test_values_stay_values(command: Command, tmp_path: Path) -> None:
    """Numbers of regression are compared as they stand, texts too, for scikit-learn and for functions of one's own."""
    path = table(tmp_path, VALUES)
    frame = pandas.read_csv(path)
    for name in ("mean_absolute_error", "r2_score", "median_absolute_error"):
        wanted = getattr(scikit, name)(frame.target, frame.prediction)
        assert value(path, f"sklearn.metrics:{name}") == pytest.approx(wanted, abs=1e-12)
    texts = table(tmp_path, "target,prediction kitten,sitting flaw,law same,", "w.csv")
    assert value(texts, "cer") == pytest.approx(8 / 14)
    assert value(texts, "edit_distance") == pytest.approx(8 / 3)
    (tmp_path / "own_values_of_a_test.py").write_text(
        "def largest(outputs, targets):\n    return float((outputs - targets).abs().max())\n"
        "def longest(outputs, targets):\n    return max(map(len, [*outputs, *targets]))\n",
        encoding="utf-8",
    )
    given = ("--lower-is-better", "--json", "--metric")
    assert command("evaluate", path, *given, "own_values_of_a_test:largest").json["value"] == 2.0
    words = table(tmp_path, "target,prediction kitten,sitting flaw,law", "v.csv")
    assert command("evaluate", words, *given, "own_values_of_a_test:longest").json["value"] == 7.0


@pytest.mark.parametrize(
    ("text", "metric", "words"),
    [
        ("target,prediction 1,x", "sklearn.metrics:r2_score", ("row 1: prediction is 'x'", "number")),
        ("target,prediction 1,1 1_0,2", "sklearn.metrics:mean_absolute_error", ("row 2: target is '1_0'",)),
        ("target,prediction 1,1 ,2", "sklearn.metrics:mean_absolute_error", ("row 2: target is ''",)),
        ("target,prediction 1,1 inf,2", "sklearn.metrics:mean_absolute_error", ("NaN or infinite",)),
        (f"target,prediction 1,1 {2**63},2", "sklearn.metrics:mean_absolute_error", ("row 2", "int64")),
        ("target,score 1,1_0 0,2", "roc_auc", ("row 1: score is '1_0'",)),
        ("target,score 1,\uff11 0,2", "roc_auc", ("row 1: score",)),
        ('target,score 1,"0,9" 0,2', "roc_auc", ("row 1: score", "decimal point")),
        ("target,prediction cat,cat", "iou", ("boxes",)),
        ("target,score cat,1", "cer", ("column prediction",)),
        ("target,prediction 1,1", "recall@1", ("--embeddings and --labels",)),
        ("target,score_1,score_1.0 1,1,1", "error_rate", ("two columns of scores",)),
    ],
)
def test_cells_that_do_not_fit(
    command: Command, tmp_path: Path, text: str, metric: str, words: tuple[str]
) -> None:
    """One sentence with the row or the column."""
    command("evaluate", table(tmp_path, text), "--metric", metric).refused(*words)


@pytest.mark.parametrize(("name", "mark"), [("semicolon", ";"), ("tab", "\t"), ("pipe", "|")])
def test_delimiters_are_seen_and_told(command: Command, tmp_path: Path, name: str, mark: str) -> None:
    """A table may be parted by another mark; the output says which."""
    path = table(tmp_path, "target,prediction 1,1 0,1 0,0 1,1".replace(",", mark))
    outcome = command("evaluate", path, "--metric", "accuracy", "--json")
    assert (outcome.json["value"], outcome.json["delimiter"]) == (0.75, name)
    assert name in command("evaluate", path, "--metric", "accuracy").out


@pytest.mark.parametrize(
    "names",
    [
        "y_true,y_pred,y_score",
        "Label,Predicted,Proba",
        "gt,pred,prob",
        "TARGET,Prediction,score",
        "y,y_hat,scores",
    ],
)
def test_usual_names_of_columns(command: Command, tmp_path: Path, names: str) -> None:
    """They are taken with a note; the figures are those of the plain names."""
    rows = " 1,0,0.9 0,1,0.2 1,1,0.6 0,0,0.1 1,1,0.15"
    plain = table(tmp_path, "target,prediction,score" + rows)
    given = ("--metric", "f1", "--metric", "roc_auc", "--resamples", "9", "--json")
    wanted = [one["value"] for one in command("evaluate", plain, *given).json]
    for mark in (",", ";"):
        path = table(tmp_path, (names + rows).replace(",", mark), "n.csv")
        outcome = command("evaluate", path, *given)
        assert [one["value"] for one in outcome.json] == wanted
        assert "is read as the target" in outcome.err


def test_columns_that_are_said(command: Command, tmp_path: Path) -> None:
    """Any name can be said; what is not there, or may be two, is refused with the option."""
    path = table(tmp_path, "y,y_true,diagnosis,prob_1 0,0,1,0.9 1,1,0,0.2 0,0,1,0.6")
    given = ("evaluate", path, "--metric", "roc_auc", "--json")
    command(*given).refused("--column target=y")
    command(*given, "--column", "target=diagnosis").refused("--column score=NAME")
    said = ("--column", "target=diagnosis", "--column", "score=prob_1")
    assert command(*given, *said).json["value"] == 1
    command(*given, "--column", "target=diagnosi").refused("--column target", "diagnosis")
    for wrong in ("diagnosis", "truth=y", "=y"):
        command(*given, "--column", wrong).refused("WHAT=NAME")
    command(*given, "--column", "target=y", "--column", "score=y").refused("a column of its own")
    command(*given, "--column", "label=y").refused("--column target")
    command(*given, "--header").refused("label files")
    single = table(tmp_path, "target,score_1 1,0.9 0,0.2", "s.csv")
    command("evaluate", single, "--metric", "roc_auc").refused("--column score=score_1")
    outcome = command("evaluate", single, "--metric", "roc_auc", "--json", "--column", "score=score_1")
    assert outcome.json["value"] == 1


def test_files_of_a_spreadsheet(command: Command, tmp_path: Path) -> None:
    """Marks of the encoding, Windows line ends, blank lines at the end, an index, decimal commas, empty columns."""
    rows = [("1", "0,9"), ("0", "0,25"), ("1", "0,75"), ("0", "-1,5e0")]
    text = "".join(f"{row};{truth};{score};;\r\n" for row, (truth, score) in enumerate(rows))
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path = tmp_path / "s.csv"
        path.write_bytes((";Target;Score;;\r\n" + text + ";;;;\r\n\r\n").encode(encoding))
        command("evaluate", path, "--metric", "roc_auc").refused("--decimal-comma")
        outcome = command("evaluate", path, "--metric", "roc_auc", "--decimal-comma", "--json")
        assert outcome.json["value"] == 1 and outcome.json["delimiter"] == "semicolon"
    path.write_bytes("target;prediction\ncaf\u00e9;caf\u00e9\n".encode("latin-1"))
    command("evaluate", path, "--metric", "accuracy").refused("UTF-8")


# ------------------------------------------------------------------------------------------------ the positive class


@pytest.mark.parametrize(
    "pair", [("0", "1"), ("False", "True"), ("-1", "1"), ("no", "yes"), ("NO", "YES"), ("false", "true")]
)
def test_pairs_that_say_it_themselves(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Scores that put the positive class first have an AUC of 1, in any order of the rows."""
    negative, positive = pair
    path = table(tmp_path, f"target,score {positive},0.9 {negative},0.2 {positive},0.8")
    assert value(path, "roc_auc") == value(path, "sklearn.metrics:average_precision_score") == 1


NAMES = (
    "target,prediction,score fraud,fraud,0.9 legit,fraud,0.7 legit,legit,0.3 fraud,legit,0.8 legit,legit,0.1"
)


@pytest.mark.parametrize(
    "metric",
    [
        "roc_auc",
        "binary_average_precision",
        "f1",
        "f_beta:beta=2",
        "sklearn.metrics:f1_score",
        "sklearn.metrics:precision_score",
        "sklearn.metrics:roc_auc_score",
    ],
)
@pytest.mark.parametrize("names", [("fraud", "legit"), ("zebra", "ant"), ("2", "1")])
def test_other_names_are_asked(command: Command, tmp_path: Path, metric: str, names: tuple[str, str]) -> None:
    """Nothing is decided by the alphabet; told, both classes give what 0 and 1 give."""
    text = NAMES.replace("fraud", names[0]).replace("legit", names[1])
    path = table(tmp_path, text)
    command("evaluate", path, "--metric", metric).refused("--positive-class", names[0], names[1])
    numbers = table(tmp_path, NAMES.replace("fraud", "1").replace("legit", "0"), "n.csv")
    assert value(path, metric, names[0]) == pytest.approx(value(numbers, metric), abs=1e-12)
    turned = table(tmp_path, NAMES.replace("fraud", "0").replace("legit", "1"), "m.csv")
    assert value(path, metric, names[1]) == pytest.approx(value(turned, metric), abs=1e-12)


def test_the_answer_does_not_hang_on_the_data(command: Command, tmp_path: Path) -> None:
    """F1 asks where predictions are perfect, too; names that would steer a terminal are spelt out."""
    path = table(tmp_path, "target,prediction ham,ham spam,spam")
    command("evaluate", path, "--metric", "f1").refused("--positive-class")
    command("evaluate", path, "--metric", "sklearn.metrics:recall_score").refused("--positive-class")
    path = table(tmp_path, "target,prediction \x1b[31mham,\x1b[31mham spam,spam")
    assert "\x1b" not in command("evaluate", path, "--metric", "f1", "--positive-class", "spam").out


def test_metrics_that_have_no_positive_class(command: Command, tmp_path: Path) -> None:
    """Accuracy, macro F and correlation need no answer; a class that is not there is refused, as is one for texts."""
    path = table(tmp_path, NAMES)
    for metric in ("accuracy", "macro_f1", "balanced_error", "sklearn.metrics:matthews_corrcoef"):
        found = command("evaluate", path, "--metric", metric, "--resamples", "20", "--json").json
        assert found["positive_class"] is None
    found = command("evaluate", path, "--metric", "f1", "--positive-class", "fraud", "--json").json
    assert found["positive_class"] == "fraud" and found["classes"] == {"legit": 0, "fraud": 1}
    command("evaluate", path, "--metric", "f1", "--positive-class", "frau").refused("'frau'", "'fraud'")
    command("evaluate", path, "--metric", "cer", "--positive-class", "fraud").refused("compares values")


def test_one_class_against_the_rest(command: Command, tmp_path: Path) -> None:
    """With more than two classes F and AUC ask too; the class that is told counts against all others."""
    path = table(
        tmp_path, "target,prediction,score cat,cat,3 dog,fish,1 fish,fish,0 cat,cat,2 dog,dog,4 fish,dog,1"
    )
    command("evaluate", path, "--metric", "f1").refused("average")
    command("evaluate", path, "--metric", "roc_auc").refused("--positive-class")
    frame = pandas.read_csv(path)
    wanted = scikit.f1_score(frame.target == "dog", frame.prediction == "dog")
    assert value(path, "f1", "dog") == pytest.approx(wanted)
    assert value(path, "roc_auc", "dog") == pytest.approx(
        scikit.roc_auc_score(frame.target == "dog", frame.score)
    )
    assert value(path, "macro_f1") == pytest.approx(
        scikit.f1_score(frame.target, frame.prediction, average="macro")
    )


def test_scores_of_each_class(tmp_path: Path) -> None:
    """Two columns of scores: which one is read follows the positive class; log loss and argmax need none."""
    path = table(tmp_path, "target,score_b,score_a a,0.1,0.9 b,0.7,0.3 a,0.6,0.4 b,0.8,0.2")
    frame = pandas.read_csv(path)
    assert value(path, "roc_auc", "a") == pytest.approx(
        scikit.roc_auc_score(frame.target == "a", frame.score_a)
    )
    assert value(path, "roc_auc", "b") == pytest.approx(
        scikit.roc_auc_score(frame.target == "b", frame.score_b)
    )
    assert value(path, "accuracy") == 0.75
    wanted = scikit.log_loss(frame.target, frame[["score_a", "score_b"]])
    assert value(path, "sklearn.metrics:log_loss") == pytest.approx(wanted)
    with pytest.raises(InputError, match="--positive-class"):
        value(path, "roc_auc")


# ------------------------------------------------------------------------------------------------------ the command


def test_several_metrics(command: Command, tmp_path: Path, embeddings: tuple[Path, Path]) -> None:
    """Each gets what it gets alone: a list of documents, one table after the other."""
    path = table(tmp_path, "target,prediction,score 1,0,0.9 0,1,0.2 1,1,0.6 0,0,0.1 1,1,0.15")
    both = command("evaluate", path, "--metric", "f1", "--metric", "roc_auc", "--json").json
    assert both == [command("evaluate", path, "--metric", name, "--json").json for name in ("f1", "roc_auc")]
    text = command("evaluate", path, "--metric", "f1", "--metric", "roc_auc").out
    assert "f1" in text and "roc_auc" in text
    given = (
        "evaluate",
        "--embeddings",
        embeddings[0],
        "--labels",
        embeddings[1],
        "--metric",
        "map",
        "--metric",
        "knn_error",
    )
    assert [one["metric"] for one in command(*given, "--json").json] == ["map", "knn_error"]
    command(*given, "--metric", "f1").refused("file of predictions")


@pytest.mark.parametrize(
    "options",
    [
        ("--metric", "recall@" + "9" * 25), ("--metric", "ndcg@" + "9" * 25), ("--metric", "hit_at_" + "9" * 5000),
        ("--metric", "recall_at_k:k=" + "9" * 400), ("--metric", "knn_error:k=1e400"),
        ("--metric", "map", "--seed", "-1"), ("--metric", "map", "--seed", "9" * 30),
        ("--metric", "map", "--resamples", "9" * 28), ("--metric", "map", "--resamples", "0"),
        ("--metric", "map", "--resamples", "-5"), ("--metric", "map", "--confidence", "nan"),
        ("--metric", "map", "--confidence", "1e400"),
    ],
)  # fmt: skip
def test_numbers_that_are_no_settings(
    command: Command, embeddings: tuple[Path, Path], options: tuple[str]
) -> None:
    """Huge, negative and undefined numbers are refused with exit code 2."""
    outcome = command("evaluate", "--embeddings", embeddings[0], "--labels", embeddings[1], *options)
    assert outcome.code == 2 and "Traceback" not in outcome.err and len(outcome.err) < 2000


def test_a_pipe_is_read_once(command: Command, tmp_path: Path, embeddings: tuple[Path, Path]) -> None:
    """Tables, labels and arrays may come through a pipe, whose size is 0; a device is refused."""

    def through(content: bytes) -> Path:
        path = tmp_path / f"pipe{len(list(tmp_path.iterdir()))}"
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=(content,), daemon=True).start()
        return path

    content = b"target,prediction\n1,1\n0,1\n"
    assert command("evaluate", through(content), "--metric", "accuracy", "--json").json["value"] == 0.5
    command("evaluate", through(b""), "--metric", "accuracy").refused("is empty")
    command("evaluate", "/dev/zero", "--metric", "accuracy").refused("is a device")
    given = [
        item
        for name, path in zip(("--embeddings", "--labels"), embeddings, strict=True)
        for item in (name, path)
    ]
    piped = [
        "--embeddings",
        through(embeddings[0].read_bytes()),
        "--labels",
        through(embeddings[1].read_bytes()),
    ]
    one, other = (command("evaluate", *which, "--metric", "map", "--json").json for which in (given, piped))
    assert one == other


# --------------------------------------------------------------------------------- random tables, against data frames

SPELT = st.sampled_from(
    [
        "0",
        "1",
        "1.0",
        "01",
        "+1",
        "1_0",
        "10",
        "-1",
        "true",
        "True",
        "\uff11",
        "cat",
        "Cat",
        "NA",
        "",
        "e\u0301",
        "\u00e9",
    ]
)
ROWS = st.lists(st.tuples(SPELT, SPELT), min_size=1, max_size=7)


def loose(text: str) -> str:
    """Independent of the reader: what two spellings of one class have in common."""
    text = unicodedata.normalize("NFKC", text).casefold()
    try:
        return repr(float({"true": "1", "false": "0"}.get(text, text).replace("_", "x")))
    except ValueError:
        return text


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
@pytest.mark.filterwarnings(
    "ignore:.*Unicode", "ignore:.*no prediction occurs", "ignore::sklearn.exceptions.UndefinedMetricWarning"
)
def test_random_tables(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    """Accuracy and macro F are scikit-learn's on the texts of a data frame, or it is refused for a reason."""
    path = tmp_path / "t.csv"
    path.write_text("target,prediction\n" + "".join(f"{one},{two}\n" for one, two in rows), encoding="utf-8")
    frame = pandas.read_csv(path, dtype=str, skip_blank_lines=False).map(
        lambda text: unicodedata.normalize("NFC", text) if isinstance(text, str) else text
    )
    if rows[-1] == ("", ""):
        return  # lines at the end without content are no rows
    if frame.isna().any(axis=None):
        with pytest.raises(InputError, match=r"row \d+: (target|prediction)"):
            value(path, "accuracy")
        return
    if frame.isin(["0", "1", "1.0", "10", "-1"]).all(axis=None):
        frame = frame.map(float).astype(int).astype(str)
    mine, theirs = set(frame.target) - set(frame.prediction), set(frame.prediction) - set(frame.target)
    if {loose(text) for text in mine} & {loose(text) for text in theirs}:
        with pytest.raises(InputError, match="look like one class"):
            value(path, "accuracy")
        return
    assert value(path, "accuracy") == pytest.approx(scikit.accuracy_score(frame.target, frame.prediction))
    wanted = scikit.f1_score(frame.target, frame.prediction, average="macro")
    assert value(path, "macro_f1") == pytest.approx(wanted)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.booleans(), st.floats(-9, 9, width=16)), min_size=2, max_size=9),
    st.sampled_from([("0", "1"), ("no", "yes"), ("legit", "fraud"), ("b", "a")]),
    st.sampled_from(",;\t|"),
)
def test_random_scores(
    tmp_path: Path, rows: list[tuple[bool, float]], names: tuple[str, str], mark: str
) -> None:
    """AUC and average precision are scikit-learn's, whatever the classes are called and the cells are parted by."""
    path = tmp_path / "t.csv"
    cells = [("target", "score"), *((names[truth], repr(score)) for truth, score in rows)]
    path.write_text("".join(mark.join(row) + "\n" for row in cells), encoding="utf-8")
    truth, score = np.array(rows, dtype=float).T
    if 0 < truth.sum() < len(truth):
        assert value(path, "roc_auc", names[1]) == pytest.approx(scikit.roc_auc_score(truth, score))
        wanted = scikit.average_precision_score(truth, score)
        assert value(path, "binary_average_precision", names[1]) == pytest.approx(wanted)


def test_values_of_a_large_table_keep_their_digits(tmp_path: Path) -> None:
    """Whole numbers of 64 bits and floats of 17 digits reach the metric as they are."""
    numbers = [2**62 + 1, -(2**63), 2**63 - 1]
    path = table(tmp_path, "target,prediction " + " ".join(f"{one},{one}" for one in numbers))
    found = Predictions(read_predictions(path)).of(adapt("sklearn.metrics:mean_absolute_error"))
    assert found.outputs.tolist() == numbers and found.outputs.dtype == torch.int64
    floats = np.random.default_rng(0).normal(size=5).tolist()
    path = table(tmp_path, "target,prediction " + " ".join(f"{one!r},{one!r}" for one in floats))
    assert (
        Predictions(read_predictions(path)).of(adapt("sklearn.metrics:r2_score")).targets.tolist() == floats
    )


def test_functions_that_do_not_say_what_they_read(command: Command, tmp_path: Path) -> None:
    """Of two columns the prediction is taken, which is told; names of parameters say it; texts compare as arrays."""
    (tmp_path / "own_readings_of_a_test.py").write_text(
        "def mean(outputs, targets):\n    return float(sum(outputs) / len(outputs))\n"
        "def high(y_true, y_score):\n    return float(y_score.mean())\n"
        "def same(y_true, y_pred):\n    return float((y_true == y_pred).mean())\n",
        encoding="utf-8",
    )
    path = table(tmp_path, "target,prediction,score 1,1,0.75 0,1,0.25")
    given = ("--higher-is-better", "--json", "--metric")
    outcome = command("evaluate", path, *given, "own_readings_of_a_test:mean")
    assert outcome.json["value"] == 1.0 and "gets the column prediction" in outcome.err
    assert command("evaluate", path, *given, "own_readings_of_a_test:high").json["value"] == 0.5
    names = table(tmp_path, "target,prediction cat,cat cat,dog", "n.csv")
    assert command("evaluate", names, *given, "own_readings_of_a_test:same").json["value"] == 0.5


def test_queries_of_one_class_share_their_fate(command: Command, embeddings: tuple[Path, Path]) -> None:
    """The interval of a retrieval metric draws classes; that of a table draws samples."""
    given = ("evaluate", "--embeddings", embeddings[0], "--labels", embeddings[1], "--metric", "recall@1")
    assert command(*given, "--json").json["groups"] == 10
    assert "over 10 classes" in command(*given).out

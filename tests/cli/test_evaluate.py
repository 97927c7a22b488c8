"""`evaluate`: the figure, its interval, what is undefined, and what the name means, from every kind of file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from metricgrad.metrics import adapt, f_beta
from tests.cli.outcome import Command

Files = tuple[Path, Path]


def test_equals_the_library(command: Command, embeddings: Files) -> None:
    """The command gives what the metric gives, within its interval, and says which recall@1 it is."""
    x, y = embeddings
    found = command("evaluate", "--embeddings", x, "--labels", y, "--metric", "recall@1", "--json").json
    metric = adapt("recall@1")
    statistics = metric.measure(torch.from_numpy(np.load(x)), torch.arange(40) % 10)
    assert found["value"] == pytest.approx(metric.summarise(statistics), abs=1e-12)
    assert found["low"] < found["value"] < found["high"]
    assert "any relevant item at rank 1" in found["means"]
    assert (found["units"], found["unit"], found["undefined"]) == (40, "query", 0)


def test_text_has_all_that_json_has(command: Command, embeddings: Files) -> None:
    """The table shows the value, the interval, the number of queries and the meaning."""
    x, y = embeddings
    arguments = ("evaluate", "--embeddings", x, "--labels", y, "--metric", "recall@1")
    found, text = command(*arguments, "--json").json, command(*arguments).out
    for key in ("value", "low", "high"):
        assert f"{found[key]:.4f}" in text
    assert "queries" in text and "higher is better" in text and "any relevant item at rank 1" in text


@pytest.mark.parametrize(
    "form", ["header", "two columns", "names", "npy", "npy names", "float npy", "windows"]
)
def test_forms_of_labels(command: Command, embeddings: Files, tmp_path: Path, form: str) -> None:
    """A header, further columns, names, arrays and Windows line ends are the same labels."""
    x, y = embeddings
    arguments = ("evaluate", "--embeddings", x, "--metric", "map", "--json", "--labels")
    expected = command(*arguments, y).json["value"]
    labels, other = np.arange(40) % 10, tmp_path / ("z.npy" if "npy" in form else "z.csv")
    if form == "header":
        other.write_text("whatever\n" + y.read_text(encoding="utf-8"), encoding="utf-8")
    elif form == "two columns":
        other.write_text("id,label\n" + "".join(f"{i},{v}\n" for i, v in enumerate(labels)), encoding="utf-8")
    elif form == "names":
        other.write_text("".join(f"class {v}\n" for v in labels), encoding="utf-8")
    elif form == "windows":
        other.write_bytes(b"\xef\xbb\xbf" + "".join(f"{v}\r\n" for v in labels).encode() + b"\r\n")
    else:
        arrays = {"npy": labels, "npy names": labels.astype(str), "float npy": labels.astype(float)}
        np.save(other, arrays[form])
    assert command(*arguments, other).json["value"] == expected


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("recall@1:ties=average", 1 / 3),
        ("mrr:ties=average", 11 / 18),
        ("map:ties=average", 11 / 18),
        ("recall@1", 0),
        ("recall@1:ties=optimistic", 1),
        ("recall@2:ties=mid", 1),
    ],
)
@pytest.mark.parametrize("kind", [np.int8, np.float16, np.float64])
def test_the_rule_for_equals_is_a_setting(
    command: Command, tmp_path: Path, metric: str, value: float, kind: type
) -> None:
    """Of equal embeddings the one relevant item is at each of the three ranks in a third of all orders."""
    x, y = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(x, np.full((4, 3), 5, kind))
    np.save(y, np.array([0, 0, 1, 1]))
    found = command("evaluate", "--embeddings", x, "--labels", y, "--metric", metric, "--json").json
    assert found["value"] == pytest.approx(value, abs=1e-15)


def test_undefined_queries_are_counted(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """Queries without a relevant item are left out of the mean and counted."""
    x, _ = embeddings
    labels = np.arange(40) % 10
    labels[:3] = (100, 101, 102)
    np.save(tmp_path / "y.npy", labels)
    arguments = ("evaluate", "--embeddings", x, "--labels", tmp_path / "y.npy", "--metric", "recall@1")
    assert command(*arguments, "--json").json["undefined"] == 3
    assert "3 of them undefined" in command(*arguments).out


def test_reference(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """Queries are ranked against the reference where one is given: copies of themselves are found."""
    x, y = embeddings
    points = np.load(x)
    np.save(tmp_path / "r.npy", points.copy())
    given = ("--reference", tmp_path / "r.npy", "--reference-labels", y)
    found = command(
        "evaluate", "--embeddings", x, "--labels", y, *given, "--metric", "recall@1", "--json"
    ).json
    assert found["value"] == 1.0
    assert found["items"] == 40


def write_predictions(path: Path, columns: dict[str, list[object]]) -> None:
    """Write a table as CSV or Parquet."""
    if path.suffix == ".csv":
        rows = [list(columns), *zip(*columns.values(), strict=True)]
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table(columns), path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_predictions(command: Command, tmp_path: Path, suffix: str) -> None:
    """Predicted classes in CSV and Parquet give what the function gives."""
    target, prediction = [0, 1, 1, 0, 1, 0], [0, 1, 0, 0, 1, 1]
    path = tmp_path / f"p.{suffix}"
    write_predictions(path, {"target": list(target), "prediction": list(prediction)})
    found = command("evaluate", path, "--metric", "f1", "--json").json
    assert found["value"] == pytest.approx(float(f_beta(torch.tensor(prediction), torch.tensor(target))))
    assert found["column"] == "prediction"
    assert found["classes"] == {"0": 0, "1": 1}


def test_class_names_and_scores(command: Command, tmp_path: Path) -> None:
    """`score_<class>` columns in any order: the largest one is the prediction, whatever the classes are called."""
    columns: dict[str, list[object]] = {
        "score_dog": [0.1, 0.7, 0.2],
        "target": ["cat", "dog", "dog"],
        "score_cat": [0.9, 0.3, 0.8],
    }
    write_predictions(tmp_path / "p.csv", columns)
    found = command("evaluate", tmp_path / "p.csv", "--metric", "error_rate", "--json").json
    assert found["value"] == pytest.approx(1 / 3)
    assert found["classes"] == {"cat": 0, "dog": 1}
    assert "dog is class 1" in command("evaluate", tmp_path / "p.csv", "--metric", "error_rate").out


def test_alias_that_ranks_samples_takes_the_score(command: Command, tmp_path: Path) -> None:
    """`auc` reads `score` though there is a `prediction` too, and two-class scores where there is none."""
    score = [0.9, 0.2, 0.6, 0.4]
    write_predictions(
        tmp_path / "p.csv", {"target": [1, 0, 0, 1], "prediction": [1, 0, 1, 0], "score": list(score)}
    )
    found = command("evaluate", tmp_path / "p.csv", "--metric", "auc", "--json").json
    assert (found["value"], found["column"]) == (0.75, "score")
    two: dict[str, list[object]] = {
        "target": [1, 0, 0, 1],
        "score_0": [1 - s for s in score],
        "score_1": list(score),
    }
    write_predictions(tmp_path / "q.csv", two)
    found = command("evaluate", tmp_path / "q.csv", "--metric", "auc", "--json").json
    assert (found["value"], found["column"]) == (0.75, "score_1")


def test_undefined_value_is_null_in_json(command: Command, tmp_path: Path) -> None:
    """A metric without a value (AUC of one class) is null, not NaN, which is no JSON."""
    write_predictions(tmp_path / "p.csv", {"target": [1, 1], "score": [0.1, 0.2]})
    assert command("evaluate", tmp_path / "p.csv", "--metric", "auc", "--json").json["value"] is None


def test_metric_of_ones_own(command: Command, tmp_path: Path) -> None:
    """A function in the current folder is named package.module:function and told its direction."""
    (tmp_path / "own_metric_of_a_test.py").write_text(
        "def misses(outputs, targets):\n    return float((outputs != targets).double().mean())\n",
        encoding="utf-8",
    )
    write_predictions(tmp_path / "p.csv", {"target": [0, 1, 1, 0], "prediction": [0, 1, 0, 0]})
    given = ("evaluate", tmp_path / "p.csv", "--metric", "own_metric_of_a_test:misses")
    command(*given).refused("misses", "higher_is_better")
    found = command(*given, "--lower-is-better", "--json").json
    assert found["value"] == 0.25
    assert found["higher_is_better"] is False


def test_samples_are_drawn_by_a_column_of_groups(command: Command, tmp_path: Path) -> None:
    """Every sample five times: by group the interval is that of the single ones, and wider than without."""
    rows = [(number % 3 == 0, number % 2 == 0) for number in range(40)]
    lines = [f"{int(a)},{int(b)},id{number:02d}" for number, (a, b) in enumerate(rows)]
    table, once = tmp_path / "five.csv", tmp_path / "once.csv"
    table.write_text("target,prediction,person\n" + "\n".join(line for line in lines for _ in range(5)))
    once.write_text("target,prediction,person\n" + "\n".join(lines))
    for metric in ("accuracy", "f1"):
        measure = ("evaluate", table, "--metric", metric)
        by_group = command(*measure, "--groups", "person", "--json").json
        single = command("evaluate", once, "--metric", metric, "--json").json
        alone = command(*measure, "--json").json
        assert (by_group["groups"], alone["groups"]) == (40, None)
        assert by_group["low"] == pytest.approx(single["low"], abs=1e-9)
        assert by_group["high"] - by_group["low"] > 1.5 * (alone["high"] - alone["low"])
    command("evaluate", table, "--metric", "f1", "--groups", "people").refused("people", "--groups")
    assert "too narrow" not in command("evaluate", once, "--metric", "f1").out
    once.write_text("target,prediction,person\n" + "\n".join(lines[:19]))
    assert "of fewer than 20 it may be too narrow" in " ".join(
        command("evaluate", once, "--metric", "f1").out.split()
    )


def test_columns_of_probabilities(command: Command, tmp_path: Path) -> None:
    """Metrics of probabilities and of several classes read the columns of scores, classes by name."""
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(3), size=40)
    names = np.array(["ant", "bee", "fly"])
    truth = np.concatenate([names, generator.choice(names, 37)])
    lines = [
        ",".join([target, *(repr(float(p)) for p in row)])
        for target, row in zip(truth, probabilities, strict=True)
    ]
    table = tmp_path / "p.csv"
    table.write_text("\n".join(["target,score_ant,score_bee,score_fly", *lines]), encoding="utf-8")
    asked = (
        "log_loss",
        "neg_brier_score",
        "ece",
        "roc_auc_ovr",
        "roc_auc_ovo_weighted",
        "macro_average_precision",
    )
    options = [option for name in asked for option in ("--metric", name)]
    found = command("evaluate", table, *options, "--json", "--resamples", "50").json
    targets = torch.from_numpy(np.searchsorted(names, truth))
    for name, one in zip(asked, found, strict=True):
        metric = adapt(name)
        wanted = metric.summarise(metric.measure(torch.from_numpy(probabilities), targets))
        assert one["value"] == pytest.approx(wanted, abs=1e-12)
        assert one["low"] <= one["high"] and one["classes"] == {"ant": 0, "bee": 1, "fly": 2}
    assert [one["metric"] for one in found][:2] == ["log_loss", "brier_score"]
    assert not found[0]["higher_is_better"]


def test_columns_that_are_no_probabilities(command: Command, tmp_path: Path) -> None:
    """One sentence says what is wrong with them and what to write."""
    table = tmp_path / "p.csv"
    table.write_text("target,score_0,score_1,score_2\n0,0.3,0.3,0.3\n1,0.2,0.4,0.3\n", encoding="utf-8")
    asked = ("evaluate", table, "--metric", "log_loss")
    command(*asked).refused("rows sum to 0.9 ... 0.9", "log_loss:from_logits=true")
    table.write_text("target,score\n0,-0.3\n1,0.3\n", encoding="utf-8")
    command(*asked).refused("probabilities of class 1")
    assert command("evaluate", table, "--metric", "log_loss:from_logits=true", "--json").json["value"] < 0.6
    table.write_text("target,prediction\n0,0\n1,1\n", encoding="utf-8")
    command(*asked).refused("needs a column score")


@pytest.mark.parametrize(
    ("metric", "message"), [("f1_samples", "several labels"), ("mean_iou", "reads images")]
)
def test_what_no_table_holds(command: Command, tmp_path: Path, metric: str, message: str) -> None:
    """Several labels per sample, images."""
    table = tmp_path / "p.csv"
    table.write_text("target,prediction\n0,0\n1,1\n", encoding="utf-8")
    command("evaluate", table, "--metric", metric).refused(message)


def test_average_precision_is_that_of_a_ranking(command: Command, tmp_path: Path) -> None:
    """scikit-learn's metric of that name is told by ours."""
    table = tmp_path / "p.csv"
    table.write_text("target,score\n0,0.2\n1,0.7\n", encoding="utf-8")
    for name in ("average_precision", "map"):
        command("evaluate", table, "--metric", name).refused(
            "binary_average_precision", "macro_average_precision"
        )
    assert command("evaluate", table, "--metric", "binary_average_precision", "--json").json["value"] == 1

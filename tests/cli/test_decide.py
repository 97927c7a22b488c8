"""`metricgrad decide`: a rule fitted to one part of a file, judged on the other, written and applied."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metricgrad.decision import fit_rule, load_rule
from metricgrad.metrics import adapt
from tests.cli.outcome import Command
from tests.cli.test_evaluate import write_predictions

ROWS = 600
Columns = dict[str, list[Any]]


def binary(seed: int = 0, rows: int = ROWS) -> Columns:
    """A rare class and the probability of it."""
    random = np.random.default_rng(seed)
    target = (random.random(rows) < 0.15).astype(int)
    odds = 2 * target - 3 + random.normal(size=rows)
    score = (1 / (1 + np.exp(-odds))).round(6)
    return {"id": [f"r{row}" for row in range(rows)], "target": target.tolist(), "score": score.tolist()}


def animals(seed: int = 0, rows: int = ROWS) -> Columns:
    """Logits of three classes with names."""
    random = np.random.default_rng(seed)
    shares, names = np.array([0.7, 0.2, 0.1]), ("cat", "dog", "owl")
    classes = random.choice(3, rows, p=shares)
    logits = (1.5 * np.eye(3)[classes] + random.normal(size=(rows, 3)) + np.log(shares)).round(5)
    columns = {f"score_{name}": logits[:, place].tolist() for place, name in enumerate(names)}
    return {"target": [names[one] for one in classes], "herd": [row // 5 for row in range(rows)], **columns}


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """A file of two classes."""
    write_predictions(tmp_path / "p.csv", binary())
    return tmp_path / "p.csv"


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A file of three classes."""
    write_predictions(tmp_path / "zoo.csv", animals())
    return tmp_path / "zoo.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_scores_of_classes_by_a_pattern(command: Command, zoo: Path) -> None:
    """`score=NAME (p)` says where the class stands in the names of columns; the rule and the figures are the same."""
    columns = {
        name.replace("score_", "") + " (p)" * name.startswith("score_"): c for name, c in animals().items()
    }
    write_predictions(zoo.with_name("other.csv"), columns)
    same, other = (
        command("decide", path, "--metric", "macro_f1", *more, "--json").json
        for path, more in ((zoo, ()), (zoo.with_name("other.csv"), ("--column", "score=* (p)")))
    )
    assert other["classes"] == ["cat", "dog", "owl"] and other["difference"] == same["difference"]
    assert "scores of the classes 'cat, dog, owl'" in other["notes"][0]


def test_scores_in_columns_called_as_the_classes(command: Command, zoo: Path) -> None:
    """`target,cat,dog,owl` are read with a note; a rule knows its classes without a target and leaves others out."""
    columns = {name.replace("score_", ""): cells for name, cells in animals().items() if name != "herd"}
    path, new = zoo.with_name("other.csv"), zoo.with_name("new.csv")
    write_predictions(path, {"id": list(range(ROWS)), **columns})
    asked = ("decide", zoo, "--metric", "macro_f1", "--json")
    same, other = command(*asked).json, command(*asked[:1], path, *asked[2:]).json
    assert other["classes"] == ["cat", "dog", "owl"] and other["difference"] == same["difference"]
    assert "columns 'cat, dog, owl' are read as the scores of these classes" in other["notes"][0]
    write_predictions(new, {"weight": [1] * ROWS, **{name: columns[name] for name in ("owl", "cat", "dog")}})
    applied = command("decide", new, "--rule", zoo.with_name("other-rule.json"), "--json").json
    assert sum(applied["decided"].values()) == ROWS and list(applied["decided"]) == ["cat", "dog", "owl"]
    measured = [command("evaluate", one, "--metric", "mcc", "--json").json["value"] for one in (zoo, path)]
    assert measured[0] == measured[1]
    alike = command("compare", path, path, "--metric", "mcc", "--json").json
    assert "these classes" in str(alike["notes"])
    write_predictions(path, {**columns, "bat": [0.1] * ROWS})  # perhaps a class that no row has
    command(*asked[:1], path, "--force", *asked[2:]).refused("'target, cat, dog, owl, bat'", "'score=p_*'")


def test_equals_the_library(command: Command, scores: Path) -> None:
    """Fit and figures are those of `fit_rule` and of the metric on the rows that are not in the file of decisions."""
    found = command("decide", scores, "--metric", "f1", "--json").json
    decided = {row["id"]: row for row in rows_of(scores.with_name("p-decided.csv"))}
    table = binary()
    judging = torch.tensor([one in decided for one in table["id"]])
    p, y = torch.tensor(table["score"], dtype=torch.float64), torch.tensor(table["target"])
    fitted = fit_rule(p[~judging], y[~judging], "f1")
    assert (found["pool"]["value"], found["pool"]["cross_fitted"]) == (fitted.value, fitted.cross_fitted)
    f1, after = adapt("f1"), fitted.rule.decide(p[judging])
    for key, classes in (("before", (p[judging] > 0.5).long()), ("after", after)):
        assert found[key]["value"] == f1.summarise(f1.measure(classes, y[judging]))
    assert [int(decided[one]["decision"]) for one in table["id"] if one in decided] == after.tolist()
    assert (found["rule"], found["difference"]["claim"], found["rows"]) == ("threshold", "gain", 300)


def test_the_verdict_is_that_of_compare(command: Command, scores: Path) -> None:
    """The same files of predictions, the same interval, p-value and claim."""
    found = command("decide", scores, "--metric", "mcc", "--json").json
    table, kept = binary(), rows_of(scores.with_name("p-decided.csv"))
    of_id = dict(zip(table["id"], table["score"], strict=True))
    for name, prediction in (
        ("before", [int(of_id[row["id"]] > 0.5) for row in kept]),
        ("after", [row["decision"] for row in kept]),
    ):
        columns: Columns = {"target": [row["target"] for row in kept], "prediction": list(prediction)}
        write_predictions(scores.with_name(f"{name}.csv"), columns)
    files = [scores.with_name(f"{name}.csv") for name in ("before", "after")]
    other = command("compare", *files, "--metric", "mcc", "--json").json["files"][1]
    keys = ("difference", "difference_low", "difference_high", "p_value", "verdict")
    assert list(found["difference"].values()) == [other[key] for key in keys]


def test_the_rule_is_written_and_applied(command: Command, zoo: Path, tmp_path: Path) -> None:
    """The file of the rule decides as the library does, by the names of columns, and needs no target."""
    command("decide", zoo, "--metric", "macro_f1", "--groups", "herd", "--out", "rule.json", "--quiet")
    new = animals(1)
    columns = ["score_owl", "score_cat", "score_dog"]
    write_predictions(tmp_path / "new.csv", {name: new[name] for name in columns})
    found = command("decide", "new.csv", "--rule", "rule.json", "--json").json
    rule = load_rule(tmp_path / "rule.json")
    logits = torch.tensor([new[f"score_{name}"] for name in ("cat", "dog", "owl")], dtype=torch.float64).T
    expected = [rule.class_names[one] for one in rule.decide(logits).tolist()]
    rows = rows_of(tmp_path / "new-decided.csv")
    assert [row["decision"] for row in rows] == expected
    assert (list(rows[0]), rows[0]["row"]) == (["row", "decision"], "1")
    assert found["decided"] == {name: expected.count(name) for name in ("cat", "dog", "owl")}


def test_groups_and_classes_are_parted(command: Command, zoo: Path) -> None:
    """No group is in both parts, every class is in both, and another seed parts otherwise."""
    table, drawn = animals(), []
    for seed in ("0", "1"):
        command("decide", zoo, "--metric", "mcc", "--groups", "herd", "--seed", seed, "--force", "--quiet")
        judging = {int(row["row"]) - 1 for row in rows_of(zoo.with_name("zoo-decided.csv"))}
        herds = [
            {table["herd"][row] for row in range(ROWS) if (row in judging) is part} for part in (True, False)
        ]
        assert not herds[0] & herds[1] and 0.4 < len(judging) / ROWS < 0.6
        for name in ("cat", "dog", "owl"):
            rows = [row for row in range(ROWS) if table["target"][row] == name]
            assert 0.4 < sum(row in judging for row in rows) / len(rows) < 0.6
        drawn.append(judging)
    assert drawn[0] != drawn[1]


def test_a_file_of_its_own_judges(command: Command, scores: Path, tmp_path: Path) -> None:
    """All rows of the first file fit the rule, all of the second one judge it."""
    write_predictions(tmp_path / "test.csv", binary(1, 200))
    found = command("decide", scores, "--test", "test.csv", "--metric", "f1", "--json").json
    assert (found["pool"]["rows"], found["rows"]) == (ROWS, 200)
    assert len(rows_of(tmp_path / "p-decided.csv")) == 200


def test_text_has_what_json_has(command: Command, zoo: Path) -> None:
    """Figures, words, verdict, other metrics, tables and files."""
    found = command("decide", zoo, "--metric", "macro_f1", "--json").json
    text = command("decide", zoo, "--metric", "macro_f1", "--force").out
    figures = [found[key][end] for key in ("before", "after") for end in ("value", "low", "high")]
    figures += [one[key] for one in found["others"] for key in ("before", "after")]
    assert all(f"{figure:.4f}" in text for figure in figures)
    assert found["verdict"] in text and all(line in text for line in found["words"].splitlines())
    assert all(f" {cell}" in text for table in found["tables"].values() for row in table for cell in row)
    assert all(path in text for path in found["written"].values())


MINE = """
import numpy as np

def right_positives(predictions, targets):
    hit = int(((predictions == 1) & (targets == 1)).sum())
    return 2 * hit / max(1, int((predictions == 1).sum() + (targets == 1).sum()))
"""


def test_a_function_of_the_user(command: Command, scores: Path, tmp_path: Path) -> None:
    """It gets the rule that the formula gets; its calls are counted and printed."""
    (tmp_path / "my_metric.py").write_text(MINE, encoding="utf-8")
    arguments = (
        "decide",
        scores,
        "--metric",
        "my_metric:right_positives",
        "--higher-is-better",
        "--resamples",
        "50",
        "--force",
    )
    found, ours = (
        command(*one, "--force", "--json").json for one in (arguments, ("decide", scores, "--metric", "f1"))
    )
    assert (found["words"], found["after"]["value"]) == (ours["words"], ours["after"]["value"])
    assert found["calls"]["all"] > found["calls"]["fit"] > 100 and ours["calls"] == {"fit": 0, "all": 0}
    assert found["curve"]["values"] == ours["curve"]["values"] and found["curve"]["best_cut"] is None
    assert f"{found['calls']['fit']:,} calls of the metric" in command(*arguments).out


@pytest.mark.parametrize(
    ("name", "columns", "note"),
    [
        ("small", binary(rows=60), "wants 50 items and the pool has 30"),
        ("alone", {**binary(), "target": [0] * ROWS}, "one class only"),
        (
            "useless",
            {"target": [0, 1] * 100, "score_0": [0.5] * 200, "score_1": [0.5] * 200},
            "decides as argmax does",
        ),
    ],
)
def test_argmax_is_kept(command: Command, tmp_path: Path, name: str, columns: Columns, note: str) -> None:
    """The documented fallback, with its reason: nothing is claimed."""
    write_predictions(tmp_path / f"{name}.csv", columns)
    found = command("decide", f"{name}.csv", "--metric", "mcc", "--json").json
    assert found["rule"] == "argmax" and note in found["note"] and note in found["verdict"]
    assert (found["difference"]["value"], found["difference"]["claim"]) == (0, "nothing claimed")


def without(columns: Columns, *names: str) -> Columns:
    """A table without some columns."""
    return {name: cells for name, cells in columns.items() if name not in names}


def grades(*names: object) -> Columns:
    """The same scores for three classes of other names."""
    table = animals()
    of = dict(zip(("cat", "dog", "owl"), names, strict=True))
    scores = {f"score_{name}": table[f"score_{animal}"] for animal, name in of.items()}
    return {"target": [of[one] for one in table["target"]], **scores}


def test_numbers_of_classes_that_count(command: Command, tmp_path: Path) -> None:
    """A weighted kappa reads 1, 2, 3 as 0, 1, 2."""
    found = []
    for name, first in (("a.csv", 0), ("b.csv", 1)):
        write_predictions(tmp_path / name, grades(first, first + 1, first + 2))
        found.append(command("decide", name, "--metric", "quadratic_kappa", "--json").json["after"])
    assert found[0] == found[1]


LETTERS = {**binary(), "target": ["ab"[one] for one in binary()["target"]]}
PERCENT = {"target": ["a", "b"] * 50, "score_a": [45.5, 30.0] * 50, "score_b": [54.5, 70.0] * 50}
HIGH = {"target": ["a", "b"] * 50, "score_a": [0.5] * 100, "score_b": [0.6] * 100}


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        (binary(), ["--metric", "roc_auc"], ["roc_auc", "reads scores", "no decision rule"]),
        (binary(), ["--metric", "recall@1"], ["embeddings"]),
        (binary(), ["--metric", "hamming_loss"], ["labels"]),
        (binary(), [], ["no --metric is given"]),
        (binary(), ["--metric", "f1", "--rule", "thresold"], ["thresold", "threshold"]),
        (binary(), ["--metric", "f1", "--rule", "trees"], ["one of auto, argmax, threshold, slope, prior, biases"]),
        (animals(), ["--metric", "f1", "--column", "score=p_*"], ["score=p_*", "one star stands for the class"]),
        (animals(), ["--metric", "f1", "--column", "score=s*_*"], ["score=s*_*", "one star stands for the class"]),
        (binary(), ["--metric", "f1", "--test-fraction", "1.5"], ["--test-fraction is 1.5"]),
        (binary(), ["--metric", "f1", "--test", "in.csv", "--test-fraction", "0.5"], ["one of them"]),
        (binary(), ["--metric", "f1", "--out", "in.csv"], ["written over"]),
        (binary(), ["--metric", "f1", "--out", "no/rule.json"], ["no/rule.json cannot be written"]),
        (binary(), ["--metric", "f1", "--column", "prediction=id"], ["--column prediction"]),
        (binary(), ["--metric", "f1", "--inputs", "odds"], ["--inputs is 'odds'"]),
        (binary(rows=1), ["--metric", "f1"], ["1 rows", "judge it"]),
        (LETTERS, ["--metric", "mcc"], ["the column score", "--positive-class"]),
        (without(binary(), "score"), ["--metric", "f1", "--column", "score=odds"], ["'odds'"]),
        (animals(), ["--metric", "f1"], ["3 classes", "average"]),
        (animals(), ["--metric", "macro_f1", "--rule", "threshold"], ["3 classes"]),
        (animals(), ["--metric", "macro_f1", "--positive-class", "owl"], ["3 classes"]),
        (animals(), ["--metric", "mcc", "--inputs", "probabilities"], ["in.csv", "from 0 to 1", "--inputs"]),
        (without(animals(), "score_owl"), ["--metric", "mcc"], ["'owl'", "no column score_owl"]),
        (animals(), ["--metric", "quadratic_kappa"], ["numbers of the classes", "'cat'"]),
        (grades(1, 3, 4), ["--metric", "quadratic_kappa"], ["numbers of the classes", "1, 3, 4"]),
        (HIGH, ["--metric", "mcc"], ["do not sum to 1", "1.1"]),
        (PERCENT, ["--metric", "mcc"], ["do not sum to 1", "100", "Divide each row"]),
        (binary(), ["--metric", "f1", "--test", "in.csv"], ["the scores of in.csv, row by row", "Leave --test out"]),
        ({"target": [0, 1, 2], "score": [1, 2, 3]}, ["--metric", "mcc"], ["3 classes", "score_<class>"]),
        ({"target": [0, 1], "score": ["nan", 1]}, ["--metric", "mcc"], ["NaN"]),
        ({"target": [0, ""], "score": [0, 1]}, ["--metric", "mcc"], ["row 2", "empty cell"]),
    ],
)  # fmt: skip
def test_bad_input(
    command: Command, tmp_path: Path, columns: Columns, options: list[str], words: list[str]
) -> None:
    """One line that says what does not fit; nothing is written."""
    write_predictions(tmp_path / "in.csv", columns)
    command("decide", "in.csv", *options).refused(*words)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["in.csv"]


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        (without(animals(), "score_owl", "target"), [], ["no column 'score_owl'"]),
        ({**animals(), "score_emu": [0] * ROWS}, [], ["'score_emu'"]),
        ({**animals(), "target": ["emu"] * ROWS}, [], ["'emu'"]),
        (animals(), ["--metric", "mcc"], ["--metric", "where a rule is fitted"]),
        (animals(), ["--decided", "rule.json"], ["written over"]),
        (binary(), [], ["one column of scores", "3 classes"]),
    ],
)
def test_bad_input_of_a_rule(
    command: Command, zoo: Path, tmp_path: Path, columns: Columns, options: list[str], words: list[str]
) -> None:
    """What a fitted rule cannot decide."""
    command("decide", zoo, "--metric", "mcc", "--out", "rule.json", "--quiet")
    write_predictions(tmp_path / "in.csv", columns)
    command("decide", "in.csv", "--rule", "rule.json", *options).refused(*words)


def test_nothing_is_written_over_silently(command: Command, scores: Path, tmp_path: Path) -> None:
    """The rule of another metric stays, unless --force says otherwise; a name gives its decisions theirs."""
    fitted = ("decide", scores, "--quiet", "--metric")
    assert command(*fitted, "f1").code == 0
    kept = {name: (tmp_path / name).read_bytes() for name in ("p-rule.json", "p-decided.csv")}
    command(*fitted, "mcc").refused("p-rule.json is there already", "--out", "--force")
    command(*fitted, "mcc", "--out", "mcc.json", "--decided", "p-decided.csv").refused(
        "p-decided.csv is there"
    )
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept and len(
        list(tmp_path.iterdir())
    ) == 3
    assert command(*fitted, "mcc", "--out", "mcc.json").code == 0 and (tmp_path / "mcc-decided.csv").exists()
    applied = ("decide", scores, "--quiet", "--rule", "mcc.json")
    command(*applied).refused("p-decided.csv is there already")
    assert command(*applied, "--force").code == 0 and command(*fitted, "mcc", "--force").code == 0
    assert load_rule(tmp_path / "p-rule.json").metric == "mcc"
    command(*fitted, "mcc", "--out", "p.csv", "--force").refused("written over")


def test_a_file_that_is_no_rule(command: Command, scores: Path, tmp_path: Path) -> None:
    """Said, not run."""
    (tmp_path / "rule.json").write_text("{}", encoding="utf-8")
    command("decide", scores, "--rule", "rule.json").refused("rule file")
    command("decide", scores, "--rule", "none.json").refused("none.json")


@pytest.mark.slow
def test_permuted_labels_gain_nothing(command: Command, tmp_path: Path) -> None:
    """Where targets have nothing to do with scores, Matthews' coefficient is said to gain in at most 3 of 40 files."""
    gains = 0
    for seed in range(40):
        table = binary(seed) if seed % 2 else without(animals(seed), "herd")
        np.random.default_rng(seed).shuffle(table["target"])
        write_predictions(tmp_path / "in.csv", table)
        found = command("decide", "in.csv", "--metric", "mcc", "--seed", seed, "--force", "--json").json
        gains += found["difference"]["claim"] == "gain"
    assert gains <= 3


def test_one_class_for_all_is_told(command: Command, tmp_path: Path) -> None:
    """F1 of equal scores is best where everything is positive: it is done, and a note says so."""
    write_predictions(tmp_path / "in.csv", {**binary(), "score": [0.3] * ROWS})
    found = command("decide", "in.csv", "--metric", "f1", "--json")
    assert found.json["tables"]["after"][1][0] == 0 and found.json["difference"]["claim"] == "gain"
    assert "every judging row is decided as '1'" in found.err and len(found.json["notes"]) == 1
    assert command("decide", "in.csv", "--metric", "f1", "--quiet", "--force").err == ""


@pytest.mark.parametrize("higher", [True, False])
def test_the_curve(command: Command, scores: Path, higher: bool) -> None:
    """The cut and argmax stand on it with their values, and the band is around it."""
    metric = "f1" if higher else "error_rate"
    found = command("decide", scores, "--metric", metric, "--groups", "id", "--json").json
    curve = found["curve"]
    at = {key: curve["values"][curve["cuts"].index(curve[key])] for key in ("cut", "argmax")}
    assert at == {
        "cut": pytest.approx(found["pool"]["value"]),
        "argmax": pytest.approx(found["pool"]["argmax"]),
    }
    band = zip(*(curve[key] for key in ("low", "values", "high")), strict=True)
    inside = [low <= value <= high for low, value, high in band]
    assert sum(inside) > 0.9 * len(inside) and curve["cuts"] == sorted(curve["cuts"])
    assert curve["best_cut"][0] <= curve["best_cut"][1] and curve["resamples"] == 200


def test_parquet_decimal_commas_and_other_names(command: Command, scores: Path, tmp_path: Path) -> None:
    """The reader is that of `evaluate`."""
    table, found = binary(), [command("decide", scores, "--metric", "f1", "--json").json]
    write_predictions(tmp_path / "r.parquet", table)
    found.append(command("decide", "r.parquet", "--metric", "f1", "--json").json)
    lines = [
        f"{name};{one};{str(score).replace('.', ',')}"
        for name, one, score in zip(*table.values(), strict=True)
    ]
    (tmp_path / "q.csv").write_text("\n".join(["id;ill;prob_1", *lines]), encoding="utf-8")
    said = ("--column", "target=ill", "--column", "score=prob_1", "--decimal-comma")
    found.append(command("decide", "q.csv", "--metric", "f1", *said, "--json").json)
    assert found[0]["after"] == found[1]["after"] == found[2]["after"]


def graded(seed: int = 0, rows: int = ROWS, first: int = 1) -> Columns:
    """An estimate of four ordered classes that is too near to the common ones."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=rows)
    target = first + np.searchsorted([0.7, 1.3, 1.8], latent)
    score = first + 0.4 + 0.5 * (latent + 0.5 * random.normal(size=rows))
    return {
        "id": [f"r{row}" for row in range(rows)],
        "target": target.tolist(),
        "score": score.round(5).tolist(),
    }


def test_one_estimate_of_ordered_classes_is_cut(command: Command, tmp_path: Path) -> None:
    """Classes from 1 on: cuts stand on the scale of the column, with rounding beside; the file applies them."""
    write_predictions(tmp_path / "grades.csv", graded())
    shown = command(
        "decide", tmp_path / "grades.csv", "--metric", "qwk", "--out", tmp_path / "g.json", "--json"
    ).json
    assert (shown["rule"], shown["without"], shown["classes"]) == ("cuts", "rounding", ["1", "2", "3", "4"])
    written = rows_of(tmp_path / "g-decided.csv")
    score = dict(zip(graded()["id"], graded()["score"], strict=True))
    truth = torch.tensor([int(row["target"]) - 1 for row in written])
    qwk, nearest = (
        adapt("qwk"),
        torch.tensor([round(min(max(score[row["id"]], 1), 4)) - 1 for row in written]),
    )
    assert shown["before"]["value"] == pytest.approx(qwk.summarise(qwk.measure(nearest, truth)))
    decided = torch.tensor([int(row["decision"]) - 1 for row in written])
    assert shown["after"]["value"] == pytest.approx(qwk.summarise(qwk.measure(decided, truth)))
    assert shown["difference"]["low"] > 0
    rule = load_rule(tmp_path / "g.json")
    assert torch.equal(rule.decide([score[row["id"]] for row in written]), decided)
    write_predictions(tmp_path / "new.csv", {"id": ["a", "b", "c"], "score": [-5.0, 2.5, 40.0]})
    command("decide", tmp_path / "new.csv", "--rule", tmp_path / "g.json")
    assert [row["decision"] for row in rows_of(tmp_path / "new-decided.csv")][::2] == ["1", "4"]
    text = command("decide", tmp_path / "grades.csv", "--metric", "qwk", "--rule", "cuts", "--force").out
    assert "rounding" in text and "argmax" not in text and "estimates of the class" in text


def test_rounding_is_kept_or_asked_for(command: Command, tmp_path: Path) -> None:
    """Of a small file, and by name."""
    write_predictions(tmp_path / "few.csv", graded(rows=100, first=0))
    shown = command("decide", tmp_path / "few.csv", "--metric", "qwk", "--json").json
    assert shown["rule"] == "rounding" and "rounding was kept: cuts wants 200 items" in shown["verdict"]
    shown = command(
        "decide", tmp_path / "few.csv", "--metric", "macro_f1", "--rule", "rounding", "--force", "--json"
    ).json
    assert shown["verdict"] == "Nothing is claimed: rounding was asked for."
    assert shown["before"] == shown["after"]


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        (graded(), ["--metric", "macro_f1"], "decide --rule cuts"),
        (graded(), ["--metric", "qwk", "--positive-class", "1"], "classes are ordered"),
        (animals(), ["--metric", "macro_f1", "--rule", "cuts"], "needs a column score"),
        (
            {"target": ["low", "high"] * 50, "score": [0.5] * 100},
            ["--metric", "accuracy", "--rule", "cuts"],
            "whole",
        ),
        (
            {"target": [1, 2, 4, 1] * 50, "score": [0.5] * 200},
            ["--metric", "accuracy", "--rule", "cuts"],
            "left out",
        ),
    ],
)
def test_what_cut_points_cannot_read(
    command: Command, tmp_path: Path, columns: Columns, options: list[str], said: str
) -> None:
    """Classes must be consecutive whole numbers, beside one column of scores."""
    write_predictions(tmp_path / "p.csv", columns)
    command("decide", tmp_path / "p.csv", *options).refused(said)

"""`compare` of files: rows aligned, differences paired, what does not fit refused in one line."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metricgrad.interval import paired_bootstrap
from metricgrad.metrics import adapt
from tests.cli.outcome import Command
from tests.cli.test_evaluate import write_predictions

Columns = dict[str, list[Any]]

ROWS = 120
TARGET = [number % 3 % 2 for number in range(ROWS)]


def predicted(wrong: int, first: int = 0) -> list[int]:
    """Classes of which every so-and-so-many is wrong."""
    return [1 - one if (row + first) % wrong == 0 else one for row, one in enumerate(TARGET)]


def columns(prediction: Sequence[Any], **further: list[Any]) -> Columns:
    """A table with ids and groups of four rows."""
    ids, patients = [f"r{row}" for row in range(ROWS)], [row // 4 for row in range(ROWS)]
    return {"id": ids, "patient": patients, "target": list(TARGET), "prediction": list(prediction), **further}


def shuffled(table: Mapping[str, list[Any]], seed: int = 0) -> Columns:
    """The same rows in another order."""
    order = random.Random(seed).sample(range(ROWS), ROWS)
    return {name: [cells[row] for row in order] for name, cells in table.items()}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two files of the same rows: the second one is better."""
    paths = tmp_path / "a.csv", tmp_path / "b.csv"
    for path, wrong in zip(paths, (3, 10), strict=True):
        write_predictions(path, columns(predicted(wrong)))
    return paths


def test_equals_the_library(command: Command, pair: tuple[Path, Path]) -> None:
    """Values are those of `evaluate`; the interval is that of the paired bootstrap over the rows by id."""
    found = command("compare", *pair, "--metric", "f1", "--json").json
    alone = [command("evaluate", path, "--metric", "f1", "--json").json["value"] for path in pair]
    assert [one["value"] for one in found["files"]] == alone
    metric, order = adapt("f1"), sorted(range(ROWS), key=lambda row: f"r{row}")
    targets = torch.tensor(TARGET)[order]
    a, b = (metric.measure(torch.tensor(predicted(wrong))[order], targets) for wrong in (3, 10))
    interval = paired_bootstrap([b], [a], metric.summarise)
    first, second = found["files"]
    assert (second["difference"], second["difference_low"], second["difference_high"]) == (
        interval.value,
        interval.low,
        interval.high,
    )
    assert (first["verdict"], second["verdict"], found["aligned_by"]) == (None, "gain", "id")
    assert found["verdict"].startswith(f"Gain: {pair[1]} is better than {pair[0]}: f1 ")


def test_text_has_all_that_json_has(command: Command, pair: tuple[Path, Path]) -> None:
    """Both figures, the difference, both intervals and the verdict."""
    arguments = ("compare", *pair, "--metric", "accuracy", "--groups", "patient")
    found, text = command(*arguments, "--json").json, command(*arguments).out
    for one in found["files"]:
        for key in ("value", "low", "high", "difference", "difference_low", "difference_high", "p_value"):
            assert one[key] is None or f"{one[key]:.4f}" in text or f"{one[key]:.3g}" in text
    assert found["verdict"] in text and "120 samples in 30 groups" in text


def test_a_file_beside_itself(command: Command, pair: tuple[Path, Path]) -> None:
    """Difference 0, no evidence."""
    found = command("compare", pair[0], pair[0], "--metric", "f1", "--json").json
    own, other = found["files"]
    assert (other["difference"], other["difference_low"], other["difference_high"]) == (0, 0, 0)
    assert (other["p_value"], other["verdict"]) == (1, "no evidence")
    assert own["file"] != other["file"] and "agree in all samples" in found["verdict"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("groups", [(), ("--groups", "patient")])
def test_ids_say_which_rows_belong_together(
    command: Command, tmp_path: Path, suffix: str, groups: tuple[str, ...]
) -> None:
    """Any order of either file gives the same document, to the last digit; another name of the column, too."""
    a, b = columns(predicted(3)), columns(predicted(10))
    found = []
    for number, tables in enumerate(((a, b), (a, shuffled(b)), (shuffled(a, 1), shuffled(b, 2)))):
        paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for path, table in zip(paths, tables, strict=True):
            renamed = {
                "key" if name == "id" and number == 2 else name: cells for name, cells in table.items()
            }
            write_predictions(path, renamed)
        named = ("--id", "key") if number == 2 else ()
        found.append(command("compare", *paths, "--metric", "f1", "--json", *groups, *named).json)
    assert found[0] == found[1] == found[2]


def test_without_ids_rows_are_taken_as_they_stand(command: Command, tmp_path: Path) -> None:
    """As with --by-order; targets in another order are refused."""
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    with_ids = columns(predicted(3)), columns(predicted(10))
    for path, table in zip((a, b), with_ids, strict=True):
        write_predictions(path, table)
    expected = command("compare", a, b, "--metric", "f1", "--by-order", "--json").json
    bare = [{name: cells for name, cells in table.items() if name != "id"} for table in with_ids]
    for path, table in zip((a, b), bare, strict=True):
        write_predictions(path, table)
    found = command("compare", a, b, "--metric", "f1", "--json").json
    assert found == expected and found["aligned_by"] == "order"
    write_predictions(b, shuffled(bare[1]))
    command("compare", a, b, "--metric", "f1").refused("the target is", "row", "same order?")
    write_predictions(b, {name: cells[:-1] for name, cells in bare[1].items()})
    command("compare", a, b, "--metric", "f1").refused("119 rows", "120", "id")


def test_ids_that_a_file_lacks(command: Command, pair: tuple[Path, Path]) -> None:
    """Refused with the first of them; --common compares the others and says how many are left out."""
    a, b = pair
    table = columns(predicted(10))
    write_predictions(b, {name: cells[7:] for name, cells in table.items()})
    refused = command("compare", a, b, "--metric", "f1")
    refused.refused(f"{b} lacks 7 of the 120 ids", "'r0', 'r1', 'r2', 'r3', 'r4', ...", "--common")
    found = command("compare", a, b, "--metric", "f1", "--common", "--json").json
    assert (found["rows"], [one["rows_left_out"] for one in found["files"]]) == (113, [7, 0])
    assert "7 rows are left out" in command("compare", a, b, "--metric", "f1", "--common").out
    table["id"] = [f"other {row}" for row in range(ROWS)]
    write_predictions(b, table)
    command("compare", a, b, "--metric", "f1", "--common").refused("no id", "all other files")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": ["r0", *(f"r{row}" for row in range(ROWS - 1))]}, ("'r0' in rows 1 and 2", "each id once")),
        ({"id": ["", *(f"r{row}" for row in range(1, ROWS))]}, ("row 1: the id is an empty cell",)),
        ({"target": [1, *TARGET[1:]]}, ("the target of the id 'r0' is '0' in", "'1' in", "row 1", "1 of 120")),
        ({"patient": [9, *(row // 4 for row in range(1, ROWS))]}, ("the group of the id 'r0' is '0'", "'9'")),
        ({"prediction": ["2", *predicted(10)[1:]]}, ("that of the class '1'", "all 3 classes", "--positive-class")),
        ({"prediction": ["", *predicted(10)[1:]]}, ("b.csv row 1: prediction is an empty cell",)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    command: Command, pair: tuple[Path, Path], change: dict[str, list[Any]], words: tuple[str, ...]
) -> None:
    """In one line that names the file, the row and what came, whatever the order of the rows is."""
    write_predictions(pair[1], columns(predicted(10)) | change)
    command("compare", *pair, "--metric", "f1", "--groups", "patient").refused(*words)


def test_a_positive_class_makes_one_reading(command: Command, pair: tuple[Path, Path]) -> None:
    """Where one file predicts a further class, the class that counts is named for both."""
    write_predictions(pair[1], columns(["2", *predicted(10)[1:]]))
    found = command("compare", *pair, "--metric", "f1", "--positive-class", "1", "--json").json
    assert found["positive_class"] == "1" and found["files"][1]["verdict"] == "gain"


def test_spellings_of_one_target(command: Command, tmp_path: Path) -> None:
    """`1.0` of one file is `1` of the other, and a float of a Parquet file likewise."""
    a, b = tmp_path / "a.csv", tmp_path / "b.parquet"
    write_predictions(a, columns(predicted(3)))
    floats = {name: list(map(float, cells)) for name, cells in columns(predicted(10)).items() if name != "id"}
    write_predictions(b, floats | {"id": [f"r{row}" for row in range(ROWS)]})
    assert command("compare", a, b, "--metric", "f1", "--json").json["files"][1]["verdict"] == "gain"


def test_values_and_texts(command: Command, tmp_path: Path) -> None:
    """Lower is better: fewer errors are a gain; texts must agree sign by sign."""
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    texts = [f"word {row}" for row in range(ROWS)]
    wrong = [text if row % 3 else "worm" for row, text in enumerate(texts)]
    for path, prediction in ((a, wrong), (b, texts)):
        write_predictions(path, columns(prediction) | {"target": texts})
    found = command("compare", a, b, "--metric", "cer", "--json").json["files"][1]
    assert found["difference"] < 0 and found["verdict"] == "gain"
    found = command("compare", a, b, "--metric", "cer", "--baseline", b, "--json").json["files"][0]
    assert found["difference"] > 0 and found["verdict"] == "worse"
    write_predictions(b, columns(texts) | {"target": ["Word 0", *texts[1:]]})
    command("compare", a, b, "--metric", "cer").refused("'word 0'", "'Word 0'")


def test_scores_of_two_forms(command: Command, tmp_path: Path) -> None:
    """A score and a column of scores for each class are read as `evaluate` reads them."""
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    score = [0.9 * one + 0.01 * (row % 30) for row, one in enumerate(TARGET)]
    own = {name: cells for name, cells in columns(score).items() if name != "prediction"}
    write_predictions(a, own | {"score": score})
    write_predictions(b, own | {"score_1": score, "score_0": [1 - one for one in score]})
    found = command("compare", a, b, "--metric", "roc_auc", "--json").json
    assert found["files"][1]["difference"] == 0 and found["files"][0]["value"] > 0.9


def test_three_files_are_adjusted(command: Command, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Holm over the two comparisons; the text shows both p-values and says why."""
    write_predictions(tmp_path / "c.csv", columns(predicted(3, first=1)))
    arguments = ("compare", *pair, tmp_path / "c.csv", "--metric", "f1")
    _, b, c = command(*arguments, "--json").json["files"]
    assert b["adjusted_p_value"] == pytest.approx(2 * b["p_value"])
    assert c["adjusted_p_value"] == pytest.approx(max(c["p_value"], b["adjusted_p_value"]))
    assert (b["verdict"], c["verdict"]) == ("gain", "no evidence")
    assert "p (Holm)" in command(*arguments).out and "Holm's adjustment for 2" in command(*arguments).out


def test_too_few_groups(command: Command, pair: tuple[Path, Path]) -> None:
    """No claim from fewer than 20 groups."""
    for path, wrong in zip(pair, (3, 10), strict=True):
        table = columns(predicted(wrong), site=[row % 5 for row in range(ROWS)])
        write_predictions(path, table)
    found = command("compare", *pair, "--metric", "f1", "--groups", "site", "--json").json
    assert found["files"][1]["verdict"] == "nothing claimed" and "too few groups (5" in found["verdict"]


def write_embeddings(path: Path, noise: float, classes: int = 30) -> np.ndarray:
    """Write four items of each class, near its centre; return the labels."""
    generator = np.random.default_rng(3)
    labels = np.arange(4 * classes) % classes
    points = generator.normal(size=(classes, 6))[labels]
    np.save(path, points + noise * generator.normal(size=points.shape))
    return labels


def test_embeddings(command: Command, tmp_path: Path) -> None:
    """Two models of the same items: values of `evaluate`, groups are the classes; queries without one are counted."""
    x, z, y = tmp_path / "x.npy", tmp_path / "z.npy", tmp_path / "y.npy"
    labels = write_embeddings(x, 1.5)
    write_embeddings(z, 0.1)
    labels[0] = 1000
    np.save(y, labels)
    found = command("compare", x, z, "--labels", y, "--metric", "recall@1", "--json").json
    alone = [
        command("evaluate", "--embeddings", one, "--labels", y, "--metric", "recall@1", "--json").json[
            "value"
        ]
        for one in (x, z)
    ]
    assert [one["value"] for one in found["files"]] == alone
    assert (found["files"][1]["verdict"], found["undefined"], found["groups"]) == ("gain", 1, 30)
    given = ("--reference", x, "--reference", z, "--reference-labels", y)
    ranked = command("compare", x, z, "--labels", y, *given, "--metric", "recall@1", "--json").json
    assert [one["value"] for one in ranked["files"]] == alone
    command("compare", x, z, "--labels", y, *given[2:], "--metric", "recall@1").refused(
        "1 --reference", "2 files"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.csv",), ("one file", "two or more")),
        (("a.csv", "x.npy"), ("several kinds",)),
        (("a.csv", "digits"), ("several kinds",)),
        (("a.csv", "b.csv", "--labels", "y.npy"), ("--labels goes with .npy files",)),
        (("x.npy", "x.npy", "--groups", "patient"), ("--groups goes with tables",)),
        (("x.npy", "x.npy"), ("without labels",)),
        (("a.csv", "b.csv", "--baseline", "c.csv"), ("'c.csv'", "one of the files")),
        (("a.csv", "b.csv", "--by-order", "--id", "id"), ("expected one of them",)),
        (("a.csv", "b.csv", "--by-order", "--common"), ("--common needs ids",)),
        (("a.csv", "b.csv", "--id", "key"), ("'key', the column of --id",)),
        (("a.csv", "b.csv", "--confidence", "95"), ("between 0 and 1",)),
    ],
)
def test_mixtures_are_refused(
    command: Command,
    pair: tuple[Path, Path],
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    """What goes with the other kind of file, one file alone, a baseline that is not there."""
    write_embeddings(tmp_path / "x.npy", 1.0)
    command("compare", *arguments, "--metric", "recall@1" if "x.npy" in arguments else "f1").refused(*words)
    command("compare", *arguments).refused()


def test_ids_in_one_file_only(command: Command, pair: tuple[Path, Path]) -> None:
    """A file without the column is named."""
    table = columns(predicted(10))
    del table["id"]
    write_predictions(pair[1], table)
    command("compare", *pair, "--metric", "f1").refused("b.csv has none", "--by-order")


def test_a_function_of_texts_is_one_number(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts cannot be drawn for a function of the user: figures and their difference, no interval, no claim."""
    (tmp_path / "shares_of_texts.py").write_text(
        "def share(outputs, targets):\n    return sum(map(str.__eq__, outputs, targets)) / len(targets)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    texts = [f"word {row}" for row in range(ROWS)]
    for path, prediction in (("a.csv", ["worm", *texts[1:]]), ("b.csv", texts)):
        write_predictions(tmp_path / path, columns(prediction) | {"target": texts})
    arguments = ("a.csv", "b.csv", "--metric", "shares_of_texts:share", "--higher-is-better")
    found = command("compare", *arguments, "--json").json
    assert found["files"][1]["difference"] == pytest.approx(1 / ROWS)
    assert found["files"][1]["verdict"] == "nothing claimed" and "one number" in found["verdict"]

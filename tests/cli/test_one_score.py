"""One column of scores and a metric of decided classes: `evaluate`, `compare` and `decide` read it alike."""

from pathlib import Path

import pytest

from tests.cli.outcome import Command
from tests.cli.test_decide import binary
from tests.cli.test_evaluate import write_predictions

METRICS = (
    "mcc",
    "quadratic_kappa",
    "f1",
    "macro_f1",
    "expected_cost:cost=0 1; 5 0",
    "sklearn.metrics:f1_score",
)


@pytest.fixture(params=["probabilities", "logits"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, float]:
    """One column of scores, the classes that it decides for, and the cut."""
    table, cut = binary(rows=120), 0.5
    if request.param == "logits":
        table["score"], cut = [one - 0.5 for one in table["score"]], 0
    scores, decided = tmp_path / "scores.csv", tmp_path / "decided.csv"
    write_predictions(scores, table)
    prediction = [int(one > cut) for one in table.pop("score")]
    write_predictions(decided, {**table, "prediction": prediction})
    return scores, decided, cut


@pytest.mark.parametrize("metric", METRICS)
def test_the_figure_is_that_of_what_it_decides(
    command: Command, files: tuple[Path, Path, float], metric: str
) -> None:
    """And the one that `decide` begins with; a note says where the cut is, and of which numbers."""
    scores, decided, cut = files
    asked = ("--metric", metric, "--resamples", "20", "--json")
    found, known = (command("evaluate", path, *asked).json for path in (scores, decided))
    assert (found["value"], found["low"]) == (known["value"], known["low"]) and found["column"] == "score"
    assert f"'1' above {cut}, as its numbers are" in found["notes"][0]
    alike = command("compare", scores, decided, *asked).json["files"]
    assert alike[1]["difference"] == 0 and alike[0]["value"] == known["value"]
    write_predictions(scores.with_name("pool.csv"), binary(1))
    judged = ("decide", scores.with_name("pool.csv"), "--test", scores, "--inputs", "auto", *asked)
    if cut:  # the pool holds probabilities
        assert command(*judged).json["before"]["value"] == pytest.approx(known["value"], abs=1e-12)


def test_a_threshold_of_the_metric_comes_first(command: Command, files: tuple[Path, Path, float]) -> None:
    """It is the cut that was asked for."""
    scores, decided, cut = files
    found = command("evaluate", scores, "--metric", f"f1:threshold={cut}", "--json").json
    assert found["value"] == command("evaluate", decided, "--metric", "f1", "--json").json["value"]
    assert found["notes"] == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (["a", "b"] * 10, ["the column score", "--positive-class"]),
        ([0, 1, 2, 3] * 5, ["one column of scores and 4 classes"]),
        (["b"] * 20, ["one column of scores and 1 classes"]),
    ],
)
def test_what_it_cannot_decide(
    command: Command, tmp_path: Path, target: list[object], words: list[str]
) -> None:
    """The messages of `decide`, in all three."""
    path = tmp_path / "in.csv"
    write_predictions(path, {"id": list(range(20)), "target": target, "score": [0.1, 0.9] * 10})
    for asked in (("evaluate", path), ("compare", path, path), ("decide", path)):
        command(*asked, "--metric", "mcc").refused(*words)
    write_predictions(path, {"id": [1, 2], "target": [0, 1], "score": [0.2, "nan"]})
    command("evaluate", path, "--metric", "mcc").refused("NaN")

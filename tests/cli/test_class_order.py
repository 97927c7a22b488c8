"""Metrics for which the numbers of the classes count take them from the file, or refuse texts."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metricgrad.cli.main import app

TRUTHS, GUESSES = [1, 1, 2, 4, 4, 5, 5, 2], [1, 2, 2, 4, 5, 5, 2, 4]
WORDS = {1: "low", 2: "middle", 4: "high", 5: "top"}


def evaluated(path: Path, metric: str, *more: str):
    """The answer of the command."""
    return CliRunner().invoke(
        app, ["evaluate", str(path), "--metric", metric, "--json", "--resamples", "20", *more]
    )


def table(path: Path, spelt) -> Path:
    """A file of true and predicted classes."""
    rows = [f"{spelt(truth)},{spelt(guess)}" for truth, guess in zip(TRUTHS, GUESSES, strict=True)]
    path.write_text("\n".join(["target,prediction", *rows]))
    return path


@pytest.mark.parametrize("metric", ["linear_kappa", "qwk", "f1:positive_class=4"])
def test_numbers_are_those_of_the_file(tmp_path: Path, metric: str) -> None:
    """Classes 2 and 4 lie two apart, and class 4 is the one that the file calls so."""
    found = json.loads(evaluated(table(tmp_path / "numbers.csv", str), metric).stdout)
    sklearn = pytest.importorskip("sklearn.metrics")
    wanted = {
        "linear_kappa": lambda: sklearn.cohen_kappa_score(TRUTHS, GUESSES, weights="linear", labels=range(6)),
        "qwk": lambda: sklearn.cohen_kappa_score(TRUTHS, GUESSES, weights="quadratic", labels=range(6)),
        "f1:positive_class=4": lambda: sklearn.f1_score([t == 4 for t in TRUTHS], [g == 4 for g in GUESSES]),
    }
    assert found["value"] == pytest.approx(wanted[metric]())
    assert found["classes"] == {"1": 1, "2": 2, "4": 4, "5": 5}


@pytest.mark.parametrize("metric", ["qwk", "expected_cost:cost=0 1 1 1; 2 0 1 1; 3 1 0 1; 4 1 1 0"])
def test_texts_have_no_order(tmp_path: Path, metric: str) -> None:
    """The alphabet would put high before low."""
    refused = evaluated(table(tmp_path / "words.csv", WORDS.get), metric)
    assert refused.exit_code == 2 and "expected classes that are whole numbers" in refused.output
    assert evaluated(table(tmp_path / "words.csv", WORDS.get), "kappa").exit_code == 0


def test_costs_have_a_row_for_each_class(tmp_path: Path) -> None:
    """Class 5 has none among four; rows are counted from class 0."""
    refused = evaluated(
        table(tmp_path / "numbers.csv", str), "expected_cost:cost=0 1 1 1; 2 0 1 1; 3 1 0 1; 4 1 1 0"
    )
    assert refused.exit_code == 2 and "cost has 4 rows; expected classes 0 to 3" in refused.output

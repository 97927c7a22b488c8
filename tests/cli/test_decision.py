"""How the command says by which rule classes are decided."""

from pathlib import Path

import pytest

from tests.cli.outcome import Command
from tests.tasks.test_imbalanced_f1 import write


@pytest.fixture
def task(tmp_path: Path) -> list[str]:
    """The options of a run of seconds on a made-up table."""
    table = write(tmp_path / "table.dat", 450, 90)
    return ["imbalanced_f1", "--set", f"data.file={table}", "--set", "start.plan.steps=20", "--steps", "4"]


@pytest.mark.slow
def test_tune_and_resume(command: Command, task: list[str], tmp_path: Path) -> None:
    """Rules in every arm by default; a finished run is shown again; the recipe keeps what was asked."""
    folder = tmp_path / "run"
    shown = command(
        "tune", *task, "--method", "direct:f_beta", "--seeds", "1", "--run", folder, "--json"
    ).json
    assert all(event["argmax"] is not None for event in shown["tested"])
    assert "test at argmax" in shown["summary"] and "Every arm decides by" in shown["evidence"]["sentence"]
    assert command("resume", folder, "--trust", "--json").json["evidence"] == shown["evidence"]
    assert "decision: auto" in (folder / "config.yaml").read_text()


def test_argmax_alone(command: Command, task: list[str], tmp_path: Path) -> None:
    """No second figure."""
    options = ["--method", "direct:f_beta", "--seeds", "1", "--decision", "argmax"]
    shown = command("tune", *task, *options, "--run", tmp_path / "run", "--json").json
    assert all(event["argmax"] is None for event in shown["tested"])


def test_a_rule_where_nothing_is_decided(command: Command, tmp_path: Path) -> None:
    """A ranking metric has no decisions."""
    command("tune", "digits", "--decision", "threshold", "--run", tmp_path / "run").refused(
        "recall@1 reads embeddings"
    )


def test_a_name_that_is_none(command: Command, task: list[str], tmp_path: Path) -> None:
    """The nearest one is told."""
    command("tune", *task, "--decision", "treshold", "--run", tmp_path / "run").refused("threshold")
    command("compare", *task, "--methods", "auto", "--decision", "treshold").refused("threshold")

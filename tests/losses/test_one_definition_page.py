"""docs/one-definition.md runs as it stands, and its figures are those of the table."""

import contextlib
import csv
import io
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metricgrad.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "one-definition.md").read_text(encoding="utf-8")


def boxes(language: str) -> list[str]:
    """The fenced boxes of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the file of the page."""
    (tmp_path / "hits.py").write_text(boxes("python")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "hits", raising=False)
    return tmp_path


def test_what_each_gives(folder: Path) -> None:
    """The second box prints what the page says."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(boxes("python")[1], "page", "exec"), {"__name__": "page"})  # noqa: S102 (the page's own code)
    assert printed.getvalue() == boxes("text")[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_the_commands(folder: Path, number: int) -> None:
    """They run and claim nothing that is not there."""
    line = [text[2:] for text in boxes("console")[0].splitlines()][number]
    found = CliRunner().invoke(app, [*line.split()[1:], "--quiet"])
    assert found.exit_code == 0, found.stderr
    assert "exact" in found.stdout


def test_the_figures_are_those_of_the_table() -> None:
    """Every row, and the sentence about intervals."""
    with (DOCS / "one-definition.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["arm"] != "start"]
    for row in rows:
        line = f"| {row['metric']} | {row['arm']} | {row['held_out']} |"
        if row["arm"] != "continued":
            line += f" {row['minus_control']} | {row['low']} to {row['high']} |"
            assert float(row["low"]) < 0 < float(row["high"])
        assert line in PAGE
    assert len(rows) == 8

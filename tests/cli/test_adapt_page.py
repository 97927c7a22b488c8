"""The page on adapting vectors runs as it stands, and shows what the command prints."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.cli.outcome import Command

PAGE = (Path(__file__).parents[2] / "docs" / "adapt.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_runs(command: Command, tmp_path: Path) -> None:
    """Its program runs, and every command prints what stands below it; the table of files is that of the folders."""
    pytest.importorskip("sklearn")
    pytest.importorskip("onnx")
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "block.py").write_text(program, encoding="utf-8")
    runpy.run_path(str(tmp_path / "block.py"))
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    shown = [
        one
        for block in blocks
        for one in re.findall(r"^\$ (.*?)\n(.*?)(?=^\$ |\Z)", block, re.DOTALL | re.MULTILINE)
    ]
    for line, expected in shown:
        found = command(*shlex.split(line)[1:])
        assert [one.rstrip() for one in found.out.splitlines()] == expected.splitlines(), found.err
    assert len(shown) == 5
    (table,) = re.findall(r"\| file \| holds \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE)
    names = {name for row in table.splitlines() for name in re.findall(r"`([\w.-]+)`", row.split("|")[1])}
    there = {path.name for path in (tmp_path / "runs" / "pairs").iterdir() if not path.name.startswith(".")}
    assert there <= names and names - there <= {"last", "arms"}

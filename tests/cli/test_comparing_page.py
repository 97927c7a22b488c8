"""The page on comparing files runs as it stands, and shows what the command prints."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.cli.outcome import Command

PAGE = Path(__file__).parent.parent.parent / "docs" / "comparing.md"


def test_the_page_runs(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its programs run, and every command after a `$` prints what stands below it."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(python|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    shown = 0
    for number, (kind, block) in enumerate(blocks):
        if kind == "python":
            program = tmp_path / f"block_{number}.py"
            program.write_text(block, encoding="utf-8")
            capsys.readouterr()
            runpy.run_path(str(program))
            expected = re.findall(r"print\(.*\)  # (.*)", block)
            assert capsys.readouterr().out.splitlines() == expected
        elif block.startswith("$ "):
            line, _, expected = block.partition("\n")
            found = command(*shlex.split(line)[2:]).out
            assert [one.rstrip() for one in found.splitlines()] == expected.splitlines()
            shown += 1
    assert shown == 2

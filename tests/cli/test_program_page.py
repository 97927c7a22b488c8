"""The page on programs as metrics runs as it stands, and shows what the command prints."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.cli.outcome import Command

PAGE = (Path(__file__).parents[2] / "docs" / "program-metric.md").read_text(encoding="utf-8")


def test_the_page_runs(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its blocks run in their order, and every command after a `$` prints what is below it, up to the dots."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert [language for language, _ in blocks] == ["python", "console", "python", "text"]
    printed = ""
    for language, text in blocks:
        if language == "python":
            (tmp_path / "block.py").write_text(text, encoding="utf-8")
            runpy.run_path(str(tmp_path / "block.py"))
            printed = capsys.readouterr().out
        elif language == "text":
            assert printed == text
        else:
            line, *wanted = text.removeprefix("$ ").splitlines()
            found = command(*shlex.split(line)[1:]).out.splitlines()
            assert [one.rstrip() for one in found[: len(wanted) - 1]] == wanted[:-1]

"""The page on comparing files and methods runs as it stands, and shows what the command prints."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.cli.outcome import Command

PAGE = (Path(__file__).parents[2] / "docs" / "comparing.md").read_text(encoding="utf-8")
_BEFORE, _, _REST = PAGE.partition("## Comparing methods\n")
METHODS, _, _AFTER = _REST.partition("\n## ")
FILES = _BEFORE + _AFTER
NAMED = r"`([\w.]+)`[^`\n]*:\n\n```yaml\n(.*?)^```"


def blocks(text: str, languages: str) -> list[tuple[str, str]]:
    """The fenced blocks of some languages: (language, text)."""
    return re.findall(rf"^```({languages})\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_page_runs(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its programs run, and every command after a `$` prints what stands below it."""
    shown = 0
    for number, (kind, block) in enumerate(blocks(FILES, "python|console")):
        if kind == "python":
            program = tmp_path / f"block_{number}.py"
            program.write_text(block, encoding="utf-8")
            capsys.readouterr()
            runpy.run_path(str(program))
            expected = re.findall(r"print\(.*\)  # (.*)", block)
            assert capsys.readouterr().out.splitlines() == expected
        else:
            assert block.startswith("$ ")
            line, _, expected = block.partition("\n")
            found = command(*shlex.split(line)[2:]).out
            assert [one.rstrip() for one in found.splitlines()] == expected.splitlines()
            shown += 1
    assert shown == 3


@pytest.mark.slow
def test_the_contests_of_the_page_run(command: Command, tmp_path: Path) -> None:
    """The recipe is one, and every command ends well; the table has a row for each arm, controls included."""
    ((name, recipe),) = re.findall(NAMED, METHODS, re.DOTALL | re.MULTILINE)
    (tmp_path / name).write_text(recipe, encoding="utf-8")
    lines = [line for _, block in blocks(METHODS, "console") for line in block.splitlines()]
    for line in lines:
        found = command(*shlex.split(line)[1:])
        assert found.code == 0 and "p (Holm)" in found.out, (line, found.err)
    assert len(lines) == 3
    assert len((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()) == 1 + 4 + 2

"""The page on measuring files runs as it stands, and shows what the command prints."""

import re
import runpy
import shlex
from pathlib import Path

from tests.cli.outcome import Command

PAGE = (Path(__file__).parents[2] / "docs" / "evaluating.md").read_text(encoding="utf-8")


def test_the_page_runs(command: Command, tmp_path: Path) -> None:
    """Its program runs, and every command after a `$` prints what stands below it, up to the dots."""
    ((program, _),) = re.findall(r"^```python\n(.*?)^```()", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "block.py").write_text(program, encoding="utf-8")
    runpy.run_path(str(tmp_path / "block.py"))
    shown = re.findall(r"^```console\n\$ (.*?)\n(.*?)^\.\.\.\n```", PAGE, re.DOTALL | re.MULTILINE)
    for line, expected in shown:
        found = command(*shlex.split(line)[1:]).out.splitlines()
        wanted = expected.splitlines()
        assert [one.rstrip() for one in found[: len(wanted)]] == wanted
    assert len(shown) == 2

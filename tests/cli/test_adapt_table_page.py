"""The page on tables runs as it stands: what does not depend on the speed of the machine is what it shows."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.cli.outcome import Command

PAGE = (Path(__file__).parents[2] / "docs" / "adapt-table.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_runs(command: Command, tmp_path: Path) -> None:
    """Its program writes the table, and its commands print first what stands below them."""
    pytest.importorskip("sklearn")
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "block.py").write_text(program, encoding="utf-8")
    runpy.run_path(str(tmp_path / "block.py"))
    blocks = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line, expected in blocks:
        found = command(*shlex.split(line)[1:])
        assert found.code == 0, found.err
        assert found.out.startswith(expected.rstrip("\n")), found.out
    assert len(blocks) == 2
    names = set(
        re.findall(r"`([\w-]+\.(?:json|safetensors|onnx|csv|html))`", PAGE.partition("## The folder")[2])
    )
    there = {path.name for path in (tmp_path / "runs" / "people").iterdir() if path.is_file()}
    assert there - {"run.json", "network.onnx"} <= names <= there | {"network.onnx"}

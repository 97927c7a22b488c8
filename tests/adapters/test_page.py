"""docs/supporting.md runs as it stands, and its tables are those that its commands wrote."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "supporting.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_code_runs(code: str) -> None:
    """Every block alone."""
    with torch.random.fork_rng(devices=[]):
        exec(compile(code, "supporting.md", "exec"), {"__name__": "page"})  # noqa: S102


def test_every_command_is_there() -> None:
    """A command of the page is one of the program's, and the page has each."""
    from benchmarks.supporting import COMMANDS

    assert sorted(re.findall(r"python -m benchmarks\.supporting (\w+)", PAGE)) == sorted(COMMANDS)


def test_the_page_is_listed() -> None:
    """The index of the documentation leads to it."""
    assert "(supporting.md)" in (DOCS / "index.md").read_text(encoding="utf-8")

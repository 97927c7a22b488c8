"""docs/decision-rules.md runs as it stands and prints what it says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from metricgrad.decision.known import RULES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "decision-rules.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_says(tmp_path: Path):
    """Words and figures."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (text,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "decision-rules.md", "exec"), {"__name__": "page"})  # noqa: S102
    assert printed.getvalue() == text


@pytest.mark.parametrize("name", [name for name in RULES if RULES[name].least])
def test_the_table_says_the_least_pools(name: str):
    """As the rules have them."""
    (line,) = [line for line in PAGE.splitlines() if f"| `{name}` |" in line]
    assert f"| {RULES[name].least:,} |" in line


def test_the_page_is_listed():
    """The index leads to it."""
    assert "(decision-rules.md)" in (DOCS / "index.md").read_text(encoding="utf-8")

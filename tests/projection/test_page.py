"""docs/closed-forms.md runs as it stands and prints what it says."""

import contextlib
import io
import re
from pathlib import Path

from metricgrad import projection

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "closed-forms.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_says():
    """Words and figures."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (text,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "closed-forms.md", "exec"), {"__name__": "page"})  # noqa: S102
    assert printed.getvalue() == text


def test_the_table_names_every_form():
    """With its settings, as they are called."""
    described = dict(re.findall(r"\| `(\w+)\(([\w, ]*)\)` \|", PAGE))
    forms = {name for name in projection.__all__ if name[0].isupper()} - {
        "Projection",
        "PairProjection",
        "Identity",
    }
    assert set(described) == forms
    for name, settings in described.items():
        assert list(getattr(projection, name).__dataclass_fields__) == re.findall(r"\w+", settings)


def test_the_page_is_listed():
    """The index leads to it."""
    assert "(closed-forms.md)" in (DOCS / "index.md").read_text(encoding="utf-8")

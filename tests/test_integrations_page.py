"""docs/integrations.md says what was run: its versions are those that the tests of the packages wrote down."""

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = (DOCS / "integrations.md").read_text(encoding="utf-8")


def test_versions_are_those_that_were_tested():
    """Every package of tests/integrations/versions.csv has a row with its version, and no other package has one."""
    with (ROOT / "tests" / "integrations" / "versions.csv").open(encoding="utf-8") as file:
        found = {row["package"]: row["version"] for row in csv.DictReader(file)}
    assert f"Python {found.pop('python')} and torch {found.pop('torch')}" in PAGE
    assert dict(re.findall(r"^\| \[([\w-]+)\]\(\S+\) \| ([\w.]+) \|", PAGE, re.MULTILINE)) == found


def test_every_page_is_listed():
    """The index of the packages leads to all pages, and that of the documentation to the index."""
    pages = {f"integrations/{path.name}" for path in (DOCS / "integrations").glob("*.md")}
    assert pages == set(re.findall(r"\((integrations/[\w-]+\.md)\)", PAGE))
    assert "(integrations.md)" in (DOCS / "index.md").read_text(encoding="utf-8")

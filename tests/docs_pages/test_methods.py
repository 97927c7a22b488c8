"""The pages on methods: one per method of the code, with the same headings, true settings and an example that runs."""

import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
import torch

from metricgrad.decision.known import RULES
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.families import FAMILIES
from metricgrad.methods.objectives import objectives
from metricgrad.methods.searches import SEARCHES
from tests.cli.outcome import Command
from tests.docs_pages.running import DOCS, ROOT, assert_same, load_script, outputs

FOLDER = DOCS / "methods"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")
HEADINGS = [
    "What it optimises",
    "When",
    "When not",
    "Example",
    "Settings that matter",
    "Known problems",
    "Differences from the paper",
    "Reference",
]
PLAIN = {"argmax", "rounding", "midpoint"}
"""Rules that stand for no rule."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """What writes the tables."""
    return load_script("method_pages")


def _slow(page: Path) -> bool:
    text = page.read_text(encoding="utf-8")
    return any(call in text for call in ("tune(", "mg.compare(", "metricgrad adapt --table"))


def _section(page: Path, heading: str) -> str:
    text = page.read_text(encoding="utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_method_has_one_page(script: ModuleType) -> None:
    """Roads, losses, searches, rules and forms: none is missing, none has two pages, none is made up."""
    told = Counter(name for page in PAGES for name in script.names(page))
    roads = {name for family in FAMILIES for name in family.roads()}
    alternating = {name for name in roads if name.startswith("alternating:")}
    forms = {one.__name__ for one in script.FURTHER["closed-forms"]} - {"Identity"}
    known = (roads - alternating) | {"alternating", "auto", "proxy", "adapt --table"} | forms
    known |= (set(RULES) - PLAIN) | {"losses.relaxed", "losses.interpolated"}
    assert set(told) == known and set(told.values()) == {1}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_headings_are_the_same(page: Path) -> None:
    """All of them, in this order, each with something below it."""
    assert re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE) == HEADINGS
    assert all(_section(page, heading).strip() for heading in HEADINGS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_settings_are_those_of_the_code(script: ModuleType, page: Path) -> None:
    """Run scripts/method_pages.py where this fails."""
    inside = _section(page, "Settings that matter").partition(script.BEGIN)[2].partition(script.END)[0]
    assert inside.strip() == script.settings(page)


def test_settings_by_another_way(script: ModuleType) -> None:
    """A table has every field of the model of its method, every keyword of a loss, and its default."""
    proxy = dict(
        re.findall(r"^\| `(\w+)` \| (.*?) \|", _section(FOLDER / "proxy.md", HEADINGS[4]), re.MULTILINE)
    )
    assert set(proxy) == set(DescentSettings.model_fields)
    assert float(proxy["learning_rate"]) == DescentSettings().learning_rate
    for name, kind in SEARCHES.items():
        page = FOLDER / f"blackbox-{name.replace('_', '-')}.md"
        found = set(re.findall(r"^\| `(\w+)` \|", _section(page, HEADINGS[4]), re.MULTILINE))
        fields = set(kind.settings.model_fields)
        assert found == (fields - set(DescentSettings.model_fields) | (found & fields))
        assert "calls" in found
    for name in objectives():
        (page,) = [page for page in PAGES if f"surrogate:{name}" in script.names(page)]
        assert f"`{name}`" in _section(page, HEADINGS[4])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_references_exist(page: Path) -> None:
    """Keys of references.bib, and those that the text names are listed."""
    known = set(
        re.findall(r"^@\w+\{([^,]+),", (ROOT / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    )
    listed = re.findall(r"`([^`]+)`", _section(page, "Reference"))
    assert listed and set(listed) <= known
    named = re.findall(r"\[([a-z]+\d{4}[a-z0-9]*)\]", _section(page, "Differences from the paper"))
    assert set(named) <= set(listed)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if _slow(page) else []) for page in PAGES],
)
def test_the_example_runs(page: Path, tmp_path: Path, command: Command) -> None:
    """It prints what the page shows below it."""
    with torch.random.fork_rng(devices=[]):
        found = list(outputs(page, tmp_path, command))
    assert found
    for one in found:
        assert_same(*one)


def test_the_index_lists_them(script: ModuleType) -> None:
    """Run scripts/method_pages.py where this fails."""
    text = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert text.partition(script.BEGIN)[2].partition(script.END)[0].strip() == script.index()
    assert all(f"({page.name})" in text for page in PAGES)

"""The documentation as a reader sees it, from the disk, in headless Chromium: quiet, alone, readable, searchable."""

import importlib.util
import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.browser import chromium
from tests.browser.contrast import CONTRASTS
from tests.test_site import described, hidden

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(
        importlib.util.find_spec("zensical") is None and not os.environ.get("CI"),
        reason="Zensical is not installed: scripts/setup --docs",
    ),
]
ROOT = Path(__file__).resolve().parents[2]
PAGES = ["index", "how-to-choose", "faq", "decide", "reference/losses"]


def _build(folder: Path) -> subprocess.CompletedProcess[str]:
    """The strict build of scripts/docs."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once from the files of the repository."""
    folder = tmp_path_factory.mktemp("documentation")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    for name in ("src", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    built = _build(folder)
    assert built.returncode == 0, built.stdout + built.stderr
    assert not re.search(r"^(griffe|mkdocstrings): ", built.stdout + built.stderr, re.MULTILINE)
    return folder / "site"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    """One browser for the module."""
    opened = chromium.Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def _until(browser: chromium.Chromium, expression: str) -> None:
    """Wait for what a script of the page does a little later."""
    end = time.monotonic() + 20
    while not browser.ask(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.1)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_read(
    browser: chromium.Chromium, site: Path, page: str, width: int, dark: bool
) -> None:
    """A title, no complaint, nothing from elsewhere, no sideways scrolling, and text that stands out 4.5 to 1."""
    browser.open(site / f"{page}.html", width=width, dark=dark)
    browser.forget()  # what an earlier page kept of the palette
    browser.open(site / f"{page}.html", width=width, dark=dark)
    assert browser.ask("document.querySelectorAll('h1').length") == 1
    assert "metricgrad" in browser.ask("document.title")
    assert browser.ask("document.body.dataset.mdColorScheme") == ("slate" if dark else "default")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    contrasts = browser.ask(CONTRASTS)
    assert len(contrasts) > 100
    assert [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < 4.5] == []
    assert browser.complaints == []
    inside = (site.as_uri(), "data:", "blob:")
    assert [address for address in browser.requests if not address.startswith(inside)] == []


def test_search_finds_without_a_network(browser: chromium.Chromium, site: Path) -> None:
    """A word leads to the pages that have it, though a page from the disk may have no worker."""
    browser.open(site / "faq.html")
    _until(browser, "document.querySelector('.md-search__button') !== null")
    browser.ask("document.querySelector('.md-search__button').click()")
    _until(browser, "document.activeElement.shadowRoot !== null")
    browser.call("Input.insertText", text="whitening")
    links = "[...document.activeElement.shadowRoot.querySelectorAll('a')].map(a => a.href)"
    _until(browser, f"{links}.some(address => address.includes('metricgrad.projection.Whitening'))")
    assert browser.complaints == []


def test_the_palette_can_be_chosen(browser: chromium.Chromium, site: Path) -> None:
    """Day becomes night, and the next page keeps it."""
    browser.open(site / "index.html")
    browser.forget()  # what an earlier page kept of the palette
    browser.open(site / "index.html")
    browser.ask("document.querySelector('label[title=\"Dark\"]').click()")
    _until(browser, "document.body.dataset.mdColorScheme === 'slate'")
    browser.open(site / "decide.html")
    assert browser.ask("document.body.dataset.mdColorScheme") == "slate"


def test_all_that_is_public_is_shown(site: Path) -> None:
    """Each name of a room has a place that a link can point to."""
    places = {
        place
        for page in (site / "reference").glob("*.html")
        for place in re.findall(r'id="(metricgrad\.[^"]+)"', page.read_text(encoding="utf-8"))
    }
    names = set(described())
    for path in described():
        value = pkgutil.resolve_name(path)
        if inspect.ismodule(value):
            names |= {f"{path}.{name}" for name in set(value.__all__) - hidden(value)}
            names -= {path}
    assert names - places == {"metricgrad.tune.tune"}  # it is shown as metricgrad.tune.run.tune


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("[page](other.md#a-place), [place](#here)\n\n## Here\n", True),
        ("[page](missing.md)", False),
        ("[page](other.md#nowhere)", False),
        ("[place](#nowhere)", False),
        ("[member][metricgrad.nothing]", False),
        ("::: metricgrad.nothing", False),
    ],
)
def test_a_broken_link_fails(tmp_path: Path, text: str, passes: bool) -> None:
    """With the settings of the site, on two pages of our own."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    del settings["nav"], settings["extra"]
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for name in ("src", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs" / "index.md").write_text(f"# Index\n\n{text}\n", encoding="utf-8")
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## A place\n", encoding="utf-8")
    built = _build(tmp_path)
    assert (built.returncode == 0) is passes, built.stdout + built.stderr

"""What a newcomer must touch: each page docs/adding-*.md is carried out in a copy of the repository, and it runs."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adding.pages import DOCS, PAGES, boxes, commands, programs, write

ROOT = DOCS.parent
FILES = {
    "adding-a-command": 4,
    "adding-a-loss": 4,
    "adding-a-method": 3,
    "adding-a-metric": 4,
    "adding-a-task": 4,
    "adding-an-output-kind": 3,
}
"""How many files a page may touch; of the method's, one holds its row of laws."""

RUNNER = """
import json, shlex, sys
from typer.testing import CliRunner
from metricgrad.cli.main import app
found = []
for words in json.loads(sys.stdin.read()):
    result = CliRunner().invoke(app, words)
    failure = "" if result.exception is None or isinstance(result.exception, SystemExit) else repr(result.exception)
    found.append([result.exit_code, result.output + failure])
print(json.dumps(found))
"""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_every_addition_has_a_page_that_is_listed() -> None:
    """The table of the design, the index and the pages name the same additions."""
    assert {page.stem for page in PAGES} == set(FILES)
    for path in (DOCS / "index.md", DOCS / "design.md"):
        linked = set(re.findall(r"\((adding-[\w-]+)\.md\)", path.read_text(encoding="utf-8")))
        assert linked == set(FILES), path.name


@every_page
def test_a_page_touches_no_more_than_it_promises(page: Path) -> None:
    """Its files are as many as the table says; new ones parse, and nobody is told of a place that is not there."""
    touched = {box.path for box in boxes(page)}
    assert len(touched) == FILES[page.stem], sorted(touched)
    assert len(boxes(page)) + len(programs(page)) == len(
        re.findall(r"^```(?:python|text|diff)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    )
    for box in boxes(page):
        if box.new and box.path.endswith(".py"):
            ast.parse(box.text)
        assert (ROOT / box.path).exists() != box.new, box.path


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which every page was carried out, one after the other."""
    root = tmp_path_factory.mktemp("adding") / "repository"
    for name in ("src", "tests", "docs", "changelog.d"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "site"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root / name)
    for page in PAGES:
        for box in boxes(page):
            write(box, root)
    return root


def python(root: Path, *words: str, given: str = "") -> str:
    """Run Python in the copy, whose package comes first; return what it printed."""
    own = {"PYTHONPATH": str(root / "src"), "COLUMNS": "200", "METRICGRAD_CACHE": str(root / "cache")}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env=os.environ | own,
        input=given,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_commands_print_what_is_shown(repository: Path) -> None:
    """Every `$ metricgrad ...` of the pages ends well and prints the lines below it."""
    shown = [one for page in PAGES for one in commands(page) if one.words[0] == "metricgrad"]
    assert len(shown) > 10
    asked = json.dumps([one.words[1:] for one in shown])
    answers = json.loads(python(repository, "-c", RUNNER, given=asked).splitlines()[-1])
    for one, (code, output) in zip(shown, answers, strict=True):
        assert code == 0, (one.words, output)
        assert [line for line in one.lines if line.strip() not in output] == [], (one.words, output)


@pytest.mark.slow
def test_the_programs_run(repository: Path) -> None:
    """As they stand on the page."""
    found = [program for page in PAGES for program in programs(page)]
    assert found
    for program in found:
        assert python(repository, "-c", program)


@pytest.mark.slow
def test_the_laws_hold_of_what_was_added(repository: Path) -> None:
    """Every `$ ... -m pytest ...` of the pages passes, and so do the tests that hold rows and names complete."""
    shown = [one.words for page in PAGES for one in commands(page) if "pytest" in one.words]
    assert len(shown) >= 5
    for words in (*shown, ("pytest", "-q", "tests/laws", "-k", "row")):
        python(repository, "-m", *words[words.index("pytest") :], "-p", "no:cacheprovider")

"""The README runs as it stands, and its figures are those of the tables in docs/."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from scripts import front_page
from tests.cli.outcome import Command

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
DOORS = re.findall(r"^\|.*\| `scripts/run (.+?)` \|$", README, re.MULTILINE)


def test_the_figures_are_those_of_the_tables() -> None:
    """Run scripts/front_page.py where this fails."""
    assert front_page.page() == README
    assert front_page.picture() == front_page.PICTURE.read_text(encoding="utf-8")
    assert len(list(front_page.headlines())) >= 8


@pytest.mark.slow
def test_the_snippet_prints_the_verdict_that_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As pasted; figures may differ by rounding of the machine."""
    pytest.importorskip("sklearn")
    shown = re.findall(r"^```text\n(Gain: .*)\n```", README, re.MULTILINE)[0]
    program = tmp_path / "snippet.py"
    program.write_text(PROGRAMS[0], encoding="utf-8")
    runpy.run_path(str(program))
    found = capsys.readouterr().out.splitlines()[0]
    figures = r"[+-]?\d+\.\d+"
    assert found.startswith(re.sub(figures, "{}", shown)[: shown.index(" macro_f1")])
    for one, other in zip(re.findall(figures, found), re.findall(figures, shown), strict=False):
        assert float(one) == pytest.approx(float(other), abs=0.02)


def test_the_other_programs_run(tmp_path: Path) -> None:
    """One after the other, since the later ones use what the first imported."""
    program = tmp_path / "losses.py"
    program.write_text("\n".join(PROGRAMS[1:]), encoding="utf-8")
    assert runpy.run_path(str(program))["loss"].isfinite()


@pytest.mark.slow
def test_every_door_opens(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the table ends well, in a folder where only the examples were written."""
    pytest.importorskip("sklearn")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("examples/write_files.py")
    quick = {"--table": ["--quiet"], "--queries": ["--quick", "--quiet"]}
    opened = 0
    for line in DOORS:
        words = shlex.split(line)
        if (
            "emoji" in words
        ):  # the task of the main job, which CI cannot wait for: its tests are below tests/tasks
            continue
        more = next((found for name, found in quick.items() if name in words), [])
        if "--minutes" in words:
            words[words.index("--minutes") + 1] = "0.2"
        outcome = command(*words, *more)
        assert outcome.code == 0, (line, outcome.err)
        opened += 1
    assert opened >= 5


def test_the_page_of_extras_is_that_of_the_package() -> None:
    """Every extra of users, with its packages."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    wanted = {
        name: ", ".join(sorted(re.match(r"[\w-]+", one).group() for one in packages))
        for name, packages in extras.items()
        if name not in ("dev", "docs")
    }
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `([\w-]+)` \|[^|]*\| ([^|]*) \|$", page, re.MULTILINE)) == wanted


def test_every_package_of_the_core_is_imported_by_it() -> None:
    """What a plain install brings is used by a module that needs no extra."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {re.match(r"[\w-]+", one).group().replace("pyyaml", "yaml") for one in wanted}
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert names == {name for name in names if re.search(rf"^(?:import|from) {name}\b", text, re.MULTILINE)}

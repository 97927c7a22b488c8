"""The page on `metricgrad decide` and the README's block run as they stand, and show what the command prints."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.outcome import Command

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "decide.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def shipped(command: Command, tmp_path: Path) -> Command:
    """The command in a folder that has the examples."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return command


def test_the_page_runs(shipped: Command, tmp_path: Path) -> None:
    """Every command prints what stands below it, and the files are those of the page."""
    new, decided = re.findall(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "new.csv").write_text(new, encoding="utf-8")
    blocks = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line, expected in blocks:
        found = shipped(*shlex.split(line)[1:])
        assert [one.rstrip() for one in found.out.splitlines()] == expected.splitlines()
    assert len(blocks) == 3
    assert (tmp_path / "new-decided.csv").read_text(encoding="utf-8") == decided


def test_the_figures_of_the_pages(shipped: Command) -> None:
    """Those in the text are those of the command."""
    ((line,),) = [re.findall(r"`scripts/run (decide examples.*?)`", README)]
    found = shipped(*shlex.split(line), "--json").json
    before, after, change = (found[key] for key in ("before", "after", "difference"))
    cut = f"a probability of {found['curve']['cut']:.3f}, not one half"
    figures = f"{before['value']:.3f} to {after['value']:.3f} (+{change['value']:.3f}; 95 % interval "
    figures += f"{change['low']:.3f} to {change['high']:.3f})"
    assert all(text in " ".join(README.split()) for text in (cut, figures))
    others = {one["metric"]: one for one in found["others"]}
    for name, verb in (("recall", "rises"), ("specificity", "falls")):
        told = f"{name} {verb} from {others[name]['before']:.2f} to {others[name]['after']:.2f}"
        assert told in " ".join(PAGE.split())


def test_the_example_is_what_its_program_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row by row, the scores but for rounding."""
    pytest.importorskip("sklearn")
    import runpy

    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "tumour_scores.py"))
    for one, other in zip(
        *((path / "tumours.csv").read_text().splitlines()[1:] for path in (tmp_path, ROOT / "examples")),
        strict=True,
    ):
        (target, score), (expected, known) = one.split(","), other.split(",")
        assert target == expected and float(score) == pytest.approx(float(known), abs=1e-3)

"""docs/complement-entropy.md runs as it stands, and its tables are those that its commands wrote."""

import contextlib
import csv
import io
import re
from pathlib import Path

import torch
import yaml

from metricgrad.methods.families import road_named
from metricgrad.metrics import adapt

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "complement-entropy.md").read_text(encoding="utf-8")


def test_the_code_prints_what_is_said() -> None:
    """The blocks are one program; what a line prints stands behind it, up to a colon."""
    code, printed = "".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), io.StringIO()
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(printed):
        exec(compile(code, "complement-entropy.md", "exec"), {"__name__": "page"})  # noqa: S102
    said = [one.split(":")[0] for one in re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)]
    lines = printed.getvalue().splitlines()
    assert len(lines) == 4 and lines[3] == lines[2]
    assert said == [*lines[:3], "the same"]


def test_the_recipe_is_one() -> None:
    """Its method is made with its settings."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    recipe = yaml.safe_load(text)
    road = road_named(recipe["method"], adapt("accuracy"), torch.nn.functional.cross_entropy)
    assert road.make(road.settings(**recipe["settings"])) is not None


def rows(name: str) -> list[dict[str, str]]:
    """A table that a command wrote."""
    with (DOCS / f"complement-{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_tables_are_those_of_the_commands() -> None:
    """Each figure of the page is that of its file, rounded."""
    for row in rows("digits"):
        difference, error = (float(row[f"error {key}"]) for key in ("against control", "standard error"))
        against = f"{difference:+.4f} ({error:.4f})" if error else ""
        cells = (f"{float(row['error']):.4f}", against, f"{float(row['entropy']):.2f}")
        name = row["arm"] if error else f"{row['arm']} (control)"
        assert f"| {name} | {cells[0]} |{f' {against}' if against else ''} | {cells[2]} |" in PAGE, row
    for row in rows("groups"):
        cells = []
        for key in ("error", "distance"):
            cells.append(f"{float(row[key]):.3f}")
            error = float(row[f"{key} standard error"])
            cells.append(f"{float(row[f'{key} against control']):+.3f} ({error:.3f})" if error else "")
        shown = " |".join(f" {cell}" if cell else "" for cell in cells)
        assert f"| {row['groups']} | {row['arm']} |{shown} |" in PAGE, row


def test_every_command_is_there() -> None:
    """A command of the page is one of the program's, and the page has each."""
    from benchmarks.complement import COMMANDS

    assert sorted(re.findall(r"python -m benchmarks\.complement (\w+)", PAGE)) == sorted(COMMANDS)


def test_the_page_is_listed() -> None:
    """The index of the documentation leads to it, and the page on comparisons where steps are compared."""
    for name in ("index.md", "comparing.md"):
        assert "(complement-entropy.md)" in (DOCS / name).read_text(encoding="utf-8")

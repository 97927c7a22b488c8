"""docs/supporting.md runs as it stands, and its tables are those that its commands wrote."""

import csv
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


def rows(name: str) -> dict[str, dict[str, str]]:
    """A table of the page by what its first columns say."""
    with (DOCS / f"supporting-{name}.csv").open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    keys = [key for key in found[0] if key in ("moves", "loss", "scores", "arm", "by", "kept")]
    return {", ".join(row[key] for key in keys): row for row in found}


def said(title: str) -> str:
    """What a section of the page says was measured, on one line."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return " ".join(section[section.index("**Measured**") :].split())


@pytest.mark.parametrize(
    ("title", "table", "figures"),
    [
        (
            "Rotations instead of weights",
            "orthogonal",
            {
                "rotations they gain {} (": ("orthogonal, surrogate", "over_same_by_proxy", 3),
                "rotations they gain 0.006 ({})": ("orthogonal, surrogate", "error", 3),
                "held-out items, {}.": ("orthogonal, surrogate", "gap", 3),
                "They are {} (": ("orthogonal, surrogate", "over_lora", 3),
                "all weights {} (": ("orthogonal, surrogate", "over_all_by_proxy", 3),
            },
        ),
        (
            "Calibrators with few pieces",
            "spline",
            {
                "of the calibrators ({};": ("spline by cross-entropy", "log_loss", 3),
                "Platt {},": ("Platt", "log_loss", 3),
                "isotonic {},": ("isotonic", "log_loss", 3),
                "none {})": ("as trained", "log_loss", 3),
                "soft F1 it is {} (error": ("spline by soft F1", "over_threshold", 3),
            },
        ),
        (
            "Activations in few bits",
            "compression",
            {
                "Recall is {},": ("recall, 1024, 4 bits", "recall_at_1", 3),
                "staged steps {},": ("recall, 1024, staged", "recall_at_1", 3),
                "plain ones {}:": ("recall, 1024, whole", "recall_at_1", 3),
            },
        ),
        (
            "Scores of untrained heads",
            "untrained",
            {
                "after training is {} (error": ("score", "tau", 2),
                "parameters is {} (": ("parameters", "tau", 2),
                "fewer layers has {} (": ("fewest layers", "tau", 2),
            },
        ),
        (
            "Fewer groups of an adapter",
            "pruning",
            {
                "Gates keep {} blocks": ("gates, 0.003", "blocks", 0),
                "lose nothing (difference {},": ("gates, 0.003", "over_all", 3),
                "swarms keep {} and": ("swarms", "blocks", 0),
                "removal keeps {} of": ("greedy, no drop", "blocks", 0),
            },
        ),
    ],
)
def test_figures_are_those_of_the_table(
    title: str, table: str, figures: dict[str, tuple[str, str, int]]
) -> None:
    """Rounded as they stand."""
    text, found = said(title), rows(table)
    for words, (row, column, digits) in figures.items():
        assert words.format(f"{float(found[row][column]):.{digits}f}") in text, (words, found[row])
